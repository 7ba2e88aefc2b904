/*
 * memory.h: how many bytes of images may be in memory at once. Whoever wants more waits, first come first served.
 */
#ifndef PIXBUS_IMGPROC_MEMORY_H
#define PIXBUS_IMGPROC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory_claim {
    uint64_t bytes;
    void (*granted)(struct memory_claim *claim);
    bool held, waiting;
    struct memory_claim *next;
};

/* Zero-initialised but for limit_bytes. */
struct memory {
    uint64_t limit_bytes, used_bytes;
    struct memory_claim *first, *last;
};

/* Call `granted`, at once or later. One claim larger than the limit is granted when nothing else is held. */
void memory_take(struct memory *memory, struct memory_claim *claim);

/* Give back, or give up waiting. Takes a claim that is neither. */
void memory_release(struct memory *memory, struct memory_claim *claim);

#endif
