#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_LIMIT_BYTES (16 * 1024 * 1024)

char *buffer_reserve(struct buffer *buffer, size_t size) {
    size_t limit = buffer->limit_bytes != 0 ? buffer->limit_bytes : DEFAULT_LIMIT_BYTES;
    if (buffer->failed || size > limit || buffer->size > limit - size) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->size + size;
    if (needed > buffer->capacity || buffer->data == NULL) {
        size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
        while (capacity < needed)
            capacity *= 2;
        if (capacity > limit) /* the fast way in compares with the capacity only */
            capacity = limit;
        char *data = realloc(buffer->data, capacity);
        if (data == NULL) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void buffer_claim(struct buffer *buffer, size_t size) {
    buffer->size += size;
}

void buffer_append_slowly(struct buffer *buffer, const void *bytes, size_t size) {
    char *place = buffer_reserve(buffer, size);
    if (place != NULL && size > 0) {
        memcpy(place, bytes, size);
        buffer->size += size;
    }
}

void buffer_printf(struct buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *place = size < 0 ? NULL : buffer_reserve(buffer, (size_t)size + 1);
    if (place == NULL) {
        buffer->failed = true;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(place, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
}

void buffer_clear(struct buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
}

void buffer_free(struct buffer *buffer) {
    if (buffer == NULL)
        return;
    free(buffer->data);
    *buffer = (struct buffer){.limit_bytes = buffer->limit_bytes};
}
