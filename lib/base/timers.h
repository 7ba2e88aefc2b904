/*
 * timers.h: what is due when. A binary heap of timers that their owners embed; it knows no clock and no loop.
 */
#ifndef PIXBUS_TIMERS_H
#define PIXBUS_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised by its owner; must stay in place while it is set. */
struct timer {
    int64_t due_us;
    size_t place; /* in the heap, from 1; 0 while not set */
};

struct timers {
    struct timer **heap;
    size_t count, capacity;
};

/* Set, or move, a timer. The process ends if there is no memory: a deadline that is not kept is worse. */
void timers_set(struct timers *timers, struct timer *timer, int64_t due_us);

/* Takes a timer that is not set. */
void timers_clear(struct timers *timers, struct timer *timer);

/* Take the earliest timer that is due at `now_us` out of the heap. NULL: none is. */
struct timer *timers_take_due(struct timers *timers, int64_t now_us);

/* When the earliest one is due; INT64_MAX if none is set. */
int64_t timers_due_us(const struct timers *timers);

static inline bool timer_is_set(const struct timer *timer) {
    return timer->place != 0;
}

/* The timers themselves are left as they are. */
void timers_free(struct timers *timers);

#endif
