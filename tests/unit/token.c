/* Tokens: what is issued verifies, what others made of the same claims verifies, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/token.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "crypto/crypto.h"

#define KEY TEXT("0123456789abcdef0123456789abcdef")
#define ISSUED_S INT64_C(1700000000)
#define NOW_US ((ISSUED_S + 1800) * US_PER_S)

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define IDENTITY "\"sub\":\"Ann@example.org\",\"uid\":7,\"jti\":\"00112233445566778899aabbccddeeff\""
#define TIMES "\"iat\":1700000000,\"exp\":1700003600"
#define ORIGIN "\"iss\":\"pixbus\",\"aud\":\"pixbus\",\"kind\":\"access\""
#define CLAIMS "{" IDENTITY "," TIMES "," ORIGIN "}"

/* The same claims and key by another implementation (PyJWT 2.6). */
#define FOREIGN_PAYLOAD                                                                                                            \
    "eyJzdWIiOiJBbm5AZXhhbXBsZS5vcmciLCJ1aWQiOjcsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAzNjAwLCJqdGkiOiIwMDExMjIzMzQ0NTU2Njc3ODg5" \
    "OWFhYmJjY2RkZWVmZiIsImlzcyI6InBpeGJ1cyIsImF1ZCI6InBpeGJ1cyIsImtpbmQiOiJhY2Nlc3MifQ"
#define FOREIGN_HS256 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC2Tg"
#define FOREIGN_HS384 \
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".THgC8smCe5libOFUPCq9jJagwa_zNzDcuxwemkQvgE7G960NvOF5mdeddf5oZFYZ"
#define FOREIGN_HS512                                                                                                   \
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".bVgLxxWRtsAnlVcLNVjMTZxkTv9l4v074K_8q0BCPsRSIvXVzCDOxHv2" \
    "wdYGV-BDyCStCi5VOaL8cp6J8TIlpg"
#define FOREIGN_NONE "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." FOREIGN_PAYLOAD "."
#define FOREIGN_RS256                                                                                                          \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".bG_7QDmbakpbdu2TklssL1IT0GU5kx17zZWpD7HKTV0Yt1rWFPSSzVUPagf3"    \
    "GRF_8Gj2SJR7X51XBLQkB3NrUfEslBqkij0E13tt8EWq9t1UaRW1J53A0ngF0AfNk0Ykav__vg4f2GpjjvHXBkfHTNDCjaVHlFO9mjZbNbA6Qp_3H591c426" \
    "sYRsMII1E6_2-0b0mA_Mirqb0tCPhJna3PGmt4wmqYhUodFnL-Y8w6aNE-Xwi4sgq9YNM-S_Pwbi0SmaRSog2fQc0cDMxTDEbCj9JiihUZ4dtthKdjsaReH3" \
    "82hM6TXRafZ4N7B3uscxPPmp5wuVaVfyuVYw2NRYCA"

static void append_base64url(struct buffer *out, const void *bytes, size_t size) {
    char *encoded = malloc(4 * ((size + 2) / 3) + 1);
    assert_non_null(encoded);
    buffer_append(out, encoded, base64url_encode(bytes, size, encoded));
    free(encoded);
}

/* Sign a header and claims by HMAC-SHA-256, without the code under test. The caller frees. */
static char *sign(const char *header, const char *claims, struct text key) {
    struct buffer out = {0};
    uint8_t signature[SHA256_BYTES];
    struct hmac *hmac = hmac_new();
    assert_non_null(hmac);
    append_base64url(&out, header, strlen(header));
    buffer_append(&out, ".", 1);
    append_base64url(&out, claims, strlen(claims));
    hmac_key(hmac, key.data, key.size);
    hmac_compute(hmac, out.data, out.size, signature);
    hmac_free(hmac);
    buffer_append(&out, ".", 1);
    append_base64url(&out, signature, sizeof signature);
    buffer_append(&out, "", 1);
    assert_true(buffer_ok(&out));
    return out.data;
}

/* The verdict on a token at a time; a token that is not good must leave the claims alone. */
static enum token_verdict verdict_at(struct text token, int64_t now_us) {
    struct token_claims claims, untouched;
    enum token_verdict verdict;
    memset(&claims, 0x5a, sizeof claims);
    memset(&untouched, 0x5a, sizeof untouched);
    verdict = token_verify(KEY, token, now_us, &claims);
    if (verdict != TOKEN_GOOD)
        assert_memory_equal(&claims, &untouched, sizeof claims);
    return verdict;
}

static enum token_verdict verdict_on(const char *token) {
    return verdict_at(text_from(token), NOW_US);
}

static enum token_verdict verdict_on_signed(const char *header, const char *claims) {
    char *token = sign(header, claims, KEY);
    enum token_verdict verdict = verdict_on(token);
    free(token);
    return verdict;
}

