/* The pool of threads: what it takes, where work and its end run, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"

#define JOBS 1000

/* Work that can be held up, and what became of it. */
struct fixture {
    struct loop *loop;
    struct pool *pool;
    pthread_t loop_thread;
    pthread_mutex_t mutex; /* guards the next four */
    pthread_cond_t changed;
    bool held;
    unsigned working, most_working;
    unsigned done, awaited; /* in the loop's thread */
    atomic_uint ended_threads;
    struct job {
        struct pool_job job;
        struct fixture *fixture;
        unsigned worked, done;
    } jobs[JOBS];
};

static struct fixture fixture;

static void work(struct pool_job *pool_job) {
    struct job *job = pool_job->context;
    assert(!pthread_equal(pthread_self(), fixture.loop_thread));
    (void)pthread_mutex_lock(&fixture.mutex);
    job->worked++;
    fixture.working++;
    if (fixture.working > fixture.most_working)
        fixture.most_working = fixture.working;
    (void)pthread_cond_broadcast(&fixture.changed);
    while (fixture.held)
        (void)pthread_cond_wait(&fixture.changed, &fixture.mutex);
    fixture.working--;
    (void)pthread_mutex_unlock(&fixture.mutex);
}

static void done(struct pool_job *pool_job) {
    struct job *job = pool_job->context;
    assert_true(pthread_equal(pthread_self(), fixture.loop_thread));
    assert_int_equal(job->worked, 1);
    job->done++;
    if (++fixture.done == fixture.awaited)
        loop_stop(fixture.loop);
}

static void thread_ended(void) {
    atomic_fetch_add(&fixture.ended_threads, 1);
}

static void setup(size_t threads, size_t queue_max) {
    memset(&fixture, 0, sizeof fixture);
    fixture.loop_thread = pthread_self();
    (void)pthread_mutex_init(&fixture.mutex, NULL);
    (void)pthread_cond_init(&fixture.changed, NULL);
    fixture.loop = loop_new();
    assert_non_null(fixture.loop);
    fixture.pool = pool_new(fixture.loop, threads, queue_max, thread_ended);
    assert_non_null(fixture.pool);
    for (size_t i = 0; i < JOBS; i++) {
        fixture.jobs[i].fixture = &fixture;
        fixture.jobs[i].job = (struct pool_job){.work = work, .done = done, .context = &fixture.jobs[i]};
    }
}

static void teardown(void) {
    pool_free(fixture.pool);
    loop_free(fixture.loop);
    (void)pthread_cond_destroy(&fixture.changed);
    (void)pthread_mutex_destroy(&fixture.mutex);
}

static void hold(bool held) {
    (void)pthread_mutex_lock(&fixture.mutex);
    fixture.held = held;
    (void)pthread_cond_broadcast(&fixture.changed);
    (void)pthread_mutex_unlock(&fixture.mutex);
}

static void await_working(unsigned count) {
    (void)pthread_mutex_lock(&fixture.mutex);
    while (fixture.working < count)
        (void)pthread_cond_wait(&fixture.changed, &fixture.mutex);
    (void)pthread_mutex_unlock(&fixture.mutex);
}

static void await_done(unsigned count) {
    fixture.awaited = count;
    if (fixture.done < count)
        loop_run(fixture.loop);
    assert_int_equal(fixture.done, count);
}

static void everything_is_done_once(void **state) {
    (void)state;
    setup(4, JOBS);
    for (size_t i = 0; i < JOBS; i++)
        assert_true(pool_submit(fixture.pool, &fixture.jobs[i].job));
    await_done(JOBS);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(fixture.jobs[i].done, 1);
    assert_in_range(fixture.most_working, 1, 4);
    teardown();
    assert_int_equal(atomic_load(&fixture.ended_threads), 4);
}

/* Threads and places in the queue, no more; the count is the same before and after the threads have taken their jobs. */
static void it_takes_what_it_has_room_for(void **state) {
    (void)state;
    for (int picked_up = 0; picked_up < 2; picked_up++) {
        setup(2, 3);
        hold(true);
        for (size_t i = 0; i < 2; i++)
            assert_true(pool_submit(fixture.pool, &fixture.jobs[i].job));
        if (picked_up)
            await_working(2);
        for (size_t i = 2; i < 5; i++)
            assert_true(pool_submit(fixture.pool, &fixture.jobs[i].job));
        assert_false(pool_submit(fixture.pool, &fixture.jobs[5].job));
        await_working(2);
        assert_false(pool_submit(fixture.pool, &fixture.jobs[5].job));
        hold(false);
        await_done(5);
        assert_int_equal(fixture.jobs[5].worked, 0);
        assert_int_equal(fixture.most_working, 2);
        assert_true(pool_submit(fixture.pool, &fixture.jobs[5].job));
        await_done(6);
        teardown();
    }
}

/* With no queue a job is taken exactly while a thread is idle, and one is when `done` is called. */
static struct job *following;

static void submit_following(struct pool_job *pool_job) {
    if (following != NULL)
        assert_true(pool_submit(fixture.pool, &following->job));
    following = NULL;
    done(pool_job);
}

static void a_thread_is_idle_when_its_job_is_done(void **state) {
    (void)state;
    setup(1, 0);
    for (size_t i = 0; i + 1 < JOBS; i += 2) {
        fixture.jobs[i].job.done = submit_following;
        following = &fixture.jobs[i + 1];
        assert_true(pool_submit(fixture.pool, &fixture.jobs[i].job));
        await_done((unsigned)i + 2);
    }
    assert_int_equal(fixture.most_working, 1);
    teardown();
}

static void it_ends_with_jobs_waiting(void **state) {
    (void)state;
    setup(2, 10);
    hold(true);
    for (size_t i = 0; i < 12; i++)
        assert_true(pool_submit(fixture.pool, &fixture.jobs[i].job));
    await_working(2);
    hold(false);
    teardown();
    assert_int_equal(fixture.done, 0);
    for (size_t i = 0; i < 12; i++)
        assert_in_range(fixture.jobs[i].worked, i < 2, 1);
    assert_int_equal(atomic_load(&fixture.ended_threads), 2);
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_done_once),
        cmocka_unit_test(it_takes_what_it_has_room_for),
        cmocka_unit_test(a_thread_is_idle_when_its_job_is_done),
        cmocka_unit_test(it_ends_with_jobs_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
