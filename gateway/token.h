/*
 * token.h: whose request is this? The Authorization header's token (RFC 6750) is checked by lib/auth/token.h, and what was
 * found is remembered for a bounded time and number, because a check costs more than the rest of the request.
 * Knows nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_TOKEN_H
#define PIXBUS_GATEWAY_TOKEN_H

#include "auth/token.h"
#include "gateway/routes.h"

struct token_cache;

/* Who asks. user_id 0: nobody in particular. */
struct token_caller {
    uint64_t user_id;
    char email[LIMIT_EMAIL_BYTES + 1];
};

/* The key is copied. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct token_cache *token_cache_new(struct text key);
/* Wipes the key. Takes NULL. */
void token_cache_free(struct token_cache *cache);

/*
 * Who asks? `headers` is the number of Authorization headers, `header` the value of the first. OK with *ret_caller filled
 * (nobody, for AUTH_NONE, and for AUTH_OPTIONAL without a header); no_authorization; token_malformed if that is no bearer
 * token, or there are several headers; token_rejected if it is not valid now. `now_us` is real time, for what the token
 * says; `monotonic_us` ages the cache. *ret_remembered: no check was needed.
 */
enum error token_check(struct token_cache *cache, enum route_auth auth, struct text header, size_t headers, int64_t now_us,
                       int64_t monotonic_us, struct token_caller *ret_caller, bool *ret_remembered);

/* The value of WWW-Authenticate for an error of status 401 (RFC 6750, section 3). */
const char *token_challenge(enum error error);

#endif
