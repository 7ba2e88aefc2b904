#include "base/timers.h"

#include <stdlib.h>

static void put(struct timers *timers, size_t place, struct timer *timer) {
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static struct timer *at(const struct timers *timers, size_t place) {
    return timers->heap[place - 1];
}

static void settle(struct timers *timers, size_t place, struct timer *timer) {
    while (place > 1 && at(timers, place / 2)->due_us > timer->due_us) {
        put(timers, place, at(timers, place / 2));
        place /= 2;
    }
    for (size_t child; (child = 2 * place) <= timers->count; place = child) {
        if (child < timers->count && at(timers, child + 1)->due_us < at(timers, child)->due_us)
            child++;
        if (at(timers, child)->due_us >= timer->due_us)
            break;
        put(timers, place, at(timers, child));
    }
    put(timers, place, timer);
}

void timers_set(struct timers *timers, struct timer *timer, int64_t due_us) {
    timer->due_us = due_us;
    if (timer->place == 0) {
        if (timers->count == timers->capacity) {
            size_t capacity = timers->capacity == 0 ? 64 : timers->capacity * 2;
            struct timer **heap = realloc(timers->heap, capacity * sizeof(struct timer *));
            if (heap == NULL)
                abort();
            timers->heap = heap;
            timers->capacity = capacity;
        }
        timer->place = ++timers->count;
    }
    settle(timers, timer->place, timer);
}

void timers_clear(struct timers *timers, struct timer *timer) {
    size_t place = timer->place;
    if (place == 0)
        return;
    struct timer *last = at(timers, timers->count--);
    timer->place = 0;
    if (last != timer)
        settle(timers, place, last);
}

struct timer *timers_take_due(struct timers *timers, int64_t now_us) {
    if (timers->count == 0 || timers->heap[0]->due_us > now_us)
        return NULL;
    struct timer *timer = timers->heap[0];
    timers_clear(timers, timer);
    return timer;
}

int64_t timers_due_us(const struct timers *timers) {
    return timers->count == 0 ? INT64_MAX : timers->heap[0]->due_us;
}

void timers_free(struct timers *timers) {
    free(timers->heap);
    *timers = (struct timers){0};
}
