#include "auth/token.h"

#include <errno.h>
#include <jwt.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"

static const char issuer[] = "pixbus";
static const char audience[] = "pixbus";
static const char kind_access[] = "access";

/* HMAC-SHA-256 makes 32 bytes: 43 characters of base64url. */
#define SIGNATURE_BYTES 32

static void free_jwt(jwt_t **jwt) {
    jwt_free(*jwt);
}

static void free_string(char **string) {
    free(*string);
}

static bool claims_add(jwt_t *jwt, const struct token_claims *claims, const char *id) {
    return jwt_add_grant(jwt, "sub", claims->email) == 0 && jwt_add_grant_int(jwt, "uid", (long)claims->user_id) == 0 &&
           jwt_add_grant_int(jwt, "iat", (long)(claims->issued_us / US_PER_S)) == 0 &&
           jwt_add_grant_int(jwt, "exp", (long)(claims->expires_us / US_PER_S)) == 0 && jwt_add_grant(jwt, "jti", id) == 0 &&
           jwt_add_grant(jwt, "iss", issuer) == 0 && jwt_add_grant(jwt, "aud", audience) == 0 &&
           jwt_add_grant(jwt, "kind", kind_access) == 0;
}

bool token_issue(struct text key, const struct token_claims *claims, char ret_token[TOKEN_BYTES]) {
    [[gnu::cleanup(free_jwt)]] jwt_t *jwt = NULL;
    [[gnu::cleanup(free_string)]] char *encoded = NULL;
    uint8_t random[(TOKEN_ID_BYTES - 1) / 2];
    char id[TOKEN_ID_BYTES];
    size_t size;

    assert(key.size >= TOKEN_KEY_BYTES_MIN && key.size <= INT32_MAX);
    assert(claims->user_id > 0 && claims->user_id <= INT64_MAX);
    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, id);
    if (jwt_new(&jwt) != 0 || !claims_add(jwt, claims, id) ||
        jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)key.data, (int)key.size) != 0)
        return false;
    encoded = jwt_encode_str(jwt);
    if (encoded == NULL)
        return false;
    size = strlen(encoded);
    if (size > LIMIT_TOKEN_BYTES)
        return false;
    memcpy(ret_token, encoded, size + 1);
    return true;
}

/* Take what stands before the next dot off `rest`, or all of it. */
static struct text next_part(struct text *rest) {
    const char *dot = rest->size > 0 ? memchr(rest->data, '.', rest->size) : NULL;
    struct text part = {rest->data, dot != NULL ? (size_t)(dot - rest->data) : rest->size};
    size_t taken = part.size + (dot != NULL);
    rest->data += taken;
    rest->size -= taken;
    return part;
}

/* Does the part hold what a JSON object looks like from outside? Whether it is one, the library finds out. */
static bool part_is_object(struct text part) {
    uint8_t bytes[LIMIT_TOKEN_BYTES];
    size_t size;
    return base64url_decode(part, bytes, sizeof bytes, &size) && size >= 2 && bytes[0] == '{' && bytes[size - 1] == '}' &&
           text_is_utf8((struct text){(const char *)bytes, size});
}

/*
 * The outer form: RFC 7515, section 3.1. The library's base64 decoder takes padding, other alphabets and trailing bits, by
 * which one token could be written in many ways; so we decode once before it does. An empty signature is well-formed (the
 * unsecured JWT of RFC 7519, section 6) and rejected afterwards.
 */
static enum token_verdict check_form(struct text token) {
    uint8_t signature[LIMIT_TOKEN_BYTES];
    struct text rest = token, header, payload;
    size_t size, dots = 0;
    if (token.size == 0 || token.size > LIMIT_TOKEN_BYTES)
        return TOKEN_MALFORMED;
    for (size_t i = 0; i < token.size; i++)
        dots += token.data[i] == '.';
    if (dots != 2)
        return TOKEN_MALFORMED;
    header = next_part(&rest);
    payload = next_part(&rest);
    if (!part_is_object(header) || !part_is_object(payload) || !base64url_decode(rest, signature, sizeof signature, &size))
        return TOKEN_MALFORMED;
    return size == SIGNATURE_BYTES ? TOKEN_GOOD : TOKEN_REJECTED;
}

