#include "actors/users/hashing.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"

/*
 * A hash's memory goes back to the system when it is done. Left to itself, malloc() takes a large block that was freed as
 * a sign to keep such blocks: then an idle process held on to the 19 MiB of each thread.
 */
#define MMAP_FROM_BYTES (1024 * 1024)

/*
 * The queue is kept here, in the loop's thread, and the pool gets a job only when a thread is free: so whether somebody
 * gave up is read where it is written, and a full queue can be cleared of those that did.
 */
struct hashing {
    struct pool *pool;
    struct password_cost cost;
    size_t threads, running;
    struct hashing_job *first, **last; /* that wait */
    size_t waiting, queue_max;
};

struct hashing *hashing_new(struct loop *loop, size_t threads, size_t queue_max, const struct password_cost *cost) {
    struct hashing *hashing = calloc(1, sizeof *hashing);
    assert(threads >= 1 && password_cost_valid(cost));
    if (hashing == NULL)
        return NULL;
    *hashing = (struct hashing){.cost = *cost, .threads = threads, .queue_max = queue_max};
    hashing->last = &hashing->first;
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
    hashing->pool = pool_new(loop, threads, 0, NULL);
    if (hashing->pool == NULL) {
        free(hashing);
        return NULL;
    }
    return hashing;
}

void hashing_free(struct hashing *hashing) {
    if (hashing == NULL)
        return;
    pool_free(hashing->pool);
    free(hashing);
}

/* In a thread of the pool: reads the job and the cost, writes the job's results. */
static void work(struct pool_job *pool_job) {
    struct hashing_job *job = pool_job->context;
    const struct password_cost *cost = &job->hashing->cost;
    switch (job->task) {
    case HASHING_MAKE: job->out_of_memory = !password_hash(cost, job->password, job->phc); break;
    case HASHING_CHECK:
        job->verdict = password_verify_evenly(job->stored, job->password, cost);
        job->out_of_memory = job->verdict == PASSWORD_NO_MEMORY;
        if (job->verdict == PASSWORD_MATCHES && password_needs_rehash(job->stored, cost) &&
            !password_hash(cost, job->password, job->phc))
            job->phc[0] = '\0'; /* the next login tries again */
        break;
    }
}

static void dispatch(struct hashing *hashing);

static void worked(struct pool_job *pool_job) {
    struct hashing_job *job = pool_job->context;
    struct hashing *hashing = job->hashing;
    hashing->running--;
    dispatch(hashing); /* the thread first, then people */
    job->done(job, job->out_of_memory ? HASHING_NO_MEMORY : HASHING_DONE);
}

static bool is_abandoned(const struct hashing_job *job, int64_t now_us) {
    return now_us >= job->deadline_us || (job->cancelled != NULL && *job->cancelled);
}

/* Take the first job out of the queue. NULL: none waits. */
static struct hashing_job *take_first(struct hashing *hashing) {
    struct hashing_job *job = hashing->first;
    if (job == NULL)
        return NULL;
    hashing->first = job->next;
    if (hashing->first == NULL)
        hashing->last = &hashing->first;
    hashing->waiting--;
    return job;
}

/* A thread is idle for each that is not counted as running, so the pool always takes it. */
static void start(struct hashing *hashing, struct hashing_job *job) {
    bool taken;
    hashing->running++;
    job->pool_job = (struct pool_job){.work = work, .done = worked, .context = job};
    taken = pool_submit(hashing->pool, &job->pool_job);
    assert(taken);
}

static void dispatch(struct hashing *hashing) {
    struct hashing_job *job;
    while (hashing->running < hashing->threads && (job = take_first(hashing)) != NULL) {
        if (is_abandoned(job, clock_monotonic_us()))
            job->done(job, HASHING_SKIPPED); /* may submit another, which goes to the end of the queue */
        else
            start(hashing, job);
    }
}

/* Let go of everything in the queue that nobody waits for. */
static void sweep(struct hashing *hashing) {
    int64_t now_us = clock_monotonic_us();
    struct hashing_job *abandoned = NULL, **place = &hashing->first, *job;
    while ((job = *place) != NULL) {
        if (!is_abandoned(job, now_us)) {
            place = &job->next;
            continue;
        }
        *place = job->next;
        hashing->waiting--;
        job->next = abandoned;
        abandoned = job;
    }
    hashing->last = place;
    while ((job = abandoned) != NULL) {
        abandoned = job->next;
        job->done(job, HASHING_SKIPPED);
    }
}

enum hashing_outcome hashing_submit(struct hashing *hashing, struct hashing_job *job) {
    assert(job->password.size <= LIMIT_PASSWORD_BYTES);
    if (is_abandoned(job, clock_monotonic_us()))
        return HASHING_SKIPPED;
    job->hashing = hashing;
    job->next = NULL;
    job->phc[0] = '\0';
    job->out_of_memory = false;
    if (hashing->running < hashing->threads && hashing->waiting == 0) {
        start(hashing, job);
        return HASHING_TAKEN;
    }
    if (hashing->waiting >= hashing->queue_max)
        sweep(hashing);
    if (hashing->waiting >= hashing->queue_max)
        return HASHING_FULL;
    *hashing->last = job;
    hashing->last = &job->next;
    hashing->waiting++;
    return HASHING_TAKEN;
}
