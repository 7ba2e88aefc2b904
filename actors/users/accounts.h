/*
 * accounts.h: the table of accounts in Postgres. Emails are stored as typed and matched without regard to case, as
 * Postgres's lower() sees it.
 *
 * Each function ends with one call of query->done, later, from the loop; the query stays in place until then. What can
 * happen to every query: busy, timeout (the deadline has passed), database_unavailable, internal.
 */
#ifndef PIXBUS_USERS_ACCOUNTS_H
#define PIXBUS_USERS_ACCOUNTS_H

#include "base/loop.h"
#include "base/setting.h"
#include "proto/proto.h"

struct accounts;

/* Borrowed for the time of the call. */
struct account {
    uint64_t id;
    struct text email;         /* as registered */
    struct text password_hash; /* a PHC string; absent if the account has none */
    int64_t created_at_us;     /* real time */
};

struct account_query {
    /* `account` is NULL unless the error is OK. */
    void (*done)(void *context, enum error error, const struct account *account);
    void *context;
    int64_t deadline_us; /* monotonic; the accounts' own */
};

/* NULL with *ret_problem (static text). Does not wait for the database. `connection` is a libpq connection string. */
[[gnu::warn_unused_result]] struct accounts *accounts_open(struct loop *loop, const char *connection,
                                                           const struct settings *settings, const char **ret_problem);
/* Queries that are not over end with database_unavailable first. Takes NULL. */
void accounts_close(struct accounts *accounts);

/* The account of an email, or user_not_found. */
void accounts_find(struct accounts *accounts, struct text email, int64_t deadline_us, struct account_query *query);

/* The account of that number, if its email is this one; else user_not_found. Its password_hash is absent. */
void accounts_check(struct accounts *accounts, uint64_t id, struct text email, int64_t deadline_us, struct account_query *query);

/* Make an account, or user_exists: also if another one of that email is made at the same moment. */
void accounts_add(struct accounts *accounts, struct text email, struct text password_hash, int64_t deadline_us,
                  struct account_query *query);

/*
 * Replace a stored hash by another of the same password, unless it has changed meanwhile. The texts are copied. Nobody
 * waits for the outcome: if it fails, the next login tries again.
 */
void accounts_replace_hash(struct accounts *accounts, uint64_t id, struct text before, struct text after);

#endif
