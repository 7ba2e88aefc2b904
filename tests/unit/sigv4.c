/* Signature V4 against the examples that Amazon's documentation works out, against itself, and against forgers. */
#include "aws/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

/* 2013-05-24T00:00:00Z, the moment of the examples in the S3 API reference. */
#define EXAMPLE_US (INT64_C(1369353600) * US_PER_S)
#define EXAMPLE_HOST "examplebucket.s3.amazonaws.com"
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4_credentials example = {"us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                                 NULL};

static int setup(void **state) {
    *state = sigv4_signer_new(&example);
    return *state == NULL;
}

static int teardown(void **state) {
    sigv4_signer_free(*state);
    return 0;
}

static void assert_ends_with(const char *string, const char *end) {
    assert_true(strlen(string) >= strlen(end));
    assert_string_equal(string + strlen(string) - strlen(end), end);
}

static struct text presign(struct sigv4_signer *signer, const struct sigv4_presign *presign, struct buffer *url) {
    buffer_clear(url);
    assert_true(sigv4_presign(signer, presign, url));
    return buffer_text(url);
}

static void test_presigned_get_of_the_documentation(void **state) {
    struct buffer url = {0};
    presign(*state,
            &(struct sigv4_presign){.method = TEXT("GET"),
                                    .endpoint = TEXT("https://" EXAMPLE_HOST),
                                    .key = TEXT("test.txt"),
                                    .expires_s = 86400,
                                    .now_us = EXAMPLE_US},
            &url);
    buffer_append(&url, "", 1);
    assert_string_equal(url.data, "https://" EXAMPLE_HOST "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
                                  "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&"
                                  "X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
                                  "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buffer_free(&url);
}

static void sign_example(struct sigv4_signer *signer, const struct sigv4_request *request, const char *payload,
                         const char *expected) {
    struct sigv4_signature signature;
    assert_true(sigv4_sign(signer, request, text_from(payload), EXAMPLE_US, &signature));
    assert_string_equal(signature.date, "20130524T000000Z");
    assert_ends_with(signature.authorization, expected);
}

static void test_signed_headers_of_the_documentation(void **state) {
    const struct sigv4_header range[] = {{TEXT("range"), TEXT("bytes=0-9")}, {TEXT("host"), TEXT(EXAMPLE_HOST)}};
    sign_example(*state, &(struct sigv4_request){TEXT("GET"), TEXT("/test.txt"), {0}, range, 2}, EMPTY_SHA256,
                 "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="
                 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    const struct sigv4_header put[] = {{TEXT("host"), TEXT(EXAMPLE_HOST)},
                                       {TEXT("date"), TEXT("Fri, 24 May 2013 00:00:00 GMT")},
                                       {TEXT("x-amz-storage-class"), TEXT("REDUCED_REDUNDANCY")}};
    sign_example(*state, &(struct sigv4_request){TEXT("PUT"), TEXT("/test%24file.text"), {0}, put, 3},
                 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    const struct sigv4_header host[] = {{TEXT("host"), TEXT(EXAMPLE_HOST)}};
    sign_example(*state, &(struct sigv4_request){TEXT("GET"), TEXT("/"), TEXT("lifecycle"), host, 1}, EMPTY_SHA256,
                 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    sign_example(*state, &(struct sigv4_request){TEXT("GET"), TEXT("/"), TEXT("prefix=J&max-keys=2"), host, 1}, EMPTY_SHA256,
                 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* ---- what we presign, we accept; what somebody changed, we do not ---- */

#define KEY "up/my cat+\xc3\xbc%41.jpg"

struct presigned {
    struct buffer url;
    struct text path, query;
};

static void make_presigned(struct sigv4_signer *signer, const char *method, const struct sigv4_header *headers, size_t count,
                           struct presigned *ret) {
    *ret = (struct presigned){0};
    struct text url = presign(signer,
                              &(struct sigv4_presign){.method = text_from(method),
                                                      .endpoint = TEXT("http://Localhost:9000/"),
                                                      .bucket = TEXT("media"),
                                                      .key = TEXT(KEY),
                                                      .expires_s = 300,
                                                      .now_us = EXAMPLE_US,
                                                      .headers = headers,
                                                      .header_count = count},
                              &ret->url);
    size_t origin = strlen("http://Localhost:9000");
    const char *mark = memchr(url.data, '?', url.size);
    assert_non_null(mark);
    ret->path = (struct text){url.data + origin, (size_t)(mark - url.data) - origin};
    ret->query = (struct text){mark + 1, (size_t)(url.data + url.size - mark) - 1};
}

static enum sigv4_result verify(struct sigv4_signer *signer, const char *method, struct text path, struct text query,
                                const struct sigv4_header *headers, size_t count, int64_t after_s) {
    return sigv4_verify(signer, &(struct sigv4_request){text_from(method), path, query, headers, count},
                        EXAMPLE_US + after_s * US_PER_S, NULL);
}

static const struct sigv4_header local[] = {{TEXT("Host"), TEXT("localhost:9000")}, {TEXT("User-Agent"), TEXT("x")}};

static void test_presigned_is_accepted_in_its_time(void **state) {
    struct presigned it;
    struct sigv4_verified verified;
    make_presigned(*state, "GET", NULL, 0, &it);
    assert_true(text_equal(it.path, TEXT("/media/up/my%20cat%2B%C3%BC%2541.jpg")));
    assert_int_equal(verify(*state, "GET", it.path, it.query, local, 2, 0), SIGV4_OK);
    assert_int_equal(verify(*state, "GET", it.path, it.query, local, 2, 299), SIGV4_OK);
    assert_int_equal(verify(*state, "GET", it.path, it.query, local, 2, 300), SIGV4_EXPIRED);
    assert_int_equal(verify(*state, "GET", it.path, it.query, local, 2, -900), SIGV4_OK);
    assert_int_equal(verify(*state, "GET", it.path, it.query, local, 2, -901), SIGV4_NOT_YET_VALID);
    assert_int_equal(
        sigv4_verify(*state, &(struct sigv4_request){TEXT("GET"), it.path, it.query, local, 2}, EXAMPLE_US, &verified), SIGV4_OK);
    assert_true(verified.presigned);
    assert_string_equal(verified.signed_headers, "host");
    assert_string_equal(verified.payload_sha256, "UNSIGNED-PAYLOAD");
    /* Another encoding of the same path is the same request. */
    assert_int_equal(verify(*state, "GET", TEXT("/media/up/my%20cat+%c3%bc%2541%2ejpg"), it.query, local, 2, 0), SIGV4_OK);
    buffer_free(&it.url);
}

static void test_presigned_for_something_else(void **state) {
    struct presigned it;
    static const struct sigv4_header other_host[] = {{TEXT("host"), TEXT("localhost:9001")}};
    static const struct sigv4_header smuggled[] = {{TEXT("host"), TEXT("localhost:9000")},
                                                   {TEXT("X-Amz-Acl"), TEXT("public-read")}};
    static const struct sigv4_header two_hosts[] = {{TEXT("host"), TEXT("localhost:9000")},
                                                    {TEXT("host"), TEXT("localhost:9000")}};
    make_presigned(*state, "GET", NULL, 0, &it);
    assert_int_equal(verify(*state, "PUT", it.path, it.query, local, 2, 0), SIGV4_MISMATCH);
    assert_int_equal(verify(*state, "GET", TEXT("/media/other"), it.query, local, 2, 0), SIGV4_MISMATCH);
    assert_int_equal(verify(*state, "GET", TEXT("/media/%zz"), it.query, local, 2, 0), SIGV4_MISMATCH);
    assert_int_equal(verify(*state, "GET", it.path, it.query, other_host, 1, 0), SIGV4_MISMATCH);
    assert_int_equal(verify(*state, "GET", it.path, it.query, smuggled, 2, 0), SIGV4_MALFORMED);
    assert_int_equal(verify(*state, "GET", it.path, it.query, two_hosts, 2, 0), SIGV4_MALFORMED);
    assert_int_equal(verify(*state, "GET", it.path, it.query, NULL, 0, 0), SIGV4_MALFORMED);
    assert_int_equal(verify(*state, "GET", it.path, (struct text){0}, local, 2, 0), SIGV4_MISSING);
    buffer_free(&it.url);
}

/* Change, drop or double each byte of the query in turn: nothing of it may still pass. */
static void test_every_byte_of_the_query_counts(void **state) {
    struct presigned it;
    make_presigned(*state, "PUT", NULL, 0, &it);
    struct buffer changed = {0};
    for (size_t i = 0; i < it.query.size; i++) {
        buffer_clear(&changed);
        buffer_append_text(&changed, it.query);
        changed.data[i] = changed.data[i] == '1' ? '2' : '1';
        assert_int_not_equal(verify(*state, "PUT", it.path, buffer_text(&changed), local, 2, 0), SIGV4_OK);
        memmove(changed.data + i, it.query.data + i + 1, it.query.size - i - 1);
        changed.size--;
        /* A blank parameter changes nothing, and so does one '&' less at an end; all else must. */
        assert_int_not_equal(verify(*state, "PUT", it.path, buffer_text(&changed), local, 2, 0), SIGV4_OK);
        assert_int_not_equal(verify(*state, "PUT", it.path, (struct text){it.query.data, i}, local, 2, 0), SIGV4_OK);
    }
    buffer_clear(&changed);
    buffer_append_text(&changed, it.query);
    buffer_append_text(&changed, TEXT("&X-Amz-Expires=604800"));
    assert_int_equal(verify(*state, "PUT", it.path, buffer_text(&changed), local, 2, 0), SIGV4_MALFORMED);
    buffer_free(&changed);
    buffer_free(&it.url);
}

static void test_signed_headers_of_a_presigned_put(void **state) {
    static const struct sigv4_header bound[] = {
        {TEXT("if-none-match"), TEXT("*")}, {TEXT("content-type"), TEXT("image/jpeg")}, {TEXT("content-length"), TEXT("123")}};
    struct sigv4_header sent[] = {{TEXT("Content-Type"), TEXT("image/jpeg")},
                                  {TEXT("Host"), TEXT("localhost:9000")},
                                  {TEXT("Content-Length"), TEXT(" 123 ")},
                                  {TEXT("If-None-Match"), TEXT("*")}};
    struct presigned it;
    make_presigned(*state, "PUT", bound, 3, &it);
    assert_non_null(memmem(it.query.data, it.query.size, TEXT("content-length%3Bcontent-type%3Bhost%3Bif-none-match").data, 52));
    assert_int_equal(verify(*state, "PUT", it.path, it.query, sent, 4, 0), SIGV4_OK);
    assert_int_equal(verify(*state, "PUT", it.path, it.query, sent, 3, 0), SIGV4_MISMATCH);
    sent[2].value = TEXT("124");
    assert_int_equal(verify(*state, "PUT", it.path, it.query, sent, 4, 0), SIGV4_MISMATCH);
    buffer_free(&it.url);
}

static void test_presign_limits(void **state) {
    struct buffer url = {0};
    struct sigv4_presign ask = {.method = TEXT("GET"),
                                .endpoint = TEXT("http://h"),
                                .bucket = TEXT("b"),
                                .key = TEXT("k"),
                                .expires_s = 1,
                                .now_us = EXAMPLE_US};
    assert_true(sigv4_presign(*state, &ask, &url));
    ask.expires_s = 0;
    assert_false(sigv4_presign(*state, &ask, &url));
    ask.expires_s = SIGV4_EXPIRES_MAX_S + 1;
    assert_false(sigv4_presign(*state, &ask, &url));
    ask.expires_s = 1;
    static const char *const malformed[] = {"",           "h",         "ftp://h",   "http://", "http:///", "http://h/path",
                                            "http://u@h", "http://h?", "http://a b"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        ask.endpoint = text_from(malformed[i]);
        assert_false(sigv4_presign(*state, &ask, &url));
    }
    ask.endpoint = TEXT("http://h");
    buffer_free(&url);
    url.limit_bytes = 100;
    assert_false(sigv4_presign(*state, &ask, &url));
    buffer_free(&url);
}

static void test_days_change_the_key(void **state) {
    struct buffer url = {0}, again = {0};
    struct sigv4_presign ask = {.method = TEXT("GET"),
                                .endpoint = TEXT("http://h"),
                                .bucket = TEXT("b"),
                                .key = TEXT("k"),
                                .expires_s = 60,
                                .now_us = EXAMPLE_US};
    struct text first = presign(*state, &ask, &url);
    ask.now_us += 86400 * US_PER_S;
    assert_false(text_equal(first, presign(*state, &ask, &again)));
    ask.now_us = EXAMPLE_US;
    assert_true(text_equal(first, presign(*state, &ask, &again)));
    buffer_free(&url);
    buffer_free(&again);
}

/* ---- signed headers ---- */

static void test_signed_headers_are_verified(void **state) {
    struct sigv4_signature signature;
    struct sigv4_verified verified;
    struct sigv4_header headers[6] = {{TEXT("content-type"), TEXT("image/jpeg")}, {TEXT("host"), TEXT("localhost:9000")}};
    struct sigv4_request request = {TEXT("PUT"), TEXT("/media/a%20b"), TEXT("b=2&a=1"), headers, 2};
    assert_true(sigv4_sign(*state, &request, TEXT(EMPTY_SHA256), EXAMPLE_US, &signature));
    headers[2] = (struct sigv4_header){TEXT("x-amz-date"), text_from(signature.date)};
    headers[3] = (struct sigv4_header){TEXT("X-Amz-Content-SHA256"), text_from(signature.payload_sha256)};
    headers[4] = (struct sigv4_header){TEXT("Authorization"), text_from(signature.authorization)};
    request.header_count = 5;
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, &verified), SIGV4_OK);
    assert_false(verified.presigned);
    assert_string_equal(verified.payload_sha256, EMPTY_SHA256);
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US + 901 * US_PER_S, NULL), SIGV4_NOT_YET_VALID);
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US - 901 * US_PER_S, NULL), SIGV4_NOT_YET_VALID);
    request.query = TEXT("a=1&b=2");
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_OK);
    request.query = TEXT("a=1&b=2&X-Amz-Signature=00");
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_MALFORMED);
    request.query = TEXT("a=1");
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_MISMATCH);
    request.query = TEXT("b=2&a=1");
    headers[3].value = TEXT(SIGV4_UNSIGNED_PAYLOAD);
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_MISMATCH);
    headers[3].name = TEXT("x-other");
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_MALFORMED);
    headers[5] = headers[4];
    headers[3] = (struct sigv4_header){TEXT("x-amz-content-sha256"), text_from(signature.payload_sha256)};
    request.header_count = 6;
    assert_int_equal(sigv4_verify(*state, &request, EXAMPLE_US, NULL), SIGV4_MALFORMED);
}

