/*
 * condition.h: conditional requests and ranges (RFC 9110, sections 13 and 14).
 */
#ifndef PIXBUS_STORE_CONDITION_H
#define PIXBUS_STORE_CONDITION_H

#include "base/text.h"

#define HTTP_DATE_BYTES 30 /* Sun, 06 Nov 1994 08:49:37 GMT and a NUL */

/* Whole seconds are kept. */
void http_date_format(int64_t time_us, char out[HTTP_DATE_BYTES]);
/* The preferred form only (RFC 9110, section 5.6.7); others are no date. */
[[gnu::warn_unused_result]] bool http_date_parse(struct text text, int64_t *ret_time_us);

/* The conditional headers of a request; absent: not there. */
struct conditions {
    struct text if_match, if_none_match, if_modified_since, if_unmodified_since, if_range;
};

enum condition_result { CONDITION_HOLDS, CONDITION_NOT_MODIFIED, CONDITION_FAILED };

/* For GET and HEAD of what has this ETag (without quotes) and was modified then, in the order of RFC 9110, section 13.2.2. */
enum condition_result conditions_check(const struct conditions *conditions, struct text etag, int64_t modified_us);

/* Does If-Range allow the range? True if it is not there. */
bool conditions_allow_range(const struct conditions *conditions, struct text etag, int64_t modified_us);

enum range_result {
    RANGE_NONE, /* absent, malformed, another unit or several ranges: the whole */
    RANGE_GIVEN,
    RANGE_UNSATISFIABLE, /* 416 */
};

/* The header's one range within `size` bytes: *ret_first to *ret_last, both included. */
enum range_result range_parse(struct text header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last);

#endif