static void issued_tokens_verify(void **state) {
    struct token_claims claims = {.user_id = 4294967297, .issued_us = NOW_US, .expires_us = NOW_US + 3600 * US_PER_S};
    struct token_claims seen = {0};
    char token[TOKEN_BYTES], second[TOKEN_BYTES];
    (void)state;
    assert_true(text_copy(TEXT("J\xc3\xb6rg+\"x\\y\"@b\xc3\xbc"
                               "cher.example"),
                          claims.email, sizeof claims.email));
    assert_true(token_issue(KEY, &claims, token));
    assert_int_equal(token_verify(KEY, text_from(token), NOW_US, &seen), TOKEN_GOOD);
    assert_int_equal(seen.user_id, claims.user_id);
    assert_string_equal(seen.email, claims.email);
    assert_int_equal(seen.issued_us, claims.issued_us);
    assert_int_equal(seen.expires_us, claims.expires_us);
    assert_int_equal(strlen(seen.id), 32);
    assert_true(token_issue(KEY, &claims, second));
    assert_string_not_equal(token, second); /* the ids differ */
    /* The longest email of the most escaped characters. */
    memset(claims.email, '"', LIMIT_EMAIL_BYTES);
    claims.email[LIMIT_EMAIL_BYTES] = '\0';
    assert_true(token_issue(KEY, &claims, token));
    assert_int_equal(token_verify(KEY, text_from(token), NOW_US, &seen), TOKEN_GOOD);
    assert_string_equal(seen.email, claims.email);
}

/* Anybody can read a token: it holds these claims and nothing else. */
static void issued_tokens_hold_nothing_else(void **state) {
    struct token_claims claims = {.user_id = 7, .email = "a@b.example", .issued_us = NOW_US, .expires_us = NOW_US + US_PER_S};
    char token[TOKEN_BYTES], expected[TOKEN_BYTES];
    uint8_t payload[TOKEN_BYTES];
    struct token_claims seen;
    char *first, *last;
    size_t size;
    (void)state;
    assert_true(token_issue(KEY, &claims, token));
    assert_int_equal(token_verify(KEY, text_from(token), NOW_US, &seen), TOKEN_GOOD);
    first = strchr(token, '.');
    last = strrchr(token, '.');
    assert_true(base64url_decode((struct text){first + 1, (size_t)(last - first) - 1}, payload, sizeof payload - 1, &size));
    payload[size] = '\0';
    (void)snprintf(
        expected, sizeof expected,
        "{\"aud\":\"pixbus\",\"exp\":1700001801,\"iat\":1700001800,\"iss\":\"pixbus\",\"jti\":\"%s\",\"kind\":\"access\","
        "\"sub\":\"a@b.example\",\"uid\":7}",
        seen.id);
    assert_string_equal((char *)payload, expected);
}

static void tokens_of_other_implementations_verify(void **state) {
    struct token_claims claims;
    char *token = sign(HEADER, CLAIMS, KEY);
    (void)state;
    assert_int_equal(token_verify(KEY, text_from(token), NOW_US, &claims), TOKEN_GOOD);
    free(token);
    assert_int_equal(token_verify(KEY, TEXT(FOREIGN_HS256), NOW_US, &claims), TOKEN_GOOD);
    assert_int_equal(claims.user_id, 7);
    assert_string_equal(claims.email, "Ann@example.org");
    assert_string_equal(claims.id, "00112233445566778899aabbccddeeff");
    assert_int_equal(claims.issued_us, ISSUED_S * US_PER_S);
    assert_int_equal(claims.expires_us, (ISSUED_S + 3600) * US_PER_S);
    /* A key id and members that we do not know change nothing. */
    assert_int_equal(
        verdict_on_signed("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\",\"typ\":\"JWT\",\"jku\":\"http://x\"}", CLAIMS),
        TOKEN_GOOD);
    assert_int_equal(verdict_on_signed(HEADER, "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":1700000000,\"x\":[{}]}"), TOKEN_GOOD);
}

static void other_algorithms_are_rejected(void **state) {
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS384\",\"typ\":\"JWT\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS256 \"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":256}",
        "{\"alg\":null}",
        "{\"typ\":\"JWT\"}",
        "{}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
    };
    (void)state;
    assert_int_equal(verdict_on(FOREIGN_NONE), TOKEN_REJECTED);
    assert_int_equal(verdict_on(FOREIGN_HS384), TOKEN_REJECTED);
    assert_int_equal(verdict_on(FOREIGN_HS512), TOKEN_REJECTED);
    assert_int_equal(verdict_on(FOREIGN_RS256), TOKEN_REJECTED);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (verdict_on_signed(headers[i], CLAIMS) != TOKEN_REJECTED)
            fail_msg("not rejected: %s", headers[i]);
}

