#include "actors/users/users.h"

#include "base/clock.h"

struct text users_issue_token(const struct users *users, struct ask *ask, uint64_t user_id, struct text email) {
    struct token_claims claims = {.user_id = user_id, .issued_us = clock_real_us()};
    char token[TOKEN_BYTES];
    claims.expires_us = claims.issued_us + users->token_timeout_us;
    if (!text_copy(email, claims.email, sizeof claims.email) || !token_issue(users->token_key, &claims, token))
        return (struct text){0};
    return arena_copy(&ask->arena, text_from(token));
}

enum error users_hashing_error(const struct ask *ask, enum hashing_outcome outcome) {
    switch (outcome) {
    case HASHING_SKIPPED: return ask->cancelled ? ERROR_cancelled : ERROR_timeout;
    case HASHING_FULL:
    case HASHING_NO_MEMORY: return ERROR_busy;
    case HASHING_DONE:
    case HASHING_TAKEN: break;
    }
    return ERROR_internal;
}

void users_wipe_password(const struct users_credentials *credentials) {
    /* The request's memory is the ask's, which is ours until it is answered. */
    if (credentials->password.size > 0)
        explicit_bzero((char *)(uintptr_t)credentials->password.data, credentials->password.size);
}
