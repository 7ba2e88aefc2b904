/*
 * clock.h: monotonic time for deadlines, real time for people and for expiry, and its RFC 3339 form.
 * All times are signed microseconds.
 */
#ifndef PIXBUS_CLOCK_H
#define PIXBUS_CLOCK_H

#include "base/text.h"

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)
#define RFC3339_BYTES 28 /* 2026-01-02T03:04:05.678901Z and a NUL */

int64_t clock_monotonic_us(void);

/* Since 1970-01-01T00:00:00Z. */
int64_t clock_real_us(void);

/* Always UTC with microseconds, as the HTTP API prints it. Years 0000 to 9999; times outside are clamped. */
void rfc3339_format(int64_t time_us, char out[RFC3339_BYTES]);

/*
 * Parse RFC 3339, section 5.6: any offset, 0 to 9 digits of fraction (cut to microseconds), 't' and 'z' in lower case,
 * a space for the 'T'. A leap second counts as the second that follows it. False if malformed.
 */
[[gnu::warn_unused_result]] bool rfc3339_parse(struct text text, int64_t *ret_time_us);

#endif
