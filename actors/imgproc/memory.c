#include "actors/imgproc/memory.h"

static bool fits(const struct memory *memory, const struct memory_claim *claim) {
    return memory->used_bytes == 0 ||
           (memory->used_bytes <= memory->limit_bytes && claim->bytes <= memory->limit_bytes - memory->used_bytes);
}

static void hold(struct memory *memory, struct memory_claim *claim) {
    memory->used_bytes += claim->bytes;
    claim->held = true;
    claim->granted(claim);
}

void memory_take(struct memory *memory, struct memory_claim *claim) {
    if (claim->bytes == 0)
        claim->bytes = 1;
    if (memory->first == NULL && fits(memory, claim)) {
        hold(memory, claim);
        return;
    }
    claim->waiting = true;
    claim->next = NULL;
    if (memory->first == NULL)
        memory->first = claim;
    else
        memory->last->next = claim;
    memory->last = claim;
}

static void forget(struct memory *memory, const struct memory_claim *claim) {
    struct memory_claim *before = NULL;
    for (struct memory_claim **at = &memory->first; *at != NULL; before = *at, at = &(*at)->next) {
        if (*at != claim)
            continue;
        *at = claim->next;
        if (memory->last == claim)
            memory->last = before;
        return;
    }
}

void memory_release(struct memory *memory, struct memory_claim *claim) {
    if (claim->waiting)
        forget(memory, claim);
    if (claim->held)
        memory->used_bytes -= claim->bytes;
    claim->waiting = claim->held = false;
    while (memory->first != NULL && fits(memory, memory->first)) {
        struct memory_claim *next = memory->first;
        memory->first = next->next;
        next->waiting = false;
        hold(memory, next);
    }
}
