/* Delivery of events: order, retries, burial, and 3,000 waiting ones in a window of 1,024. Its host's clock is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/store/pump.h"
#include "actors/store/store.h"
#include "base/clock.h"

struct host {
    struct store store;
    struct pump *pump;
    char directory[64];
    int64_t now_us, wake_us;
    struct pump_job *jobs[64];
    size_t job_count;
    bool flying[PUMP_FLIGHTS];
    char asked[PUMP_FLIGHTS][32];
    unsigned reports;
};

static int64_t host_now(void *context) {
    return ((struct host *)context)->now_us;
}

static bool host_run(void *context, struct pump_job *job) {
    struct host *host = context;
    assert_true(host->job_count < 64);
    host->jobs[host->job_count++] = job;
    return true;
}

static void host_ask(void *context, unsigned flight, struct text notification) {
    struct host *host = context;
    assert_false(host->flying[flight]);
    host->flying[flight] = true;
    assert_true(text_copy(notification, host->asked[flight], sizeof host->asked[flight]));
}

static void host_wake_at(void *context, int64_t due_us) {
    ((struct host *)context)->wake_us = due_us;
}

static void host_report(void *context, const char *what, struct event_id id) {
    (void)what;
    (void)id;
    ((struct host *)context)->reports++;
}

static void run_jobs(struct host *host) {
    while (host->job_count > 0) {
        struct pump_job *job = host->jobs[0];
        memmove(host->jobs, host->jobs + 1, --host->job_count * sizeof host->jobs[0]);
        job->work(job);
        job->done(job);
    }
}

static struct event_id publish(struct host *host, uint64_t sequencer, uint64_t key_hash) {
    char text[32];
    struct event_id id = {sequencer, key_hash};
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)sequencer);
    assert_true(journal_prepare(&host->store.journal, id, text_from(text)));
    assert_true(journal_publish(&host->store.journal, id));
    return id;
}

static int set_up(void **state) {
    struct host *host = calloc(1, sizeof *host);
    (void)snprintf(host->directory, sizeof host->directory, "/tmp/unit_pump.XXXXXX");
    assert_non_null(mkdtemp(host->directory));
    const struct store_options options = {host->directory, {"media", 5}, {"thumbnails", 10}, {"r", 1}, 1000};
    assert_true(store_open(&host->store, &options));
    const struct pump_host calls = {host, host_now, host_run, host_ask, host_wake_at, host_report};
    host->pump = pump_new(&host->store.journal, &calls);
    assert_non_null(host->pump);
    host->now_us = US_PER_S;
    *state = host;
    return 0;
}

static int tear_down(void **state) {
    struct host *host = *state;
    char command[100];
    pump_free(host->pump);
    store_close(&host->store);
    (void)snprintf(command, sizeof command, "%s", host->directory);
    free(host);
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", command, (char *)NULL);
        _exit(1);
    }
    return 0;
}

static size_t flying(const struct host *host) {
    size_t count = 0;
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
        count += host->flying[i];
    return count;
}

static int flight_of(const struct host *host, const char *text) {
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
        if (host->flying[i] && strcmp(host->asked[i], text) == 0)
            return (int)i;
    return -1;
}

static void answer(struct host *host, const char *text, enum pump_outcome outcome) {
    int flight = flight_of(host, text);
    assert_true(flight >= 0);
    host->flying[flight] = false;
    pump_answered(host->pump, (unsigned)flight, outcome);
    run_jobs(host);
}

static void test_one_key_in_order(void **state) {
    struct host *host = *state;
    publish(host, 1, 7);
    publish(host, 2, 7);
    publish(host, 3, 8);
    pump_run(host->pump);
    run_jobs(host);
    assert_int_equal(flying(host), 2);
    assert_int_equal(flight_of(host, "2"), -1);
    answer(host, "1", PUMP_FAILED); /* it keeps its place before 2 */
    assert_int_equal(flight_of(host, "2"), -1);
    host->now_us = host->wake_us;
    pump_run(host->pump);
    run_jobs(host);
    answer(host, "1", PUMP_DONE);
    answer(host, "2", PUMP_MALFORMED);
    assert_int_equal(host->reports, 1);
    answer(host, "3", PUMP_DONE);
    assert_int_equal(pump_waiting(host->pump), 0);
    assert_true(pump_idle(host->pump));
}

static void test_service_away(void **state) {
    struct host *host = *state;
    pump_run(host->pump);
    run_jobs(host);
    for (uint64_t i = 1; i <= 20; i++)
        pump_notify(host->pump, publish(host, i, i));
    run_jobs(host);
    assert_int_equal(flying(host), PUMP_FLIGHTS);
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%u", i + 1);
        answer(host, text, PUMP_AWAY);
    }
    assert_int_equal(flying(host), 0);
    assert_true(host->wake_us > host->now_us && host->wake_us <= host->now_us + 2 * US_PER_S);
    host->now_us = host->wake_us;
    pump_run(host->pump);
    run_jobs(host);
    assert_int_equal(flying(host), 1); /* one looks whether it is back */
    answer(host, "1", PUMP_DONE);
    assert_int_equal(flying(host), PUMP_FLIGHTS);
}

static void test_more_than_the_window(void **state) {
    struct host *host = *state;
    char text[8];
    for (uint64_t i = 1; i <= 3000; i++)
        publish(host, i, i);
    pump_run(host->pump);
    run_jobs(host);
    for (unsigned i = 1; i <= 3000; i++) {
        assert_true(pump_waiting(host->pump) <= PUMP_WINDOW);
        (void)snprintf(text, sizeof text, "%u", i);
        answer(host, text, PUMP_DONE);
    }
    assert_int_equal(flying(host), 0);
    assert_int_equal(pump_waiting(host->pump), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_key_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_service_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_the_window, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