static void other_keys_and_signatures_are_rejected(void **state) {
    char token[] = FOREIGN_HS256;
    char *other = sign(HEADER, CLAIMS, TEXT("0123456789abcdef0123456789abcdeF"));
    size_t at = strlen(token) - 5;
    (void)state;
    assert_int_equal(verdict_on(other), TOKEN_REJECTED);
    free(other);
    assert_int_equal(verdict_on("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD "."), TOKEN_REJECTED);
    /* Too short, and one signature twice. */
    assert_int_equal(
        verdict_on("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC"),
        TOKEN_REJECTED);
    /* Every bit of the signature and of what is signed counts. */
    token[at] = token[at] == 'x' ? 'y' : 'x';
    assert_int_equal(verdict_on(token), TOKEN_REJECTED);
    for (size_t i = 0; i < sizeof FOREIGN_HS256 - 1; i++) {
        struct token_claims claims;
        memcpy(token, FOREIGN_HS256, sizeof token);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(token_verify(KEY, text_from(token), NOW_US, &claims), TOKEN_GOOD);
    }
}

static void only_one_spelling_is_taken(void **state) {
    static const char *const tokens[] = {
        "",
        ".",
        "..",
        "...",
        "a.b",
        "Bearer",
        "a.b.c",
        "null",
        FOREIGN_HS256 "=",  /* padding */
        FOREIGN_HS256 ".",  /* a fourth part */
        FOREIGN_HS256 " ",  /* blanks */
        " " FOREIGN_HS256,  /* blanks */
        FOREIGN_HS256 "\n", /* line ends */
        "." FOREIGN_PAYLOAD ".XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC2Tg",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC2Tg",
        /* the other alphabet of base64 */
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".XAiuU//BvUtJF3Ff7ba2BU8E+fPJTWj0JNH9eEaC2Tg",
        /* other bits behind the last byte: g is 100000, h is 100001 */
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC2Th",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." FOREIGN_PAYLOAD ".XAiuU__BvUtJF3Ff7ba2BU8E-fPJTWj0JNH9eEaC2Tg=",
    };
    static const char with_nul[] = FOREIGN_HS256 "\0x";
    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (verdict_on(tokens[i]) != TOKEN_MALFORMED)
            fail_msg("not malformed: %s", tokens[i]);
    assert_int_equal(verdict_at((struct text){with_nul, sizeof with_nul - 1}, NOW_US), TOKEN_MALFORMED);
    assert_int_equal(verdict_at((struct text){0}, NOW_US), TOKEN_MALFORMED);
}

static void parts_that_are_no_objects_are_malformed(void **state) {
    static const char *const parts[] = {"",
                                        "[]",
                                        "null",
                                        "7",
                                        "\"x\"",
                                        "{",
                                        "{}}",
                                        "{\"alg\":\"HS256\"",
                                        "\xff\xfe",
                                        "{\"a\":\"\\ud800\"}",
                                        "{\"alg\":\"HS256\",\"alg\":\"none\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (verdict_on_signed(parts[i], CLAIMS) != TOKEN_MALFORMED)
            fail_msg("header not malformed: %s", parts[i]);
        if (verdict_on_signed(HEADER, parts[i]) != TOKEN_MALFORMED)
            fail_msg("claims not malformed: %s", parts[i]);
    }
}

/* Signed with our key, and still not a token that we would have made. */
static void other_claims_are_rejected(void **state) {
    static const char *const claims[] = {
        "{}",
        "{" IDENTITY "," TIMES "}",
        "{" IDENTITY "," ORIGIN "}",
        "{" TIMES "," ORIGIN "}",
        /* exp missing, in quotes, a fraction, null, negative, too far away, too large for any clock */
        "{" IDENTITY ",\"iat\":1700000000," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":\"1700003600\"," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":1700003600.0," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":1.7000036e9," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":null," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":true," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":-1," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":4855766400," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700000000,\"exp\":9223372036854775807," ORIGIN "}",
        /* iat */
        "{" IDENTITY ",\"exp\":1700003600," ORIGIN "}",
        "{" IDENTITY ",\"iat\":\"1700000000\",\"exp\":1700003600," ORIGIN "}",
        "{" IDENTITY ",\"iat\":1700003601,\"exp\":1700003600," ORIGIN "}",
        /* nbf in the future, and in forms that a lax reader takes for 0 */
        "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":1700001801}",
        "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":\"1700001801\"}",
        "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":1700001801.5}",
        "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":null}",
        /* iss, aud, kind */
        "{" IDENTITY "," TIMES ",\"aud\":\"pixbus\",\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus2\",\"aud\":\"pixbus\",\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\\u0020\",\"aud\":\"pixbus\",\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"aud\":\"other\",\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"aud\":[\"pixbus\"],\"kind\":\"access\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"aud\":\"pixbus\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"aud\":\"pixbus\",\"kind\":\"refresh\"}",
        "{" IDENTITY "," TIMES ",\"iss\":\"pixbus\",\"aud\":\"pixbus\",\"kind\":1}",
        /* sub, uid, jti */
        "{\"uid\":7,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"\",\"uid\":7,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":7,\"uid\":7,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":0,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":-7,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":7.0,\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":\"7\",\"jti\":\"x\"," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":7," TIMES "," ORIGIN "}",
        "{\"sub\":\"a@b\",\"uid\":7,\"jti\":\"000000000000000000000000000000000\"," TIMES "," ORIGIN "}",
        /* what the older system issued: the account's row */
        "{\"user\":{\"email\":\"a@b\",\"password_hash\":\"$argon2id$\"},\"exp\":1700003600,\"iat\":1700000000}",
    };
    (void)state;
    /* The one that the last group departs from. */
    assert_int_equal(verdict_on_signed(HEADER, "{\"sub\":\"a@b\",\"uid\":7,\"jti\":\"x\"," TIMES "," ORIGIN "}"), TOKEN_GOOD);
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        if (verdict_on_signed(HEADER, claims[i]) != TOKEN_REJECTED)
            fail_msg("not rejected: %s", claims[i]);
}

