#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES 8192

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    _Alignas(max_align_t) unsigned char memory[];
};

void arena_init(struct arena *arena, size_t limit_bytes) {
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

void *arena_alloc(struct arena *arena, size_t size) {
    const size_t alignment = _Alignof(max_align_t);
    struct arena_chunk *chunk = arena->chunks;
    if (size > arena->limit_bytes)
        return NULL;
    size = size == 0 ? alignment : (size + alignment - 1) / alignment * alignment;
    if (arena->used_bytes + size > arena->limit_bytes)
        return NULL;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + bytes);
        if (chunk == NULL)
            return NULL;
        *chunk = (struct arena_chunk){.next = arena->chunks, .size = bytes};
        arena->chunks = chunk;
    }
    void *memory = chunk->memory + chunk->used;
    chunk->used += size;
    arena->used_bytes += size;
    return memset(memory, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(arena, bytes);
}

struct text arena_copy(struct arena *arena, struct text text) {
    char *copy = text.data == NULL ? NULL : arena_alloc(arena, text.size + 1);
    if (copy == NULL)
        return (struct text){0};
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    return (struct text){copy, text.size};
}

struct text arena_printf(struct arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *out = size < 0 ? NULL : arena_alloc(arena, (size_t)size + 1);
    if (out == NULL)
        return (struct text){0};
    va_start(arguments, format);
    (void)vsnprintf(out, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return (struct text){out, (size_t)size};
}

static void free_chunks(struct arena_chunk *chunk) {
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_reset(struct arena *arena) {
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL)
        return;
    free_chunks(chunk->next);
    chunk->next = NULL;
    if (chunk->size > CHUNK_BYTES) {
        free(chunk);
        arena->chunks = chunk = NULL;
    } else {
        chunk->used = 0;
    }
    arena->used_bytes = 0;
}

void arena_free(struct arena *arena) {
    if (arena == NULL)
        return;
    free_chunks(arena->chunks);
    arena->chunks = NULL;
    arena->used_bytes = 0;
}
