/*
 * pg.h: Postgres for a program with one event loop. A few connections in pipeline mode, statements that are prepared once
 * for each connection, binary parameters and results.
 *
 * Nothing here waits. Every query ends exactly once, at its deadline at the latest. A Postgres that restarts, refuses or
 * hangs costs its queries a PG_UNAVAILABLE or PG_TIMEOUT; the connection is dropped, made anew with back-off and jitter, and
 * service resumes by itself. A query that was sent over a connection that is then lost fails: whether it took effect is
 * unknown, so it is never sent again here.
 *
 * Each query is followed by its own Sync, so it is a transaction of its own and its failure leaves the others alone.
 */
#ifndef PIXBUS_PG_H
#define PIXBUS_PG_H

#include "base/buffer.h"
#include "base/loop.h"

struct pg;

enum pg_type { PG_INT4, PG_INT8, PG_TEXT, PG_TIMESTAMP, PG_BOOL, PG_INT4_ARRAY };

#define PG_PARAMETERS_MAX 12

/* A prepared statement. All parameters have a type that is given here; results are binary. */
struct pg_statement {
    const char *name;
    const char *sql;
    unsigned parameter_count;
    enum pg_type parameters[PG_PARAMETERS_MAX];
};

/* One parameter; its type must be the statement's. Texts and arrays are copied by pg_query(). */
struct pg_value {
    enum pg_type type;
    bool null;
    union {
        int64_t number; /* PG_INT4, PG_INT8, PG_BOOL; PG_TIMESTAMP: microseconds since 1970 UTC */
        struct text text;
        struct {
            const int32_t *values;
            size_t count;
        } array;
    };
};

static inline struct pg_value pg_int4_value(int32_t value) {
    return (struct pg_value){.type = PG_INT4, .number = value};
}
static inline struct pg_value pg_int8_value(int64_t value) {
    return (struct pg_value){.type = PG_INT8, .number = value};
}
/* An absent text is NULL. */
static inline struct pg_value pg_text_value(struct text text) {
    return (struct pg_value){.type = PG_TEXT, .null = text.data == NULL, .text = text};
}
static inline struct pg_value pg_timestamp_value(int64_t time_us) {
    return (struct pg_value){.type = PG_TIMESTAMP, .number = time_us};
}
static inline struct pg_value pg_array_value(const int32_t *values, size_t count) {
    return (struct pg_value){.type = PG_INT4_ARRAY, .array = {values, count}};
}

/* Microseconds since 1970 that stand for "later than every timestamp". */
#define PG_TIME_INFINITY INT64_MAX

enum pg_outcome {
    PG_OK,
    PG_UNAVAILABLE, /* no connection, or the connection was lost: a statement that changes something may have done so or not */
    PG_TIMEOUT,     /* its deadline passed, here or at the server; the same uncertainty */
    PG_BUSY,        /* too many queries wait already; it was not sent */
    PG_REFUSED,     /* Postgres reports an error of the statement: see sqlstate; nothing was changed */
};

/* Borrowed for the time of the call, with all that its getters return. */
struct pg_result {
    enum pg_outcome outcome;
    char sqlstate[6];    /* of PG_REFUSED, e.g. "23505" for a unique violation; else "" */
    const char *message; /* for people, never NULL; of the server or ours */
    size_t row_count;    /* rows that came back */
    const void *rows;
};

/* Getters abort on a row or column that is not there and on another type: that is the programmer's error. */
bool pg_is_null(const struct pg_result *result, size_t row, unsigned column);
int32_t pg_int4(const struct pg_result *result, size_t row, unsigned column);
int64_t pg_int8(const struct pg_result *result, size_t row, unsigned column);
bool pg_bool(const struct pg_result *result, size_t row, unsigned column);
/* text, varchar. NULL is an absent text. */
struct text pg_text(const struct pg_result *result, size_t row, unsigned column);
/* timestamp without time zone, which is UTC here, in microseconds since 1970; infinity is PG_TIME_INFINITY. */
int64_t pg_time_us(const struct pg_result *result, size_t row, unsigned column);

struct pg_options {
    const char *connection;  /* libpq connection string or URL; "" for the PG* variables */
    const char *application; /* application_name of the sessions */
    unsigned connections;
    const struct pg_statement *statements;
    unsigned statement_count;
    size_t queue_max; /* queries that may be under way or waiting; more: PG_BUSY */
    int64_t connect_timeout_us;
    int64_t query_timeout_us; /* for each query; the server's statement_timeout too */
    /*
     * Called when the first connection becomes usable (`available`) and when the last one is gone, and when the attempts
     * fail for another reason than before; for the log. `reason` holds no secret. May be NULL.
     */
    void (*changed)(void *context, bool available, const char *reason);
    void *context;
};

/* NULL with *ret_problem (static text) when the connection string is malformed or memory is short. Does not wait. */
[[gnu::warn_unused_result]] struct pg *pg_open(struct loop *loop, const struct pg_options *options, const char **ret_problem);

/* Queries that are not over end with PG_UNAVAILABLE first. Takes NULL. */
void pg_close(struct pg *pg);

/* Is there a connection that can take a query now? */
bool pg_available(const struct pg *pg);

/* Queries under way or waiting. */
size_t pg_load(const struct pg *pg);

/*
 * Run statement number `statement` of the table. `done` is called exactly once, later, from the loop; never before this
 * returns. `deadline_us` is monotonic; the query timeout applies if it is earlier.
 *
 * While there is no connection, a query waits if one is being made for the first time or has just been lost; once an
 * attempt has failed, queries fail at once until a connection is there.
 */
void pg_query(struct pg *pg, unsigned statement, const struct pg_value *values, unsigned value_count, int64_t deadline_us,
              void (*done)(void *context, const struct pg_result *result), void *context);

#endif
