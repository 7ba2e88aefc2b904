/* The decoder processes: fed, crashed, hung, rested. The decoder is the real one, or a script that misbehaves. */
#include "actors/imgproc/decoders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"

static const struct decode_limits limits = {.pixels_max = 1000000, .timeout_us = 2 * US_PER_S};

/* A GIF of one white pixel. */
static const char gif[] = "GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;";

static void test_decodes_in_another_process(void **state) {
    (void)state;
    struct decoders *decoders = decoders_new(PIXBUS_DECODER, 2, &limits);
    struct decode_result result;
    assert_non_null(decoders);
    assert_int_equal(decoders_count(decoders), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
        assert_true(result.decoded);
        assert_int_equal(result.width, 1);
        assert_memory_equal(result.jpeg, "\xff\xd8\xff", 3);
        decode_result_free(&result);
        assert_true(decoders_decode(decoders, TEXT("no image"), &result));
        assert_false(result.decoded);
        assert_non_null(strstr(result.reason, "another kind"));
        assert_true(decoders_decode(decoders, TEXT(""), &result));
        assert_non_null(strstr(result.reason, "empty"));
    }
    assert_int_equal(decoders_count(decoders), 1); /* one thread needs one */
    decoders_rest(decoders, clock_monotonic_us() - 60 * US_PER_S);
    assert_int_equal(decoders_count(decoders), 1);
    decoders_rest(decoders, clock_monotonic_us() + US_PER_S);
    assert_int_equal(decoders_count(decoders), 0);
    assert_true(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
    assert_true(result.decoded);
    decode_result_free(&result);
    decoders_free(decoders);
}

static void test_a_decoder_that_cannot_start(void **state) {
    (void)state;
    static const char *const programs[] = {"/nonexistent/decoder", "/bin/true", "/bin/false"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        struct decoders *decoders = decoders_new(programs[i], 1, &limits);
        struct decode_result result;
        assert_non_null(decoders);
        assert_false(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
        decoders_free(decoders);
    }
}

/* Run the image through a shell script in the decoder's place; descriptor 3 is the socket. */
static struct decode_result with_script(const char *script, int64_t timeout_us) {
    char path[] = "/tmp/pixbus-decoder-XXXXXX";
    struct decode_result result;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\nprintf '\\001\\104\\102\\120' >&3\n%s\n", script) > 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(close(fd), 0);
    struct decoders *decoders = decoders_new(path, 1, &(struct decode_limits){.pixels_max = 1, .timeout_us = timeout_us});
    assert_non_null(decoders);
    assert_true(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
    assert_int_equal(decoders_count(decoders), 0);
    decoders_free(decoders);
    assert_int_equal(unlink(path), 0);
    assert_false(result.decoded);
    return result;
}

static void test_a_decoder_that_misbehaves(void **state) {
    (void)state;
    assert_string_equal(with_script("kill -SEGV $$", limits.timeout_us).reason, "The image cannot be decoded.");
    assert_string_equal(with_script("head -c 4 <&3 >/dev/null; exit 0", limits.timeout_us).reason, "The image cannot be decoded.");
    assert_string_equal(with_script("head -c 4096 /dev/zero >&3; exec sleep 30", limits.timeout_us).reason,
                        "The image cannot be decoded.");
    int64_t begun_us = clock_monotonic_us();
    assert_string_equal(with_script("exec sleep 30", 10 * US_PER_MS).reason, "Decoding the image took too long.");
    assert_true(clock_monotonic_us() - begun_us < 5 * US_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_in_another_process),
        cmocka_unit_test(test_a_decoder_that_cannot_start),
        cmocka_unit_test(test_a_decoder_that_misbehaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
