/*
 * buffer.h: a growing run of bytes with a maximum. A failed append sticks: write on, check buffer_ok() once at the end.
 */
#ifndef PIXBUS_BUFFER_H
#define PIXBUS_BUFFER_H

#include "base/text.h"

struct buffer {
    char *data;
    size_t size, capacity;
    size_t limit_bytes; /* 0: 16 MiB */
    bool failed;        /* an append did not fit or found no memory */
};

/* What buffer_append() does when there is not enough room yet. */
void buffer_append_slowly(struct buffer *buffer, const void *bytes, size_t size);

static inline void buffer_append(struct buffer *buffer, const void *bytes, size_t size) {
    if (size <= buffer->capacity - buffer->size && !buffer->failed && size > 0) {
        memcpy(buffer->data + buffer->size, bytes, size);
        buffer->size += size;
    } else {
        buffer_append_slowly(buffer, bytes, size);
    }
}

static inline void buffer_append_text(struct buffer *buffer, struct text text) {
    buffer_append(buffer, text.data, text.size);
}

[[gnu::format(printf, 2, 3)]] void buffer_printf(struct buffer *buffer, const char *format, ...);

/* Room for `size` more bytes at the returned place, to be claimed with buffer_claim(). NULL if that fails. */
[[gnu::warn_unused_result]] char *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_claim(struct buffer *buffer, size_t size);

static inline bool buffer_ok(const struct buffer *buffer) {
    return !buffer->failed;
}

static inline struct text buffer_text(const struct buffer *buffer) {
    return (struct text){buffer->data != NULL ? buffer->data : "", buffer->size};
}

/* Empty it, keeping its memory and its limit. */
void buffer_clear(struct buffer *buffer);

/* Take NULL and a zeroed buffer. */
void buffer_free(struct buffer *buffer);

#endif
