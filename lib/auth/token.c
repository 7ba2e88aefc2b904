#include "auth/token.h"

#include <jwt.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "json/json.h"

static const char issuer[] = "pixbus";
static const char audience[] = "pixbus";
static const char kind_access[] = "access";

#define SIGNATURE_BYTES 32 /* of HMAC-SHA-256 */

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

/* A token taken apart; nothing in it is to be trusted before the signature has been checked. */
struct parts {
    struct json *header, *payload;
    size_t signature_bytes;
};

static void free_parts(struct parts *parts) {
    json_free(parts->header);
    json_free(parts->payload);
}

/* NULL if the part does not hold a JSON object in canonical base64url. */
static struct json *parse_object(struct text part) {
    uint8_t bytes[LIMIT_TOKEN_BYTES];
    char problem[JSON_PROBLEM_BYTES];
    struct json *json;
    size_t size;
    if (!base64url_decode(part, bytes, sizeof bytes, &size))
        return NULL;
    json = json_parse((struct text){(const char *)bytes, size}, problem);
    if (json_kind(json) == JSON_KIND_OBJECT)
        return json;
    json_free(json);
    return NULL;
}

/*
 * The outer form: RFC 7515, section 3.1. libjwt's base64 decoder takes padding, other alphabets and trailing bits, by
 * which one token could be written in many ways, and its getters give 0 for numbers that are none; so we take the token
 * apart ourselves, and leave the signature to it. False: this is no token.
 */
static bool parse_parts(struct text token, struct parts *parts) {
    uint8_t signature[LIMIT_TOKEN_BYTES];
    struct text rest = token;
    size_t dots = 0;
    if (token.size > LIMIT_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < token.size; i++)
        dots += token.data[i] == '.';
    if (dots != 2)
        return false;
    parts->header = parse_object(next_part(&rest));
    parts->payload = parse_object(next_part(&rest));
    return parts->header != NULL && parts->payload != NULL &&
           base64url_decode(rest, signature, sizeof signature, &parts->signature_bytes);
}

static bool member_is(const struct json *object, const char *name, const char *expected) {
    const struct json *value = json_member(object, name);
    return json_kind(value) == JSON_KIND_STRING && text_equal(json_as_string(value), text_from(expected));
}

/* Copy a member that is a text of 1 to size - 1 bytes. */
static bool member_text(const struct json *object, const char *name, char *out, size_t size) {
    const struct json *value = json_member(object, name);
    return json_kind(value) == JSON_KIND_STRING && json_as_string(value).size > 0 && text_copy(json_as_string(value), out, size);
}

/* A member that is a whole number of at least 0. Fractions, which RFC 7519 would allow, are none of ours. */
static bool member_number(const struct json *object, const char *name, int64_t *ret_value) {
    const struct json *value = json_member(object, name);
    if (json_kind(value) != JSON_KIND_INTEGER || json_as_integer(value) < 0)
        return false;
    *ret_value = json_as_integer(value);
    return true;
}

/* Compared in seconds, so that no number in a token can overflow. RFC 7519, sections 4.1.4 and 4.1.5. */
static bool check_times(const struct json *payload, int64_t now_us, struct token_claims *claims) {
    int64_t now_s = now_us / US_PER_S, expires_s = 0, issued_s = 0, not_before_s = 0;
    if (!member_number(payload, "exp", &expires_s) || !member_number(payload, "iat", &issued_s))
        return false;
    if (json_member(payload, "nbf") != NULL && !member_number(payload, "nbf", &not_before_s))
        return false;
    if (now_s >= expires_s || now_s < not_before_s || issued_s > expires_s ||
        expires_s - now_s > TOKEN_LIFETIME_S_MAX + TOKEN_SKEW_S)
        return false;
    claims->issued_us = issued_s * US_PER_S;
    claims->expires_us = expires_s * US_PER_S;
    return true;
}

/* Are these the claims of a token of ours that is valid now? */
static bool check_claims(const struct json *payload, int64_t now_us, struct token_claims *claims) {
    int64_t user_id = 0;
    if (!member_is(payload, "iss", issuer) || !member_is(payload, "aud", audience) || !member_is(payload, "kind", kind_access) ||
        !check_times(payload, now_us, claims) || !member_number(payload, "uid", &user_id) || user_id == 0)
        return false;
    claims->user_id = (uint64_t)user_id;
    return member_text(payload, "sub", claims->email, sizeof claims->email) &&
           member_text(payload, "jti", claims->id, sizeof claims->id);
}

/*
 * libjwt takes the algorithm from the token, and would read our key as PEM for RS256: so it only gets to see a header
 * that names ours, and is asked afterwards what it used.
 */
static bool check_signature(struct text key, struct text token, const struct parts *parts) {
    [[gnu::cleanup(free_jwt)]] jwt_t *jwt = NULL;
    char string[TOKEN_BYTES];
    if (!member_is(parts->header, "alg", "HS256") || parts->signature_bytes != SIGNATURE_BYTES)
        return false;
    if (!text_copy(token, string, sizeof string))
        return false;
    if (jwt_decode(&jwt, string, (const unsigned char *)key.data, (int)key.size) != 0) {
        jwt = NULL; /* whatever it left there is freed already */
        return false;
    }
    return jwt_get_alg(jwt) == JWT_ALG_HS256;
}

enum token_verdict token_verify(struct text key, struct text token, int64_t now_us, struct token_claims *ret_claims) {
    [[gnu::cleanup(free_parts)]] struct parts parts = {0};
    struct token_claims claims = {0};

    assert(key.size >= TOKEN_KEY_BYTES_MIN && key.size <= INT32_MAX);
    if (!parse_parts(token, &parts))
        return TOKEN_MALFORMED;
    if (!check_signature(key, token, &parts) || !check_claims(parts.payload, now_us, &claims))
        return TOKEN_REJECTED;
    *ret_claims = claims;
    return TOKEN_GOOD;
}
