/*
 * pool.h: a bounded pool of threads for work that takes long (password hashes, image decoding), beside one event loop.
 */
#ifndef PIXBUS_POOL_H
#define PIXBUS_POOL_H

#include "base/loop.h"

struct pool;

/* One piece of work. Owned by the caller, in place until `done` is called. */
struct pool_job {
    void (*work)(struct pool_job *job); /* in a thread of the pool */
    void (*done)(struct pool_job *job); /* afterwards, in the loop's thread */
    void *context;
    struct loop_task task; /* the pool's own */
    struct pool_job *next; /* the pool's own */
};

/*
 * `threads` threads; at most `queue_max` jobs wait beside those that run. `thread_end`, if any, is called by each thread
 * before it ends. NULL with errno set when a thread cannot be made.
 */
[[gnu::warn_unused_result]] struct pool *pool_new(struct loop *loop, size_t threads, size_t queue_max, void (*thread_end)(void));

/* False when the queue is full: nothing was taken, answer `busy`. */
[[gnu::warn_unused_result]] bool pool_submit(struct pool *pool, struct pool_job *job);

/* Wait for the running jobs, drop the waiting ones (their `done` is not called), end the threads. Takes NULL. */
void pool_free(struct pool *pool);

#endif