#define SCOPE "20130524/us-east-1/s3/aws4_request"
#define NAMES "host;x-amz-content-sha256;x-amz-date"
#define ZEROES "0000000000000000000000000000000000000000000000000000000000000000"

static void test_authorization_headers(void **state) {
    static const struct {
        const char *header;
        enum sigv4_result expected;
    } cases[] = {
        {"", SIGV4_MALFORMED},
        {"Basic dTpw", SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256", SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 ", SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES, SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES,
         SIGV4_MISMATCH},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES "0",
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLF/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES,
         SIGV4_UNKNOWN_KEY},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130523/us-east-1/s3/aws4_request, SignedHeaders=" NAMES
         ", Signature=" ZEROES,
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/eu-west-1/s3/aws4_request, SignedHeaders=" NAMES
         ", Signature=" ZEROES,
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE, SignedHeaders=" NAMES ", Signature=" ZEROES, SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE
         ", SignedHeaders=x-amz-content-sha256;x-amz-date, Signature=" ZEROES,
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=host;x-amz-date, Signature=" ZEROES,
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE
         ", SignedHeaders=x-amz-date;x-amz-content-sha256;host, Signature=" ZEROES,
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ";x-z, Signature=" ZEROES,
         SIGV4_MISMATCH},
        {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES ", Other=1",
         SIGV4_MALFORMED},
        {"AWS4-HMAC-SHA512 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES,
         SIGV4_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct sigv4_header headers[] = {{TEXT("host"), TEXT("h")},
                                               {TEXT("x-amz-date"), TEXT("20130524T000000Z")},
                                               {TEXT("x-amz-content-sha256"), TEXT(EMPTY_SHA256)},
                                               {TEXT("authorization"), text_from(cases[i].header)}};
        assert_int_equal(verify(*state, "GET", TEXT("/b/k"), (struct text){0}, headers, 4, 0), cases[i].expected);
    }
}

