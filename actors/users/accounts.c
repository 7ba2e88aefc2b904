#include "actors/users/accounts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/pg.h"

#define QUERIES_MAX 1024 /* under way; more are `busy` */
#define SQLSTATE_UNIQUE_VIOLATION "23505"

/* Columns of every statement that gives an account: id, email, password_hash, created_at. */
enum statement { STATEMENT_FIND, STATEMENT_CHECK, STATEMENT_ADD, STATEMENT_REPLACE_HASH, STATEMENT_COUNT };

/*
 * Accounts of the older system may differ by case alone, and may lack created_at: the one written exactly as asked for
 * comes first, then the oldest. An id that is too large for the column finds nobody instead of failing.
 */
static const struct pg_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_FIND] = {.name = "users_find",
                        .sql = "select id, email::text, password_hash::text, coalesce(created_at, timestamp 'epoch') from users "
                               "where lower(email) = lower($1) order by (email = $1) desc, id limit 1",
                        .parameter_count = 1,
                        .parameters = {PG_TEXT}},
    [STATEMENT_CHECK] = {.name = "users_check",
                         .sql = "select id, email::text, null::text, coalesce(created_at, timestamp 'epoch') from users "
                                "where id = $1 and lower(email) = lower($2) limit 1",
                         .parameter_count = 2,
                         .parameters = {PG_INT8, PG_TEXT}},
    [STATEMENT_ADD] = {.name = "users_add",
                       .sql = "insert into users (email, password_hash, created_at, updated_at) "
                              "select $1, $2, now() at time zone 'utc', now() at time zone 'utc' "
                              "where not exists (select from users where lower(email) = lower($1)) "
                              "returning id, email::text, null::text, created_at",
                       .parameter_count = 2,
                       .parameters = {PG_TEXT, PG_TEXT}},
    [STATEMENT_REPLACE_HASH] = {.name = "users_replace_hash",
                                .sql = "update users set password_hash = $3 where id = $1 and password_hash = $2 returning id",
                                .parameter_count = 3,
                                .parameters = {PG_INT8, PG_TEXT, PG_TEXT}},
};

struct accounts {
    struct pg *pg;
    int64_t query_timeout_us;
};

static void database_changed(void *context, bool available, const char *reason) {
    (void)context;
    if (available)
        log_event(LOG_LEVEL_INFO, "database_available", NULL);
    else
        log_event(LOG_LEVEL_WARN, "database_unavailable", "reason", reason, NULL);
}

struct accounts *accounts_open(struct loop *loop, const char *connection, const struct settings *settings,
                               const char **ret_problem) {
    struct accounts *accounts = calloc(1, sizeof *accounts);
    struct pg_options options = {
        .connection = connection,
        .application = "pixbus-users",
        .connections = (unsigned)settings->database_connections,
        .statements = statements,
        .statement_count = STATEMENT_COUNT,
        .queue_max = QUERIES_MAX,
        .connect_timeout_us = settings->database_timeout_ms * US_PER_MS,
        .query_timeout_us = settings->database_timeout_ms * US_PER_MS,
        .changed = database_changed,
    };
    if (accounts == NULL) {
        *ret_problem = "out of memory";
        return NULL;
    }
    accounts->query_timeout_us = options.query_timeout_us;
    accounts->pg = pg_open(loop, &options, ret_problem);
    if (accounts->pg == NULL) {
        free(accounts);
        return NULL;
    }
    return accounts;
}

void accounts_close(struct accounts *accounts) {
    if (accounts == NULL)
        return;
    pg_close(accounts->pg);
    free(accounts);
}

/* What a query that did not bring rows means; OK if it did, or could have. */
static enum error error_of(const struct pg_result *result, int64_t deadline_us) {
    switch (result->outcome) {
    case PG_OK: return OK;
    case PG_UNAVAILABLE: return ERROR_database_unavailable;
    case PG_TIMEOUT: return clock_monotonic_us() >= deadline_us ? ERROR_timeout : ERROR_database_unavailable;
    case PG_BUSY: return ERROR_busy;
    case PG_REFUSED: break;
    }
    if (strcmp(result->sqlstate, SQLSTATE_UNIQUE_VIOLATION) == 0)
        return ERROR_user_exists;
    log_event(LOG_LEVEL_ERROR, "query_refused", "sqlstate", result->sqlstate, "reason", result->message, NULL);
    return ERROR_internal;
}

/* Pass on the account that came back, or `when_none`. */
static void finish(struct account_query *query, const struct pg_result *result, enum error when_none) {
    enum error error = error_of(result, query->deadline_us);
    struct account account;
    if (error == OK && result->row_count == 0)
        error = when_none;
    if (error != OK) {
        query->done(query->context, error, NULL);
        return;
    }
    account = (struct account){
        .id = (uint64_t)pg_int4(result, 0, 0),
        .email = pg_text(result, 0, 1),
        .password_hash = pg_text(result, 0, 2),
        .created_at_us = pg_time_us(result, 0, 3),
    };
    query->done(query->context, OK, &account);
}

static void found(void *context, const struct pg_result *result) {
    finish(context, result, ERROR_user_not_found);
}

static void added(void *context, const struct pg_result *result) {
    finish(context, result, ERROR_user_exists);
}

void accounts_find(struct accounts *accounts, struct text email, int64_t deadline_us, struct account_query *query) {
    const struct pg_value values[] = {pg_text_value(email)};
    query->deadline_us = deadline_us;
    pg_query(accounts->pg, STATEMENT_FIND, values, 1, deadline_us, found, query);
}

void accounts_check(struct accounts *accounts, uint64_t id, struct text email, int64_t deadline_us, struct account_query *query) {
    const struct pg_value values[] = {pg_int8_value(id <= INT64_MAX ? (int64_t)id : 0), pg_text_value(email)};
    query->deadline_us = deadline_us;
    pg_query(accounts->pg, STATEMENT_CHECK, values, 2, deadline_us, found, query);
}

void accounts_add(struct accounts *accounts, struct text email, struct text password_hash, int64_t deadline_us,
                  struct account_query *query) {
    const struct pg_value values[] = {pg_text_value(email), pg_text_value(password_hash)};
    query->deadline_us = deadline_us;
    pg_query(accounts->pg, STATEMENT_ADD, values, 2, deadline_us, added, query);
}

static void hash_replaced(void *context, const struct pg_result *result) {
    (void)context;
    if (result->outcome == PG_OK)
        log_event(LOG_LEVEL_DEBUG, result->row_count > 0 ? "password_rehashed" : "password_changed_meanwhile", NULL);
    else
        log_event(LOG_LEVEL_WARN, "password_rehash_failed", "reason", result->message, NULL);
}

void accounts_replace_hash(struct accounts *accounts, uint64_t id, struct text before, struct text after) {
    const struct pg_value values[] = {pg_int8_value((int64_t)id), pg_text_value(before), pg_text_value(after)};
    pg_query(accounts->pg, STATEMENT_REPLACE_HASH, values, 3, clock_monotonic_us() + accounts->query_timeout_us, hash_replaced,
             NULL);
}
