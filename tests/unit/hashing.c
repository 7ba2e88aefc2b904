/*
 * The bounded queue of password hashes: how many run and wait, what happens to those that nobody waits for, and how much
 * memory a hundred logins at once take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/users/hashing.h"
#include "base/clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define LOGINS 100
#define PASSWORD TEXT("correct horse")
#define OLD \
    "$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU" /* and a check mark */

static const struct password_cost cheap = {64, 1, 1};
static const struct password_cost usual = {19456, 2, 1};

/* A job, and what became of it. */
struct login {
    struct hashing_job job;
    struct fixture *fixture;
    enum hashing_outcome outcome;
    unsigned done_count, done_place; /* as which one it was done, from 1 */
    bool cancelled;
};

struct fixture {
    struct loop *loop;
    struct hashing *hashing;
    unsigned done, awaited;
    struct login logins[LOGINS];
};

static void done(struct hashing_job *job, enum hashing_outcome outcome) {
    struct login *login = job->context;
    struct fixture *fixture = login->fixture;
    login->outcome = outcome;
    login->done_count++;
    login->done_place = ++fixture->done;
    if (fixture->done == fixture->awaited)
        loop_stop(fixture->loop);
}

static struct fixture *setup(size_t threads, size_t queue_max, const struct password_cost *cost) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->loop = loop_new();
    assert_non_null(fixture->loop);
    fixture->hashing = hashing_new(fixture->loop, threads, queue_max, cost);
    assert_non_null(fixture->hashing);
    return fixture;
}

static void teardown(struct fixture *fixture) {
    hashing_free(fixture->hashing);
    loop_free(fixture->loop);
    free(fixture);
}

/* Run until `count` jobs in all are done. */
static void await(struct fixture *fixture, unsigned count) {
    fixture->awaited = count;
    if (fixture->done < count)
        loop_run(fixture->loop);
    assert_int_equal(fixture->done, count);
}

static enum hashing_outcome submit(struct fixture *fixture, size_t index, int task, struct text stored) {
    struct login *login = &fixture->logins[index];
    login->fixture = fixture;
    login->job = (struct hashing_job){
        .password = PASSWORD,
        .stored = stored,
        .deadline_us = INT64_MAX,
        .cancelled = &login->cancelled,
        .done = done,
        .context = login,
    };
    if (task == HASHING_CHECK)
        login->job.task = HASHING_CHECK;
    return hashing_submit(fixture->hashing, &login->job);
}

static enum hashing_outcome submit_make(struct fixture *fixture, size_t index) {
    return submit(fixture, index, HASHING_MAKE, (struct text){0});
}

static void hashes_are_made_and_checked(void **state) {
    struct fixture *fixture = setup(2, 4, &cheap);
    char phc[PASSWORD_PHC_BYTES];
    (void)state;
    assert_int_equal(submit_make(fixture, 0), HASHING_TAKEN);
    assert_int_equal(fixture->done, 0); /* never before it returns */
    await(fixture, 1);
    assert_int_equal(fixture->logins[0].outcome, HASHING_DONE);
    memcpy(phc, fixture->logins[0].job.phc, sizeof phc);
    assert_int_equal(password_verify(text_from(phc), PASSWORD), PASSWORD_MATCHES);

    assert_int_equal(submit(fixture, 1, HASHING_CHECK, text_from(phc)), HASHING_TAKEN);
    assert_int_equal(submit(fixture, 2, HASHING_CHECK, TEXT(OLD)), HASHING_TAKEN);
    assert_int_equal(submit(fixture, 3, HASHING_CHECK, (struct text){0}), HASHING_TAKEN);
    await(fixture, 4);
    assert_int_equal(fixture->logins[1].job.verdict, PASSWORD_MATCHES);
    assert_string_equal(fixture->logins[1].job.phc, ""); /* it is of today's cost */
    assert_int_equal(fixture->logins[2].job.verdict, PASSWORD_DIFFERS);
    assert_string_equal(fixture->logins[2].job.phc, "");
    assert_int_equal(fixture->logins[3].job.verdict, PASSWORD_UNUSABLE);
    teardown(fixture);
}

static void old_hashes_are_made_anew(void **state) {
    struct fixture *fixture = setup(1, 0, &(struct password_cost){128, 2, 1});
    char old[PASSWORD_PHC_BYTES];
    struct password_cost cost;
    (void)state;
    assert_true(password_hash(&cheap, PASSWORD, old));
    assert_int_equal(submit(fixture, 0, HASHING_CHECK, text_from(old)), HASHING_TAKEN);
    await(fixture, 1);
    assert_int_equal(fixture->logins[0].job.verdict, PASSWORD_MATCHES);
    assert_true(password_cost_of(text_from(fixture->logins[0].job.phc), &cost));
    assert_int_equal(cost.memory_kib, 128);
    assert_int_equal(cost.passes, 2);
    assert_int_equal(password_verify(text_from(fixture->logins[0].job.phc), PASSWORD), PASSWORD_MATCHES);
    teardown(fixture);
}

static long status_kib(const char *field) {
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long kib = -1;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field), NULL, 10);
    (void)fclose(file);
    assert_true(kib > 0);
    return kib;
}

/* The peak counts from here. */
static void forget_peak(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "5", 1), 1);
    (void)close(fd);
}