static void times_are_exact(void **state) {
    const struct text token = TEXT(FOREIGN_HS256);
    const int64_t expires_us = (ISSUED_S + 3600) * US_PER_S;
    char *later = sign(HEADER, "{" IDENTITY "," TIMES "," ORIGIN ",\"nbf\":1700001800}", KEY);
    char *year = sign(HEADER, "{" IDENTITY ",\"iat\":1700001800,\"exp\":1731538100," ORIGIN "}", KEY); /* a year and the skew */
    (void)state;
    assert_int_equal(verdict_at(token, expires_us - 1), TOKEN_GOOD);
    assert_int_equal(verdict_at(token, expires_us), TOKEN_REJECTED);
    assert_int_equal(verdict_at(token, INT64_MAX), TOKEN_REJECTED);
    assert_int_equal(verdict_at(text_from(later), NOW_US), TOKEN_GOOD);
    assert_int_equal(verdict_at(text_from(later), NOW_US - 1), TOKEN_REJECTED);
    assert_int_equal(verdict_at(text_from(year), NOW_US), TOKEN_GOOD);
    assert_int_equal(verdict_at(text_from(year), NOW_US - 1), TOKEN_REJECTED);
    free(later);
    free(year);
}

/* A token of exactly `size` bytes with good claims, by a member of the needed length. NULL if there is none. */
static char *token_of_size(size_t size) {
    char claims[LIMIT_TOKEN_BYTES + sizeof CLAIMS + 16];
    for (size_t fill = 0; fill < LIMIT_TOKEN_BYTES; fill++) {
        char *token;
        (void)snprintf(claims, sizeof claims, "{" IDENTITY "," TIMES "," ORIGIN ",\"x\":\"%0*d\"}", (int)fill + 1, 0);
        token = sign(HEADER, claims, KEY);
        if (strlen(token) == size)
            return token;
        free(token);
    }
    return NULL;
}

static void long_tokens_are_malformed(void **state) {
    char *longest = token_of_size(LIMIT_TOKEN_BYTES), *too_long = token_of_size(LIMIT_TOKEN_BYTES + 1);
    char *huge = malloc(8192);
    (void)state;
    assert_non_null(longest);
    assert_non_null(too_long);
    assert_non_null(huge);
    assert_int_equal(verdict_on(longest), TOKEN_GOOD);
    assert_int_equal(verdict_on(too_long), TOKEN_MALFORMED);
    memset(huge, 'A', 8192);
    assert_int_equal(verdict_at((struct text){huge, 8192}, NOW_US), TOKEN_MALFORMED);
    free(longest);
    free(too_long);
    free(huge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issued_tokens_verify),
        cmocka_unit_test(issued_tokens_hold_nothing_else),
        cmocka_unit_test(tokens_of_other_implementations_verify),
        cmocka_unit_test(other_algorithms_are_rejected),
        cmocka_unit_test(other_keys_and_signatures_are_rejected),
        cmocka_unit_test(only_one_spelling_is_taken),
        cmocka_unit_test(parts_that_are_no_objects_are_malformed),
        cmocka_unit_test(other_claims_are_rejected),
        cmocka_unit_test(times_are_exact),
        cmocka_unit_test(long_tokens_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
