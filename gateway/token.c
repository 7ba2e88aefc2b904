#include "gateway/token.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/siphash.h"

#define WAYS 4 /* tokens whose hashes fall together that can be remembered at once */
#define SETS (LIMIT_TOKEN_CACHE_ENTRIES / WAYS)
static_assert(SETS > 0 && (SETS & (SETS - 1)) == 0, "a set is chosen by the low bits of the hash");

struct entry {
    struct siphash hash; /* of the token, which itself is not kept */
    int64_t until_us;    /* monotonic; 0: empty */
    int64_t expires_us;  /* real time, of the token */
    struct token_caller caller;
};

/* Set-associative, so that a look-up costs the same however full it is, and nothing ever needs to be swept. */
struct token_cache {
    uint8_t hash_key[SIPHASH_KEY_BYTES];
    struct entry sets[SETS][WAYS];
    size_t key_size;
    char key[];
};

struct token_cache *token_cache_new(struct text key) {
    struct token_cache *cache = calloc(1, sizeof *cache + key.size);
    if (cache == NULL)
        return NULL;
    random_bytes(cache->hash_key, sizeof cache->hash_key);
    cache->key_size = key.size;
    if (key.size > 0)
        memcpy(cache->key, key.data, key.size);
    return cache;
}

void token_cache_free(struct token_cache *cache) {
    if (cache == NULL)
        return;
    explicit_bzero(cache->key, cache->key_size);
    free(cache);
}

static struct entry *find(struct token_cache *cache, struct siphash hash, int64_t now_us, int64_t monotonic_us) {
    struct entry *set = cache->sets[hash.low & (SETS - 1)];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].until_us > monotonic_us && set[i].expires_us > now_us && set[i].hash.low == hash.low &&
            set[i].hash.high == hash.high)
            return &set[i];
    return NULL;
}

static void remember(struct token_cache *cache, struct siphash hash, const struct token_claims *claims, int64_t monotonic_us) {
    struct entry *set = cache->sets[hash.low & (SETS - 1)], *oldest = &set[0];
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].until_us < oldest->until_us)
            oldest = &set[i];
    *oldest = (struct entry){
        .hash = hash,
        .until_us = monotonic_us + LIMIT_TOKEN_CACHE_S * US_PER_S,
        .expires_us = claims->expires_us,
        .caller = {.user_id = claims->user_id},
    };
    memcpy(oldest->caller.email, claims->email, sizeof oldest->caller.email);
}

/* RFC 9110, section 11.4: a scheme in any case, one or more blanks, the token. */
static bool bearer_token(struct text header, struct text *ret_token) {
    const struct text scheme = TEXT("Bearer ");
    if (header.size <= scheme.size || !text_equal_ignoring_case((struct text){header.data, scheme.size}, scheme))
        return false;
    struct text token = {header.data + scheme.size, header.size - scheme.size};
    while (token.size > 0 && token.data[0] == ' ')
        token = (struct text){token.data + 1, token.size - 1};
    if (token.size == 0 || token.size > LIMIT_TOKEN_BYTES)
        return false;
    *ret_token = token;
    return true;
}

enum error token_check(struct token_cache *cache, enum route_auth auth, struct text header, size_t headers, int64_t now_us,
                       int64_t monotonic_us, struct token_caller *ret_caller, bool *ret_remembered) {
    struct text token;
    struct token_claims claims;
    *ret_remembered = false;
    *ret_caller = (struct token_caller){0};
    if (auth == AUTH_NONE || (auth == AUTH_OPTIONAL && headers == 0))
        return OK;
    if (headers == 0)
        return ERROR_no_authorization;
    if (headers > 1 || !bearer_token(header, &token))
        return ERROR_token_malformed;
    struct siphash hash = siphash_compute(cache->hash_key, token);
    const struct entry *known = find(cache, hash, now_us, monotonic_us);
    if (known != NULL) {
        *ret_remembered = true;
        *ret_caller = known->caller;
        return OK;
    }
    switch (token_verify((struct text){cache->key, cache->key_size}, token, now_us, &claims)) {
    case TOKEN_GOOD: break;
    case TOKEN_MALFORMED: return ERROR_token_malformed;
    case TOKEN_REJECTED: return ERROR_token_rejected;
    }
    remember(cache, hash, &claims, monotonic_us);
    ret_caller->user_id = claims.user_id;
    memcpy(ret_caller->email, claims.email, sizeof ret_caller->email);
    return OK;
}

const char *token_challenge(enum error error) {
    return error == ERROR_token_malformed || error == ERROR_token_rejected ? "Bearer realm=\"pixbus\", error=\"invalid_token\""
                                                                           : "Bearer realm=\"pixbus\"";
}
