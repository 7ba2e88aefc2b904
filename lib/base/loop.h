/*
 * loop.h: the event loop of every process but the gateway and the store (whose loop is nginx's). One thread owns a loop.
 *
 * A turn waits for readiness, runs the ready watches, the due timers and the tasks posted by other threads, and ends with
 * the turn hooks; so what a turn produced can leave in one batch at its end.
 */
#ifndef PIXBUS_LOOP_H
#define PIXBUS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timers.h"

struct loop;

enum loop_interest { LOOP_READ = 1, LOOP_WRITE = 2 };

/* A file descriptor that is watched, level-triggered. Owned by the caller; must stay in place while it is added. */
struct loop_watch {
    int fd;
    unsigned interest;                                       /* of enum loop_interest */
    void (*ready)(struct loop_watch *watch, unsigned ready); /* errors and hang-ups count as both */
    void *context;
    struct loop *loop; /* set by the loop; NULL while not added */
};

/* A timer. Owned by the caller, zero-initialised but for `fire` and `context`; fires once for each time it is set. */
struct loop_timer {
    void (*fire)(struct loop_timer *timer);
    void *context;
    struct loop *loop; /* set by the loop; NULL while not set */
    struct timer timer;
};

/* Run at the end of every turn, in the order they were added. */
struct loop_hook {
    void (*run)(struct loop_hook *hook);
    void *context;
    struct loop_hook *next;
};

/* A task handed over from another thread. Owned by the poster until `run` is called. */
struct loop_task {
    void (*run)(struct loop_task *task);
    void *context;
    struct loop_task *next;
};

/* NULL with errno set if the kernel gives no epoll or eventfd. */
[[gnu::warn_unused_result]] struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Turn until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Monotonic time at the start of this turn's work, in microseconds. */
int64_t loop_now_us(const struct loop *loop);

/* Number of turns so far; any thread may read it (the heartbeat does). */
uint64_t loop_turns(const struct loop *loop);

/* False with errno set when the kernel refuses the descriptor. */
[[gnu::warn_unused_result]] bool loop_watch_add(struct loop *loop, struct loop_watch *watch);
void loop_watch_change(struct loop_watch *watch, unsigned interest);
/* Takes a watch that is not added. Call it before the descriptor is closed. */
void loop_watch_remove(struct loop_watch *watch);

/* Set, or move, a timer to monotonic time `due_us`; one in the past fires in the next turn. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_us);
/* Takes a timer that is not set. */
void loop_timer_clear(struct loop_timer *timer);

void loop_hook_add(struct loop *loop, struct loop_hook *hook);

/* From any thread: run the task in the loop's thread. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Call `handle` in the loop when the process gets `signal_number`, which is blocked for it (before other threads start). */
[[gnu::warn_unused_result]] bool loop_signal(struct loop *loop, int signal_number,
                                             void (*handle)(void *context, int signal_number), void *context);

#endif
