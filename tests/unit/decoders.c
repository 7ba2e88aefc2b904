/* The decoder processes: fed, crashed, hung, rested. The decoder is the real one, or a script that misbehaves. */
#include "actors/imgproc/decoders.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* A shell script to stand in the decoder's place; descriptor 3 is the socket. */
static void write_script(char path[static 32], const char *lines) {
    (void)snprintf(path, 32, "/tmp/pixbus-decoder-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", lines) > 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(close(fd), 0);
}

/* Run the image through a decoder that says it is ready and then does as the script says. */
static struct decode_result with_script(const char *script, int64_t timeout_us) {
    char path[32], lines[256];
    struct decode_result result;
    (void)snprintf(lines, sizeof lines, "printf '\\001\\104\\102\\120' >&3\n%s", script);
    write_script(path, lines);
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
    /* They take their job before they end: without it nothing would be known of the image. */
    assert_string_equal(with_script("head -c 1 <&3 >/dev/null; kill -SEGV $$", limits.timeout_us).reason,
                        "The image cannot be decoded.");
    assert_string_equal(with_script("head -c 4 <&3 >/dev/null; exit 0", limits.timeout_us).reason,
                        "The image cannot be decoded.");
    assert_string_equal(with_script("head -c 4096 /dev/zero >&3; exec sleep 30", limits.timeout_us).reason,
                        "The image cannot be decoded.");
    int64_t begun_us = clock_monotonic_us();
    assert_string_equal(with_script("exec sleep 30", 10 * US_PER_MS).reason, "Decoding the image took too long.");
    assert_true(clock_monotonic_us() - begun_us < 5 * US_PER_S);
}

static pid_t read_pid(const char *path) {
    char digits[16] = "";
    uint64_t pid = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(digits, sizeof digits, file));
    assert_int_equal(fclose(file), 0);
    assert_true(text_to_u64((struct text){digits, strcspn(digits, "\n")}, &pid));
    return (pid_t)pid;
}

/* The kernel ends decoders when memory is short, also those that have nothing to do. */
static void test_a_decoder_killed_while_it_rests(void **state) {
    char path[32], pid_path[48], lines[512];
    struct decode_result result;
    (void)state;
    write_script(path, "echo $$ >$0.pid\nexec " PIXBUS_DECODER);
    (void)snprintf(pid_path, sizeof pid_path, "%s.pid", path);
    struct decoders *decoders = decoders_new(path, 1, &limits);
    for (int i = 0; i < 2; i++) {
        siginfo_t information;
        assert_true(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
        assert_true(result.decoded);
        decode_result_free(&result);
        assert_int_equal(kill(read_pid(pid_path), SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t)read_pid(pid_path), &information, WEXITED | WNOWAIT), 0);
    }
    decoders_free(decoders);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(pid_path), 0);

    /* One that ends before it has its job does not judge the image: either it cannot be fed, or it is tried anew. */
    (void)snprintf(lines, sizeof lines, "[ -e $0.ran ] && exec %s\n: >$0.ran\nprintf '\\001\\104\\102\\120' >&3", PIXBUS_DECODER);
    write_script(path, lines);
    decoders = decoders_new(path, 1, &limits);
    assert_true(decoders_decode(decoders, (struct text){gif, sizeof gif - 1}, &result));
    assert_true(result.decoded);
    decode_result_free(&result);
    decoders_free(decoders);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(pid_path, sizeof pid_path, "%s.ran", path);
    assert_int_equal(unlink(pid_path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_in_another_process),
        cmocka_unit_test(test_a_decoder_that_cannot_start),
        cmocka_unit_test(test_a_decoder_that_misbehaves),
        cmocka_unit_test(test_a_decoder_killed_while_it_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
