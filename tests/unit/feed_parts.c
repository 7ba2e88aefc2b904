/* The parts of feed that need no database: cursors, sequencers, URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/feed/cursor.h"
#include "actors/feed/sequencer.h"
#include "actors/feed/urls.h"
#include "base/clock.h"
#include "base/limits.h"

static void cursor_comes_back(void **state) {
    static const struct cursor values[] = {
        {0, 1}, {INT64_MAX, INT32_MAX}, {INT64_MIN, INT32_MIN}, {INT64_C(1767319445678901), 42}};
    struct cursors *cursors = cursors_new(TEXT("secret"));
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char encoded[LIMIT_CURSOR_BYTES + 1];
        struct cursor decoded;
        size_t size = cursor_encode(cursors, &values[i], encoded);
        assert_int_equal(size, strlen(encoded));
        assert_true(cursor_decode(cursors, text_from(encoded), &decoded));
        assert_int_equal(decoded.updated_at_us, values[i].updated_at_us);
        assert_int_equal(decoded.id, values[i].id);
    }
    cursors_free(cursors);
}

static void cursor_of_others_is_refused(void **state) {
    struct cursors *cursors = cursors_new(TEXT("secret")), *others = cursors_new(TEXT("other"));
    struct cursor cursor = {INT64_C(1767319445678901), 42}, decoded = {1, 1};
    char encoded[LIMIT_CURSOR_BYTES + 1];
    size_t size = cursor_encode(cursors, &cursor, encoded);
    (void)state;
    assert_false(cursor_decode(others, text_from(encoded), &decoded));
    for (size_t cut = 0; cut < size; cut++)
        assert_false(cursor_decode(cursors, (struct text){encoded, cut}, &decoded));
    for (size_t i = 0; i < size; i++) { /* any other character anywhere */
        char forged[LIMIT_CURSOR_BYTES + 1];
        memcpy(forged, encoded, size + 1);
        forged[i] = forged[i] == 'A' ? 'B' : 'A';
        assert_false(cursor_decode(cursors, text_from(forged), &decoded));
    }
    assert_false(cursor_decode(cursors, TEXT(""), &decoded));
    assert_false(cursor_decode(cursors, TEXT("!!!!"), &decoded));
    memcpy(encoded + size, "AAAA", 5);
    assert_false(cursor_decode(cursors, text_from(encoded), &decoded));
    assert_int_equal(decoded.id, 1); /* untouched */
    cursors_free(cursors);
    cursors_free(others);
}

static int order(const char *a, const char *b) {
    char left_bytes[SEQUENCER_BYTES], right_bytes[SEQUENCER_BYTES];
    struct text left, right;
    assert_true(sequencer_normalise(text_from(a), left_bytes, &left));
    assert_true(sequencer_normalise(text_from(b), right_bytes, &right));
    int result = memcmp(left.data, right.data, left.size < right.size ? left.size : right.size);
    return result != 0 ? result : left.size < right.size ? -1 : left.size > right.size;
}

static void sequencers_are_ordered(void **state) {
    (void)state;
    assert_int_equal(order("0055AED6DCD90281E5", "0055aed6dcd90281e5"), 0);
    assert_int_equal(order("0055", "00550000"), 0);
    assert_true(order("0055", "00550001") < 0);
    assert_true(order("0056", "0055ffffff") > 0);
    assert_true(order("9", "a") < 0);
    assert_true(order("9", "A") < 0);
    assert_true(order("0", "0000000000000001") < 0);
    assert_true(order("00", "0") == 0);
}

static void sequencers_that_are_none(void **state) {
    char bytes[SEQUENCER_BYTES], long_one[SEQUENCER_BYTES + 2];
    struct text normal = TEXT("untouched");
    (void)state;
    assert_false(sequencer_normalise(TEXT("00g0"), bytes, &normal));
    assert_false(sequencer_normalise(TEXT("12-34"), bytes, &normal));
    memset(long_one, 'f', sizeof long_one);
    assert_false(sequencer_normalise((struct text){long_one, SEQUENCER_BYTES + 1}, bytes, &normal));
    assert_true(text_equal(normal, TEXT("untouched")));
    assert_true(sequencer_normalise((struct text){long_one, SEQUENCER_BYTES}, bytes, &normal));
    assert_int_equal(normal.size, SEQUENCER_BYTES);
    assert_true(sequencer_normalise((struct text){0}, bytes, &normal));
    assert_null(normal.data);
}