enum presence { ABSENT, PRESENT, WRONG };

/*
 * A claim that must be a whole number of at least 0. The library's own getter gives 0 for texts and fractions, so that an
 * nbf in quotes would count as the distant past: look at the claim's JSON instead.
 */
static enum presence claim_number(jwt_t *jwt, const char *name, int64_t *ret_value) {
    [[gnu::cleanup(free_string)]] char *json = NULL;
    uint64_t value;
    errno = 0;
    if (jwt_get_grant_int(jwt, name) == -1 && errno == ENOENT)
        return ABSENT;
    json = jwt_get_grants_json(jwt, name);
    if (json == NULL || !text_to_u64(text_from(json), &value) || value > INT64_MAX)
        return WRONG;
    *ret_value = (int64_t)value;
    return PRESENT;
}

/* Absent unless the claim is a text. */
static struct text claim_text(jwt_t *jwt, const char *name) {
    return text_from(jwt_get_grant(jwt, name));
}

static bool claim_is(jwt_t *jwt, const char *name, const char *expected) {
    struct text value = claim_text(jwt, name);
    return value.data != NULL && text_equal(value, text_from(expected));
}

/* exp and nbf are compared in seconds, so that no number in a token can overflow. RFC 7519, sections 4.1.4 and 4.1.5. */
static bool check_times(jwt_t *jwt, int64_t now_us, struct token_claims *claims) {
    int64_t now_s = now_us / US_PER_S, expires_s = 0, issued_s = 0, not_before_s = 0;
    if (claim_number(jwt, "exp", &expires_s) != PRESENT || claim_number(jwt, "iat", &issued_s) != PRESENT ||
        claim_number(jwt, "nbf", &not_before_s) == WRONG)
        return false;
    if (now_s >= expires_s || now_s < not_before_s || issued_s > expires_s ||
        expires_s - now_s > TOKEN_LIFETIME_S_MAX + TOKEN_SKEW_S)
        return false;
    claims->issued_us = issued_s * US_PER_S;
    claims->expires_us = expires_s * US_PER_S;
    return true;
}

/* Is the verified token one of ours, valid now? Fills `claims`. */
static bool check_claims(jwt_t *jwt, int64_t now_us, struct token_claims *claims) {
    struct text email = claim_text(jwt, "sub"), id = claim_text(jwt, "jti");
    int64_t user_id = 0;
    if (!claim_is(jwt, "iss", issuer) || !claim_is(jwt, "aud", audience) || !claim_is(jwt, "kind", kind_access) ||
        claim_number(jwt, "uid", &user_id) != PRESENT || user_id == 0 || !check_times(jwt, now_us, claims))
        return false;
    if (email.data == NULL || email.size == 0 || !text_copy(email, claims->email, sizeof claims->email) || id.data == NULL ||
        id.size != TOKEN_ID_BYTES - 1 || !text_copy(id, claims->id, sizeof claims->id))
        return false;
    claims->user_id = (uint64_t)user_id;
    return true;
}

enum token_verdict token_verify(struct text key, struct text token, int64_t now_us, struct token_claims *ret_claims) {
    [[gnu::cleanup(free_jwt)]] jwt_t *jwt = NULL;
    struct token_claims claims = {0};
    char string[TOKEN_BYTES];
    enum token_verdict form = check_form(token);

    assert(key.size >= TOKEN_KEY_BYTES_MIN && key.size <= INT32_MAX);
    if (form != TOKEN_GOOD)
        return form;
    if (!text_copy(token, string, sizeof string))
        return TOKEN_MALFORMED;
    /*
     * The library takes the algorithm from the token; a key makes it refuse "none", and we refuse all but ours.
     */
    if (jwt_decode(&jwt, string, (const unsigned char *)key.data, (int)key.size) != 0) {
        jwt = NULL;
        return TOKEN_REJECTED;
    }
    if (jwt_get_alg(jwt) != JWT_ALG_HS256 || !check_claims(jwt, now_us, &claims))
        return TOKEN_REJECTED;
    *ret_claims = claims;
    return TOKEN_GOOD;
}
