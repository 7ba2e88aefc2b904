/* Client and broker over a real socket: a broker process of the test's own, an asker and a worker in this process. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bus/client.h"

#define WAIT_US (10 * US_PER_S) /* far longer than anything here takes */

struct outcome {
    bool is_over;
    unsigned times;
    enum error error;
    char body[64];
    int64_t at_us;
};

struct fixture {
    char directory[64], endpoint[128];
    pid_t broker;
    struct bus_client *asker, *worker;
    bool answers; /* the worker replies at once; otherwise it keeps the ask */
    uint64_t kept[64];
    size_t kept_count, cancelled;
};

/* Not by fork(), which a sanitizer does not take well from a process with threads. */
static void start_broker(struct fixture *fixture) {
    char endpoint[160];
    (void)snprintf(endpoint, sizeof endpoint, "PIXBUS_BROKER=%s", fixture->endpoint);
    char *arguments[] = {(char[]){"pixbus-broker"}, NULL};
    char *environment[] = {endpoint,
                           (char[]){"PIXBUS_HEARTBEAT_MS=100"},
                           (char[]){"PIXBUS_QUEUE_MESSAGES=4"},
                           (char[]){"PIXBUS_LOG_LEVEL=error"},
                           (char[]){"ASAN_OPTIONS=detect_leaks=0"},
                           NULL};
    assert_int_equal(posix_spawn(&fixture->broker, PIXBUS_BROKER_PROGRAM, NULL, NULL, arguments, environment), 0);
}

static void stop_broker(struct fixture *fixture, int signal_number) {
    if (fixture->broker > 0) {
        (void)kill(fixture->broker, SIGCONT); /* first: a late one would undo the stop that the leak checker needs at its end */
        (void)kill(fixture->broker, signal_number);
        assert_int_equal(waitpid(fixture->broker, NULL, 0), fixture->broker);
    }
    fixture->broker = 0;
}

static void work(void *context, const struct bus_work *arrived) {
    struct fixture *fixture = context;
    if (fixture->answers)
        bus_client_answer(fixture->worker, arrived->id, OK, (struct text){0}, arrived->body, 1);
    else
        fixture->kept[fixture->kept_count++] = arrived->id;
}

static void cancel(void *context, uint64_t id) {
    struct fixture *fixture = context;
    (void)id;
    fixture->cancelled++;
}

static struct bus_client *open_client(struct fixture *fixture, const char *service) {
    struct bus_client_options options = {.endpoint = fixture->endpoint,
                                         .instance = "test",
                                         .service = service,
                                         .credit = service != NULL ? 2 : 0,
                                         .heartbeat_us = 100 * US_PER_MS,
                                         .work = work,
                                         .cancel = cancel,
                                         .context = fixture};
    const char *problem;
    struct bus_client *client = bus_client_open(&options, &problem);
    assert_non_null(client);
    return client;
}

