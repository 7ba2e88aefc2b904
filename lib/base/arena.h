/*
 * arena.h: memory for the life of one message. What is taken from an arena is given back all at once.
 */
#ifndef PIXBUS_ARENA_H
#define PIXBUS_ARENA_H

#include "base/text.h"

struct arena_chunk;

/* Zero-initialise all but `limit_bytes`, or use arena_init(). */
struct arena {
    struct arena_chunk *chunks;
    size_t used_bytes;  /* of all chunks */
    size_t limit_bytes; /* beyond: allocations return NULL */
};

void arena_init(struct arena *arena, size_t limit_bytes);

/* Zeroed memory, aligned for any type. NULL when the limit or the machine's memory is exhausted. */
[[gnu::warn_unused_result]] void *arena_alloc(struct arena *arena, size_t size);

/* The same for an array; NULL also when count * size overflows. */
[[gnu::warn_unused_result]] void *arena_array(struct arena *arena, size_t count, size_t size);

/* A copy with a NUL behind it. An absent text stays absent; data is NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct text arena_copy(struct arena *arena, struct text text);

/* printf into the arena. data is NULL when memory is exhausted. */
[[gnu::format(printf, 2, 3), gnu::warn_unused_result]] struct text arena_printf(struct arena *arena, const char *format, ...);

/* Forget everything; keeps the first chunk for the next message. */
void arena_reset(struct arena *arena);

/* Give all memory back. Takes NULL and a zeroed arena. */
void arena_free(struct arena *arena);

#endif
