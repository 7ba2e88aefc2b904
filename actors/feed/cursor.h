/*
 * cursor.h: where a page ended, as an opaque text that clients hand back. It holds values, not a row, so the row may be
 * gone; and a keyed MAC, so that only what this installation gave is taken.
 */
#ifndef PIXBUS_FEED_CURSOR_H
#define PIXBUS_FEED_CURSOR_H

#include "base/limits.h"
#include "base/text.h"

struct cursors;

struct cursor {
    int64_t updated_at_us; /* of the last item of the page before */
    int32_t id;
};

/* `secret` is the same for all instances; a key of the cursors' own is derived from it. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct cursors *cursors_new(struct text secret);
/* Takes NULL. */
void cursors_free(struct cursors *cursors);

/* Write it with a NUL; returns its length. */
size_t cursor_encode(struct cursors *cursors, const struct cursor *cursor, char out[LIMIT_CURSOR_BYTES + 1]);

/* False for anything that cursor_encode() did not make with this secret. */
[[gnu::warn_unused_result]] bool cursor_decode(struct cursors *cursors, struct text encoded, struct cursor *ret_cursor);

#endif
