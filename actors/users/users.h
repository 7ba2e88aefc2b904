/*
 * users.h: what the handlers of this actor share.
 */
#ifndef PIXBUS_USERS_USERS_H
#define PIXBUS_USERS_USERS_H

#include "actors/users/accounts.h"
#include "actors/users/hashing.h"
#include "auth/token.h"
#include "bus/actor.h"

struct users {
    struct accounts *accounts;
    struct hashing *hashing;
    struct text token_key;
    int64_t token_timeout_us;
    size_t password_min_bytes;
};

/*
 * Each takes an ask into its hands and answers it once, now or later.
 */
void users_begin_registration(struct users *users, struct ask *ask, const struct users_credentials *credentials);
void users_begin_login(struct users *users, struct ask *ask, const struct users_credentials *credentials);
void users_begin_verification(struct users *users, struct ask *ask);
void users_begin_get(struct users *users, struct ask *ask, const struct users_get_request *request);

/* A token for an account, in the ask's arena. Absent if memory is exhausted. */
[[gnu::warn_unused_result]] struct text users_issue_token(const struct users *users, struct ask *ask, uint64_t user_id,
                                                          struct text email);

/* The error for a hash that did not come about. */
enum error users_hashing_error(const struct ask *ask, enum hashing_outcome outcome);

/* The password has done its work: overwrite the ask's own copy. */
void users_wipe_password(const struct users_credentials *credentials);

#endif
