/* The gateway's token check: headers that are none, what is remembered and for how long; the hash; CORS; the counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "gateway/cors.h"
#include "gateway/metrics.h"
#include "gateway/siphash.h"
#include "gateway/token.h"

#define NOW_US (INT64_C(1790000000) * US_PER_S)
static const struct text key = TEXT("0123456789abcdef0123456789abcdef");
static struct token_cache *cache;
static struct token_caller caller;
static bool remembered;

static enum error check(enum route_auth auth, const char *header, size_t headers, int64_t later_us) {
    return token_check(cache, auth, text_from(header), headers, NOW_US + later_us, US_PER_S + later_us, &caller, &remembered);
}

static void issue(uint64_t user_id, int64_t lifetime_s, char header[TOKEN_BYTES + 16]) {
    struct token_claims claims = {
        .user_id = user_id, .email = "a@b.cd", .issued_us = NOW_US, .expires_us = NOW_US + lifetime_s * US_PER_S};
    char token[TOKEN_BYTES];
    assert_true(token_issue(key, &claims, token));
    (void)snprintf(header, TOKEN_BYTES + 16, "Bearer %s", token);
}

static void headers(void **state) {
    (void)state;
    static const char *const malformed[] = {
        "", "Bearer", "Bearer ", "Bearer    ", "Basic YTpi", "Bearerx.y.z", "Bearer\tx.y.z", "Bearer x", "Bearer a.b.c"};
    char header[TOKEN_BYTES + 16], spaced[TOKEN_BYTES + 32];
    issue(7, 600, header);
    assert_int_equal(check(AUTH_NONE, "junk", 1, 0), OK);
    assert_int_equal(check(AUTH_OPTIONAL, NULL, 0, 0), OK);
    assert_int_equal(caller.user_id, 0);
    assert_int_equal(check(AUTH_REQUIRED, NULL, 0, 0), ERROR_no_authorization);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_int_equal(check(AUTH_REQUIRED, malformed[i], 1, 0), ERROR_token_malformed);
        assert_int_equal(check(AUTH_OPTIONAL, malformed[i], 1, 0), ERROR_token_malformed);
    }
    assert_int_equal(check(AUTH_REQUIRED, header, 2, 0), ERROR_token_malformed);
    (void)snprintf(spaced, sizeof spaced, "bEARER    %s", header + 7);
    assert_int_equal(check(AUTH_OPTIONAL, spaced, 1, 0), OK);
    assert_int_equal(caller.user_id, 7);
    assert_string_equal(caller.email, "a@b.cd");
    header[strlen(header) - 2] ^= 1;
    assert_int_not_equal(check(AUTH_REQUIRED, header, 1, 0), OK);
    assert_int_equal(caller.user_id, 0);
}

static void remembers_for_a_bounded_time(void **state) {
    (void)state;
    char longer[TOKEN_BYTES + 16], shorter[TOKEN_BYTES + 16];
    issue(8, 6000, longer);
    issue(9, 10, shorter);
    assert_int_equal(check(AUTH_REQUIRED, longer, 1, 0), OK);
    assert_false(remembered);
    assert_int_equal(check(AUTH_REQUIRED, longer, 1, LIMIT_TOKEN_CACHE_S * US_PER_S - 1), OK);
    assert_true(remembered);
    assert_int_equal(check(AUTH_REQUIRED, longer, 1, LIMIT_TOKEN_CACHE_S * US_PER_S), OK);
    assert_false(remembered);
    assert_int_equal(check(AUTH_REQUIRED, shorter, 1, 0), OK);
    assert_int_equal(check(AUTH_REQUIRED, shorter, 1, 10 * US_PER_S - 1), OK);
    assert_true(remembered);
    assert_int_equal(check(AUTH_REQUIRED, shorter, 1, 10 * US_PER_S), ERROR_token_rejected); /* never beyond its exp */
}

static void remembers_a_bounded_number(void **state) {
    (void)state;
    static char many[2 * LIMIT_TOKEN_CACHE_ENTRIES][512];
    size_t known = 0;
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        char header[TOKEN_BYTES + 16];
        issue(i + 1, 600, header);
        assert_true(text_copy(text_from(header), many[i], sizeof many[i]));
        assert_int_equal(check(AUTH_REQUIRED, many[i], 1, (int64_t)i), OK);
        assert_int_equal(caller.user_id, i + 1);
    }
    for (size_t i = sizeof many / sizeof *many; i-- > 0;) {
        assert_int_equal(check(AUTH_REQUIRED, many[i], 1, 3000), OK);
        assert_int_equal(caller.user_id, i + 1);
        known += remembered;
    }
    assert_true(known > 0 && known <= LIMIT_TOKEN_CACHE_ENTRIES);
}