/* Two run, eight wait, ninety are refused at once; memory is that of two, and is given back. */
static void a_hundred_logins_take_the_memory_of_two(void **state) {
    struct fixture *fixture = setup(2, 8, &usual);
    unsigned taken = 0, full = 0;
    long before_kib, peak_kib, after_kib;
    (void)state;
    forget_peak();
    before_kib = status_kib("VmRSS:");
    for (size_t i = 0; i < LOGINS; i++) {
        enum hashing_outcome outcome = submit(fixture, i, HASHING_CHECK, (struct text){0});
        taken += outcome == HASHING_TAKEN;
        full += outcome == HASHING_FULL;
    }
    assert_int_equal(taken, 10);
    assert_int_equal(full, 90);
    await(fixture, 10);
    for (size_t i = 0; i < LOGINS; i++)
        assert_int_equal(fixture->logins[i].done_count, i < 10);
    peak_kib = status_kib("VmHWM:") - before_kib;
    after_kib = status_kib("VmRSS:") - before_kib;
    print_message("a hundred logins: peak %ld KiB, afterwards %ld KiB more than before\n", peak_kib, after_kib);
    if (!SANITIZED) { /* a sanitizer keeps what is freed */
        assert_in_range(peak_kib, usual.memory_kib, 2 * usual.memory_kib + 2048);
        assert_in_range(after_kib + 2048, 0, 4096);
    }
    /* There is room again. */
    assert_int_equal(submit_make(fixture, 10), HASHING_TAKEN);
    await(fixture, 11);
    teardown(fixture);
}

static void what_nobody_waits_for_is_skipped(void **state) {
    struct fixture *fixture = setup(1, 4, &usual);
    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(submit_make(fixture, i), HASHING_TAKEN);
    fixture->logins[1].cancelled = true;
    fixture->logins[2].job.deadline_us = clock_monotonic_us();
    await(fixture, 5);
    assert_int_equal(fixture->logins[0].outcome, HASHING_DONE);
    assert_int_equal(fixture->logins[1].outcome, HASHING_SKIPPED);
    assert_string_equal(fixture->logins[1].job.phc, "");
    assert_int_equal(fixture->logins[2].outcome, HASHING_SKIPPED);
    assert_string_equal(fixture->logins[2].job.phc, "");
    assert_int_equal(fixture->logins[3].outcome, HASHING_DONE);
    assert_int_equal(fixture->logins[4].outcome, HASHING_DONE);
    assert_true(fixture->logins[3].done_place < fixture->logins[4].done_place); /* first come, first served */
    /* One that is late already is not taken at all. */
    fixture->logins[5].cancelled = true;
    assert_int_equal(submit_make(fixture, 5), HASHING_SKIPPED);
    assert_int_equal(fixture->logins[5].done_count, 0);
    teardown(fixture);
}

static void a_full_queue_is_cleared_of_the_abandoned(void **state) {
    struct fixture *fixture = setup(1, 3, &usual);
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(submit_make(fixture, i), HASHING_TAKEN);
    assert_int_equal(submit_make(fixture, 4), HASHING_FULL);
    fixture->logins[1].cancelled = fixture->logins[3].cancelled = true;
    assert_int_equal(submit_make(fixture, 4), HASHING_TAKEN);
    assert_int_equal(fixture->logins[1].outcome, HASHING_SKIPPED);
    assert_int_equal(fixture->logins[3].outcome, HASHING_SKIPPED);
    assert_int_equal(submit_make(fixture, 5), HASHING_TAKEN);
    assert_int_equal(submit_make(fixture, 6), HASHING_FULL);
    await(fixture, 6);
    assert_int_equal(fixture->logins[2].outcome, HASHING_DONE);
    assert_int_equal(fixture->logins[4].outcome, HASHING_DONE);
    assert_int_equal(fixture->logins[5].outcome, HASHING_DONE);
    assert_true(fixture->logins[2].done_place < fixture->logins[4].done_place);
    teardown(fixture);
}

static void it_ends_with_work_in_hand(void **state) {
    struct fixture *fixture = setup(2, 8, &usual);
    (void)state;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(submit_make(fixture, i), HASHING_TAKEN);
    hashing_free(fixture->hashing);
    fixture->hashing = NULL;
    assert_int_equal(fixture->done, 0);
    teardown(fixture);
}

static void no_memory_is_said(void **state) {
    static const struct password_cost large = {262144, 1, 1};
    struct fixture *fixture = setup(1, 2, &large);
    struct rlimit before, tight;
    (void)state;
    if (SANITIZED) {
        teardown(fixture);
        skip();
    }
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)status_kib("VmSize:") * 1024 + (rlim_t)128 * 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    assert_int_equal(submit_make(fixture, 0), HASHING_TAKEN);
    /* Checking the old hash needs less, and works; without one, the dummy is left out, and the answer is the same. */
    assert_int_equal(submit(fixture, 1, HASHING_CHECK, TEXT(OLD)), HASHING_TAKEN);
    await(fixture, 2);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(fixture->logins[0].outcome, HASHING_NO_MEMORY);
    assert_int_equal(fixture->logins[1].outcome, HASHING_DONE);
    assert_int_equal(fixture->logins[1].job.verdict, PASSWORD_DIFFERS);
    assert_int_equal(submit_make(fixture, 2), HASHING_TAKEN);
    await(fixture, 3);
    assert_int_equal(fixture->logins[2].outcome, HASHING_DONE);
    teardown(fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_made_and_checked),
        cmocka_unit_test(old_hashes_are_made_anew),
        cmocka_unit_test(a_hundred_logins_take_the_memory_of_two),
        cmocka_unit_test(what_nobody_waits_for_is_skipped),
        cmocka_unit_test(a_full_queue_is_cleared_of_the_abandoned),
        cmocka_unit_test(it_ends_with_work_in_hand),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