static void test_dates(void **state) {
    static const char *const malformed[] = {"",
                                            "20130524",
                                            "20130524T000000",
                                            "20130524 000000Z",
                                            "20131324T000000Z",
                                            "20130532T000000Z",
                                            "20130524T240000Z",
                                            "2013052aT000000Z",
                                            "20130524T000000Z0"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        const struct sigv4_header headers[] = {
            {TEXT("host"), TEXT("h")},
            {TEXT("x-amz-date"), text_from(malformed[i])},
            {TEXT("x-amz-content-sha256"), TEXT(EMPTY_SHA256)},
            {TEXT("authorization"),
             TEXT("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE ", SignedHeaders=" NAMES ", Signature=" ZEROES)}};
        assert_int_equal(verify(*state, "GET", TEXT("/b/k"), (struct text){0}, headers, 4, 0), SIGV4_MALFORMED);
    }
}

static void test_session_tokens(void **state) {
    struct sigv4_credentials credentials = example;
    struct presigned with, without;
    credentials.session_token = "token/with+odd=bytes";
    struct sigv4_signer *signer = sigv4_signer_new(&credentials);
    assert_non_null(signer);
    make_presigned(signer, "GET", NULL, 0, &with);
    make_presigned(*state, "GET", NULL, 0, &without);
    assert_non_null(
        memmem(with.query.data, with.query.size, "&X-Amz-Security-Token=token%2Fwith%2Bodd%3Dbytes&X-Amz-Signed", 61));
    assert_int_equal(verify(signer, "GET", with.path, with.query, local, 2, 0), SIGV4_OK);
    assert_int_equal(verify(*state, "GET", with.path, with.query, local, 2, 0), SIGV4_UNKNOWN_KEY);
    assert_int_equal(verify(signer, "GET", without.path, without.query, local, 2, 0), SIGV4_UNKNOWN_KEY);
    buffer_free(&with.url);
    buffer_free(&without.url);
    sigv4_signer_free(signer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presigned_get_of_the_documentation),
        cmocka_unit_test(test_signed_headers_of_the_documentation),
        cmocka_unit_test(test_presigned_is_accepted_in_its_time),
        cmocka_unit_test(test_presigned_for_something_else),
        cmocka_unit_test(test_every_byte_of_the_query_counts),
        cmocka_unit_test(test_signed_headers_of_a_presigned_put),
        cmocka_unit_test(test_presign_limits),
        cmocka_unit_test(test_days_change_the_key),
        cmocka_unit_test(test_signed_headers_are_verified),
        cmocka_unit_test(test_authorization_headers),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_session_tokens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