static void challenges(void **state) {
    (void)state;
    assert_null(strstr(token_challenge(ERROR_no_authorization), "error"));
    assert_null(strstr(token_challenge(ERROR_unauthorized), "error"));
    assert_non_null(strstr(token_challenge(ERROR_token_malformed), "error=\"invalid_token\""));
    assert_non_null(strstr(token_challenge(ERROR_token_rejected), "error=\"invalid_token\""));
}

/* From the reference implementation's vectors for 128 bits: key 00 to 0f, input 00, 01, … of that length. */
static void siphash(void **state) {
    (void)state;
    static const struct {
        size_t size;
        struct siphash hash;
    } vectors[] = {
        {0, {UINT64_C(0xe6a825ba047f81a3), UINT64_C(0x930255c71472f66d)}},
        {1, {UINT64_C(0x44af996bd8c187da), UINT64_C(0x45fc229b11597634)}},
    };
    uint8_t bytes[16];
    for (uint8_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct siphash hash = siphash_compute(bytes, (struct text){(const char *)bytes, vectors[i].size});
        assert_int_equal(hash.low, vectors[i].hash.low);
        assert_int_equal(hash.high, vectors[i].hash.high);
    }
}

static void cors(void **state) {
    (void)state;
    static const char *const none[] = {
        "", "x", "://x", "https://", "https://a b", "https://a\r\nX: y", "https://a/b", "https://u@a", "https://a,https://b"};
    assert_true(cors_allows("*", TEXT("https://a.example:8443")));
    assert_true(cors_allows("*", TEXT("null")));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(cors_allows("*", text_from(none[i])));
    assert_true(cors_allows("https://b.example https://a.example", TEXT("https://a.example")));
    assert_false(cors_allows("https://b.example https://a.example", TEXT("https://a.example.evil")));
    assert_false(cors_allows("https://b.example", TEXT("null")));
    assert_true(text_equal(cors_allowed_headers(TEXT("x-a, Authorization")), TEXT("x-a, Authorization")));
    assert_false(text_equal(cors_allowed_headers(TEXT("x\r\ny")), TEXT("x\r\ny")));
    assert_true(cors_allowed_headers((struct text){0}).size > 0);
}

static bool is_gone(int process) {
    return process == 11;
}

static void counters(void **state) {
    (void)state;
    static struct metrics metrics;
    struct buffer out = {0};
    struct metrics_worker *first = metrics_worker_claim(&metrics, 11, is_gone),
                          *second = metrics_worker_claim(&metrics, 12, is_gone);
    assert_ptr_equal(first, second); /* 11 is gone */
    assert_ptr_not_equal(metrics_worker_claim(&metrics, 13, is_gone), second);
    metrics_count(&metrics, &route_table[4], 200, 900);
    metrics_count(&metrics, &route_table[4], 200, 100000000);
    metrics_count(&metrics, NULL, 299, 1);
    metrics_write(&metrics, &out);
    buffer_append(&out, "", 1);
    assert_true(buffer_ok(&out));
    assert_non_null(strstr(out.data, "pixbus_http_requests_total{method=\"GET\",route=\"/api/v0/feed\",status=\"200\"} 2\n"));
    assert_non_null(strstr(out.data, "route=\"/api/v0/feed\",le=\"0.0005\"} 0\n"));
    assert_non_null(strstr(out.data, "route=\"/api/v0/feed\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(out.data, "route=\"/api/v0/feed\",le=\"10\"} 1\n"));
    assert_non_null(strstr(out.data, "route=\"/api/v0/feed\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(out.data, "pixbus_http_request_seconds_sum{method=\"GET\",route=\"/api/v0/feed\"} 100.000900\n"));
    assert_non_null(strstr(out.data, "{method=\"\",route=\"none\",status=\"other\"} 1\n"));
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(remembers_for_a_bounded_time),
        cmocka_unit_test(remembers_a_bounded_number),
        cmocka_unit_test(challenges),
        cmocka_unit_test(siphash),
        cmocka_unit_test(cors),
        cmocka_unit_test(counters),
    };
    cache = token_cache_new(key);
    int failed = cache == NULL || cmocka_run_group_tests(tests, NULL, NULL);
    token_cache_free(cache);
    return failed;
}
