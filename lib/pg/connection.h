/*
 * connection.h: one connection to Postgres, for lib/pg only: libpq behind a small door. It decides nothing; pg.c does.
 */
#ifndef PIXBUS_PG_CONNECTION_H
#define PIXBUS_PG_CONNECTION_H

#include "pg/pg.h"
#include "pg/values.h"

struct pg_connection;

/* Is this a connection string that libpq takes? */
bool pg_connection_valid(const char *connection);

/*
 * Begin to connect. The session will speak UTF-8 and UTC, and give up a statement after `statement_timeout_us`. NULL
 * when memory is exhausted. A failure shows in the first pg_connection_poll().
 */
[[gnu::warn_unused_result]] struct pg_connection *pg_connection_start(const char *connection, const char *application,
                                                                      int64_t statement_timeout_us);

enum pg_step { PG_STEP_READ, PG_STEP_WRITE, PG_STEP_CONNECTED, PG_STEP_FAILED };

/* Go on connecting: wait until the descriptor, which may be another one each time, is readable or writable, call again. */
enum pg_step pg_connection_poll(struct pg_connection *connection);
int pg_connection_fd(const struct pg_connection *connection);

/* Send the statements to be prepared, as one unit with one outcome. False: lost. */
[[gnu::warn_unused_result]] bool pg_connection_prepare(struct pg_connection *connection, const struct pg_statement *statements,
                                                       unsigned count);

/* Send one query with its Sync. False: lost. */
[[gnu::warn_unused_result]] bool pg_connection_send(struct pg_connection *connection, const struct pg_statement *statement,
                                                    const struct pg_parameters *parameters);

enum pg_flush { PG_FLUSH_DONE, PG_FLUSH_MORE, PG_FLUSH_LOST };

/* Write what is waiting to be written, without waiting. */
enum pg_flush pg_connection_flush(struct pg_connection *connection);

/* Read what has arrived. False: the connection is lost. */
[[gnu::warn_unused_result]] bool pg_connection_receive(struct pg_connection *connection);

/*
 * The outcome of the oldest unit that was sent, if it has arrived whole, its Sync too: only then is it committed. What
 * `ret_result` points to lives until the next call. Call it only while a unit is under way.
 */
[[gnu::warn_unused_result]] bool pg_connection_next(struct pg_connection *connection, struct pg_result *ret_result);

/* After an outcome: must this session be replaced? The server is going away, is read-only, or lost our statements. */
bool pg_connection_worn_out(const struct pg_result *result);

/* Why the connection failed, one line. Lives until the next call. */
const char *pg_connection_problem(struct pg_connection *connection);

/* Closes it. Takes NULL. Remove the descriptor from the loop first. */
void pg_connection_free(struct pg_connection *connection);

#endif