static void turn(struct fixture *fixture) {
    struct bus_client *clients[] = {fixture->asker, fixture->worker};
    struct pollfd fds[] = {{.fd = bus_client_fd(fixture->asker), .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (fixture->worker != NULL)
        fds[1].fd = bus_client_fd(fixture->worker);
    (void)poll(fds, 2, 5);
    for (size_t i = 0; i < 2; i++) {
        if (clients[i] == NULL)
            continue;
        bus_client_process(clients[i], clock_monotonic_us());
        while (bus_client_flush(clients[i]))
            bus_client_process(clients[i], clock_monotonic_us());
    }
}

#define wait_for(fixture, condition)                       \
    do {                                                   \
        int64_t limit_us = clock_monotonic_us() + WAIT_US; \
        while (!(condition)) {                             \
            assert_true(clock_monotonic_us() < limit_us);  \
            turn(fixture);                                 \
        }                                                  \
    } while (0)

static void over(void *context, const struct bus_outcome *result) {
    struct outcome *outcome = context;
    outcome->is_over = true;
    outcome->times++;
    outcome->error = result->error;
    outcome->at_us = clock_monotonic_us();
    (void)!text_copy(result->body, outcome->body, sizeof outcome->body);
}

static uint64_t ask(struct fixture *fixture, struct outcome *outcome, int64_t timeout_us) {
    struct feed_get_request request = {.id = 1};
    struct bus_ask asked = {.message = MESSAGE_feed_get,
                            .request = &request,
                            .deadline_us = clock_monotonic_us() + timeout_us,
                            .done = over,
                            .context = outcome};
    *outcome = (struct outcome){0};
    return bus_client_ask(fixture->asker, &asked, clock_monotonic_us());
}

/* An ask succeeds only once the broker knows the worker, which it may learn after it knows the asker. */
static void wait_for_service(struct fixture *fixture) {
    struct outcome outcome;
    bool answers = fixture->answers;
    fixture->answers = true;
    do {
        wait_for(fixture, bus_client_connected(fixture->asker) && bus_client_connected(fixture->worker));
        (void)ask(fixture, &outcome, US_PER_S);
        wait_for(fixture, outcome.is_over);
    } while (outcome.error != OK);
    fixture->answers = answers;
}

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->directory, sizeof fixture->directory, "/tmp/pixbus-bus-XXXXXX");
    if (mkdtemp(fixture->directory) == NULL)
        return 1;
    (void)snprintf(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s/broker", fixture->directory);
    start_broker(fixture);
    fixture->answers = true;
    fixture->asker = open_client(fixture, NULL);
    fixture->worker = open_client(fixture, "feed");
    wait_for_service(fixture);
    *state = fixture;
    return 0;
}

static int end(void **state) {
    struct fixture *fixture = *state;
    char path[160];
    bus_client_close(fixture->asker);
    bus_client_close(fixture->worker);
    stop_broker(fixture, SIGTERM);
    (void)snprintf(path, sizeof path, "%s/broker", fixture->directory);
    (void)unlink(path);
    (void)rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void test_round_trip(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    (void)ask(fixture, &outcome, US_PER_S);
    assert_false(outcome.is_over);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, OK);
    assert_string_equal(outcome.body, "\x91\x01"); /* the request, which the worker echoes */
}

static void test_deadline(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    int64_t begin_us = clock_monotonic_us();
    fixture->answers = false;
    (void)ask(fixture, &outcome, 50 * US_PER_MS);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, ERROR_timeout);
    assert_true(outcome.at_us - begin_us >= 50 * US_PER_MS);
    wait_for(fixture, fixture->cancelled == 1);
    bus_client_answer(fixture->worker, fixture->kept[0], OK, (struct text){0}, TEXT("late"), 1);
    for (int i = 0; i < 20; i++)
        turn(fixture);
    assert_int_equal(outcome.times, 1);
}

static void test_credit_queue_and_busy(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcomes[8];
    fixture->answers = false;
    for (size_t i = 0; i < 8; i++)
        (void)ask(fixture, &outcomes[i], 5 * US_PER_S);
    wait_for(fixture, outcomes[6].is_over && outcomes[7].is_over); /* 2 in hand, 4 in the queue, 2 refused */
    assert_int_equal(outcomes[7].error, ERROR_busy);
    wait_for(fixture, fixture->kept_count == 2);
    fixture->answers = true;
    for (size_t i = 0; i < 2; i++)
        bus_client_answer(fixture->worker, fixture->kept[i], OK, (struct text){0}, TEXT("x"), 1);
    wait_for(fixture, outcomes[5].is_over);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(outcomes[i].error, OK);
}

static void test_cancel_by_the_caller(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    fixture->answers = false;
    uint64_t id = ask(fixture, &outcome, 5 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 1);
    bus_client_cancel(fixture->asker, id);
    wait_for(fixture, fixture->cancelled == 1);
    assert_false(outcome.is_over);
}

static void test_killed_broker_fails_asks_at_once_and_service_resumes(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    fixture->answers = false;
    (void)ask(fixture, &outcome, 30 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 1);
    int64_t killed_us = clock_monotonic_us();
    stop_broker(fixture, SIGKILL);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, ERROR_broker_lost);
    assert_true(outcome.at_us - killed_us < US_PER_S);
    (void)ask(fixture, &outcome, 30 * US_PER_S);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, ERROR_unavailable);
    start_broker(fixture);
    wait_for_service(fixture);
}

