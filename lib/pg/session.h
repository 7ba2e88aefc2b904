/*
 * session.h: a connection that blocks, for commands and tests that have no event loop. Everything is text.
 */
#ifndef PIXBUS_PG_SESSION_H
#define PIXBUS_PG_SESSION_H

#include "base/buffer.h"

struct pg_session;
struct pg_rows;

/*
 * Connect, and keep trying for `wait_ms`. NULL after that, with the reason appended to `problem`. No statement timeout.
 */
[[gnu::warn_unused_result]] struct pg_session *pg_session_open(const char *connection, const char *application, int64_t wait_ms,
                                                               struct buffer *problem);
/* Takes NULL. */
void pg_session_close(struct pg_session *session);

/* False once the connection is lost. */
bool pg_session_connected(const struct pg_session *session);

/* Run one or more statements, separated by semicolons and without parameters. False: why is appended to `problem`. */
[[gnu::warn_unused_result]] bool pg_session_run(struct pg_session *session, const char *sql, struct buffer *problem);

/*
 * Run one statement; `parameters` (texts, NULL for NULL) are its $1, $2, … The caller frees the rows. NULL: why is appended
 * to `problem`.
 */
[[gnu::warn_unused_result]] struct pg_rows *pg_session_query(struct pg_session *session, const char *sql,
                                                             const char *const *parameters, unsigned parameter_count,
                                                             struct buffer *problem);

size_t pg_rows_count(const struct pg_rows *rows);
/* NULL for NULL. Lives as long as the rows. */
const char *pg_rows_value(const struct pg_rows *rows, size_t row, unsigned column);
/* Takes NULL. */
void pg_rows_free(struct pg_rows *rows);

#endif
