/*
 * hashing.h: password hashes beside the event loop. At most so many are computed and so many wait, whatever arrives; so
 * their memory is bounded. Work that nobody waits for any more is dropped when its turn comes.
 */
#ifndef PIXBUS_USERS_HASHING_H
#define PIXBUS_USERS_HASHING_H

#include "auth/password.h"
#include "base/pool.h"

struct hashing;

enum hashing_outcome {
    HASHING_DONE,      /* the result is there */
    HASHING_TAKEN,     /* `done` will be called */
    HASHING_FULL,      /* nothing was taken: answer `busy` */
    HASHING_SKIPPED,   /* cancelled, or its deadline has passed: nothing was computed */
    HASHING_NO_MEMORY, /* nothing came of it: answer `busy` */
};

/* One piece of work. Owned by the caller, in place until `done` is called; zero-initialised but for what is asked. */
struct hashing_job {
    enum { HASHING_MAKE, HASHING_CHECK } task;
    struct text password;  /* borrowed */
    struct text stored;    /* CHECK: what is on file, borrowed; absent: nobody of that name */
    int64_t deadline_us;   /* monotonic */
    const bool *cancelled; /* read in the loop's thread only */
    /* DONE, SKIPPED or NO_MEMORY. In the loop's thread, never before hashing_submit() returns. */
    void (*done)(struct hashing_job *job, enum hashing_outcome outcome);
    void *context;

    enum password_verdict verdict; /* CHECK */
    char phc[PASSWORD_PHC_BYTES];  /* MAKE: the hash. CHECK: one of today's cost to put on file instead, or "" */

    struct pool_job pool_job; /* hashing's own, as is all below */
    struct hashing *hashing;
    struct hashing_job *next;
    bool out_of_memory;
};

/* `cost` is that of new hashes. NULL with errno set if a thread cannot be made. */
[[gnu::warn_unused_result]] struct hashing *hashing_new(struct loop *loop, size_t threads, size_t queue_max,
                                                        const struct password_cost *cost);

/* TAKEN; else FULL or SKIPPED, and `done` will not be called. */
[[gnu::warn_unused_result]] enum hashing_outcome hashing_submit(struct hashing *hashing, struct hashing_job *job);

/* Wait for what runs; what waits is dropped, and neither's `done` is called. Takes NULL. */
void hashing_free(struct hashing *hashing);

#endif