static struct settings some_settings(void) {
    return (struct settings){.aws_region = "eu-west-1",
                             .s3_endpoint = "http://127.0.0.1:9000",
                             .s3_public_endpoint = "https://s3.example.org/",
                             .access_key_id = "AKIAEXAMPLE",
                             .secret_access_key = "a secret",
                             .media_bucket = "media",
                             .thumbnails_bucket = "thumbs",
                             .presign_seconds = 300};
}

static void url_of(struct urls *urls, const char *image_id, int64_t real_us, char out[LIMIT_URL_BYTES + 1]) {
    struct buffer buffer = {0};
    assert_true(urls_original(urls, text_from(image_id), real_us, &buffer));
    assert_true(text_copy(buffer_text(&buffer), out, LIMIT_URL_BYTES + 1));
    buffer_free(&buffer);
}

static void gets_are_stable_and_valid_long_enough(void **state) {
    struct settings settings = some_settings();
    const char *problem = NULL;
    struct urls *urls = urls_new(&settings, &problem);
    int64_t noon_us = INT64_C(1767355200) * US_PER_S; /* 2026-01-02T12:00:00Z */
    char first[LIMIT_URL_BYTES + 1], second[LIMIT_URL_BYTES + 1], later[LIMIT_URL_BYTES + 1];
    (void)state;
    assert_non_null(urls);
    url_of(urls, "image", noon_us, first);
    url_of(urls, "image", noon_us + 59999999, second);
    url_of(urls, "image", noon_us + 60000000, later);
    assert_string_equal(first, second);
    assert_string_not_equal(first, later);
    assert_true(text_starts_with(text_from(first), TEXT("https://s3.example.org/media/image?")));
    /* At the window's last moment 300 seconds are left: it began at 12:00 and is valid for 360. */
    assert_non_null(strstr(second, "X-Amz-Date=20260102T120000Z"));
    assert_non_null(strstr(second, "X-Amz-Expires=360"));
    urls_free(urls);
    settings.presign_seconds = 604800; /* all that S3 allows: no window is left */
    urls = urls_new(&settings, &problem);
    url_of(urls, "image", noon_us + 5000000, first);
    assert_non_null(strstr(first, "X-Amz-Date=20260102T120005Z"));
    assert_non_null(strstr(first, "X-Amz-Expires=604800"));
    urls_free(urls);
}

static void other_urls(void **state) {
    struct settings settings = some_settings();
    const char *problem = NULL;
    struct urls *urls = urls_new(&settings, &problem);
    struct buffer out = {0};
    (void)state;
    assert_true(urls_thumbnail(urls, TEXT("a b/\xc3\xa4"), &out));
    assert_true(text_equal(buffer_text(&out), TEXT("https://s3.example.org/thumbs/a%20b/%C3%A4")));
    urls_free(urls);
    settings.thumbnails_base_url = "https://cdn.example.org/t/";
    urls = urls_new(&settings, &problem);
    buffer_clear(&out);
    assert_true(urls_thumbnail(urls, TEXT("0123"), &out));
    assert_true(text_equal(buffer_text(&out), TEXT("https://cdn.example.org/t/0123")));
    buffer_clear(&out);
    assert_true(urls_upload(urls, TEXT("0123"), INT64_C(1767355207) * US_PER_S, &out));
    buffer_append(&out, "", 1);
    assert_non_null(strstr(out.data, "X-Amz-Date=20260102T120007Z"));
    assert_non_null(strstr(out.data, "X-Amz-Expires=300&"));
    /* A key that makes the URL longer than its field. */
    char key[1000];
    memset(key, '%', sizeof key);
    assert_false(urls_thumbnail(urls, (struct text){key, sizeof key}, &out));
    buffer_free(&out);
    urls_free(urls);
    settings.secret_access_key = NULL;
    assert_null(urls_new(&settings, &problem));
    assert_non_null(problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor_comes_back),
        cmocka_unit_test(cursor_of_others_is_refused),
        cmocka_unit_test(sequencers_are_ordered),
        cmocka_unit_test(sequencers_that_are_none),
        cmocka_unit_test(gets_are_stable_and_valid_long_enough),
        cmocka_unit_test(other_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