/* Work of before the loss is answered to nobody: it must not give the new registration credit that it never took. */
static void test_answer_to_a_lost_broker_is_void(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcomes[4];
    fixture->answers = false;
    (void)ask(fixture, &outcomes[0], 30 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 1);
    stop_broker(fixture, SIGKILL);
    wait_for(fixture, outcomes[0].is_over);
    start_broker(fixture);
    wait_for_service(fixture);
    uint64_t ids[4];
    for (size_t i = 1; i < 4; i++)
        ids[i] = ask(fixture, &outcomes[i], 30 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 3); /* a credit of two */
    bus_client_answer(fixture->worker, fixture->kept[0], OK, (struct text){0}, TEXT("old"), 1);
    for (int i = 0; i < 20; i++)
        turn(fixture);
    assert_int_equal(fixture->kept_count, 3);
    for (size_t i = 1; i < 4; i++) {
        assert_false(outcomes[i].is_over);
        bus_client_cancel(fixture->asker, ids[i]);
    }
}

static void test_stopped_broker_is_noticed(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    (void)kill(fixture->broker, SIGSTOP);
    int64_t stopped_us = clock_monotonic_us();
    (void)ask(fixture, &outcome, 30 * US_PER_S);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, ERROR_broker_lost);
    assert_true(outcome.at_us - stopped_us < 2 * US_PER_S);
    (void)kill(fixture->broker, SIGCONT);
    wait_for_service(fixture);
}

static void test_closed_worker_fails_its_asks_at_once(void **state) {
    struct fixture *fixture = *state;
    struct outcome outcome;
    fixture->answers = false;
    (void)ask(fixture, &outcome, 30 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 1);
    struct bus_client *worker = fixture->worker;
    fixture->worker = NULL;
    int64_t closed_us = clock_monotonic_us();
    bus_client_close(worker);
    wait_for(fixture, outcome.is_over);
    assert_int_equal(outcome.error, ERROR_instance_lost);
    assert_true(outcome.at_us - closed_us < US_PER_S);
}

static void test_drain(void **state) {
    struct fixture *fixture = *state;
    struct outcome first, second;
    fixture->answers = false;
    (void)ask(fixture, &first, 30 * US_PER_S);
    wait_for(fixture, fixture->kept_count == 1);
    bus_client_drain(fixture->worker);
    assert_false(bus_client_idle(fixture->worker));
    wait_for(fixture, bus_client_idle(fixture->worker));
    (void)ask(fixture, &second, 200 * US_PER_MS); /* nobody takes it, nobody loses it */
    bus_client_answer(fixture->worker, fixture->kept[0], OK, (struct text){0}, TEXT("done"), 1);
    wait_for(fixture, first.is_over && second.is_over);
    assert_int_equal(first.error, OK);
    assert_int_equal(second.error, ERROR_timeout);
    assert_int_equal(fixture->kept_count, 1);
}

static void test_bad_endpoint(void **state) {
    struct bus_client_options options = {.endpoint = "nonsense", .instance = "test", .heartbeat_us = US_PER_S};
    const char *problem = NULL;
    (void)state;
    assert_null(bus_client_open(&options, &problem));
    assert_non_null(problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, begin, end),
        cmocka_unit_test_setup_teardown(test_deadline, begin, end),
        cmocka_unit_test_setup_teardown(test_credit_queue_and_busy, begin, end),
        cmocka_unit_test_setup_teardown(test_cancel_by_the_caller, begin, end),
        cmocka_unit_test_setup_teardown(test_killed_broker_fails_asks_at_once_and_service_resumes, begin, end),
        cmocka_unit_test_setup_teardown(test_answer_to_a_lost_broker_is_void, begin, end),
        cmocka_unit_test_setup_teardown(test_stopped_broker_is_noticed, begin, end),
        cmocka_unit_test_setup_teardown(test_closed_worker_fails_its_asks_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_drain, begin, end),
        cmocka_unit_test(test_bad_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
