/*
 * log.h: one line per event on standard error, in logfmt:
 *   time=2026-01-02T03:04:05.678901Z level=info program=pixbus-feed event=started instance=feed-1 …
 * Values are quoted where needed; a secret never belongs here. Library code does not log above debug.
 */
#ifndef PIXBUS_LOG_H
#define PIXBUS_LOG_H

#include "base/text.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` is kept, not copied. Lines above `level` are dropped. */
void log_open(const char *program, enum log_level level);

/* "error", "warn", "info" or "debug". */
[[gnu::warn_unused_result]] bool log_level_parse(struct text name, enum log_level *ret_level);

bool log_enabled(enum log_level level);

/*
 * One event with its fields: pairs of a key and a NUL-terminated value, closed by NULL.
 *   log_event(LOG_LEVEL_WARN, "postgres_lost", "reason", reason, NULL);
 */
[[gnu::sentinel]] void log_event(enum log_level level, const char *event, ...);

/* One event whose text is formatted: event=<event> message="<formatted>". */
[[gnu::format(printf, 3, 4)]] void log_printf(enum log_level level, const char *event, const char *format, ...);

#endif
