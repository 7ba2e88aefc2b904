/*
 * The Postgres client on a real Postgres: values, errors that stay alone, deadlines, bounds; and a server that refuses,
 * restarts, dies and hangs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pg/pg.h"
#include "tests/unit/postgres.h"

enum { ECHO, INSERT, SLEEP, COUNT, STATEMENTS };

static const struct pg_statement statements[STATEMENTS] = {
    [ECHO] = {.name = "echo",
              .sql = "select $1, $2, $3, $4, $5, cardinality($6), $6[2], 'infinity'::timestamp, 'v'::varchar",
              .parameter_count = 6,
              .parameters = {PG_INT4, PG_INT8, PG_TEXT, PG_TIMESTAMP, PG_BOOL, PG_INT4_ARRAY}},
    [INSERT] = {.name = "insert",
                .sql = "insert into t (id) values ($1) returning id",
                .parameter_count = 1,
                .parameters = {PG_INT4}},
    [SLEEP] = {.name = "sleep",
               .sql = "select pg_sleep($1::integer / 1000.0)::text",
               .parameter_count = 1,
               .parameters = {PG_INT4}},
    [COUNT] = {.name = "count", .sql = "select count(*) from t"},
};

static struct postgres postgres;
static char database[192];

struct fixture {
    struct loop *loop;
    struct pg *pg;
    unsigned left; /* outcomes that the loop runs for */
    bool up;
    unsigned changes;
    bool stop_at_change;
};

struct answer {
    struct fixture *fixture;
    unsigned times;
    enum pg_outcome outcome;
    char sqlstate[6];
    int64_t number; /* of the first column, if it is a number */
    int64_t after_us;
};

static void changed(void *context, bool available, const char *reason) {
    struct fixture *fixture = context;
    assert_true(*reason != '\0');
    fixture->up = available;
    fixture->changes++;
    if (fixture->stop_at_change)
        loop_stop(fixture->loop);
}

static void open_pg(struct fixture *fixture, unsigned connections, size_t queue_max, int64_t timeout_ms) {
    const char *problem = NULL;
    struct pg_options options = {.connection = database,
                                 .application = "test",
                                 .connections = connections,
                                 .statements = statements,
                                 .statement_count = STATEMENTS,
                                 .queue_max = queue_max,
                                 .connect_timeout_us = timeout_ms * US_PER_MS,
                                 .query_timeout_us = timeout_ms * US_PER_MS,
                                 .changed = changed,
                                 .context = fixture};
    *fixture = (struct fixture){.loop = loop_new()};
    assert_non_null(fixture->loop);
    fixture->pg = pg_open(fixture->loop, &options, &problem);
    assert_non_null(fixture->pg);
}

static void close_pg(struct fixture *fixture) {
    pg_close(fixture->pg);
    loop_free(fixture->loop);
}

static void note(void *context, const struct pg_result *result) {
    struct answer *answer = context;
    answer->times++;
    answer->outcome = result->outcome;
    answer->after_us = clock_monotonic_us() - answer->after_us;
    memcpy(answer->sqlstate, result->sqlstate, sizeof answer->sqlstate);
    assert_non_null(result->message);
    if (--answer->fixture->left == 0)
        loop_stop(answer->fixture->loop);
}

static void note_int4(void *context, const struct pg_result *result) {
    if (result->outcome == PG_OK)
        ((struct answer *)context)->number = pg_int4(result, 0, 0);
    note(context, result);
}

static void note_int8(void *context, const struct pg_result *result) {
    if (result->outcome == PG_OK)
        ((struct answer *)context)->number = pg_int8(result, 0, 0);
    note(context, result);
}

static void ask(struct fixture *fixture, struct answer *answer, unsigned statement, int32_t number, int64_t deadline_us) {
    struct pg_value value = pg_int4_value(number);
    *answer = (struct answer){.fixture = fixture, .after_us = clock_monotonic_us()};
    fixture->left++;
    pg_query(fixture->pg, statement, &value, statements[statement].parameter_count, deadline_us,
             statement == COUNT    ? note_int8
             : statement == INSERT ? note_int4
                                   : note,
             answer);
    assert_int_equal(answer->times, 0);
}

static void run(struct fixture *fixture) {
    if (fixture->left > 0)
        loop_run(fixture->loop);
    assert_int_equal(fixture->left, 0);
}

static void run_until(struct fixture *fixture, bool up) {
    fixture->stop_at_change = true;
    while (fixture->up != up)
        loop_run(fixture->loop);
    fixture->stop_at_change = false;
}

/* One query, waited for. */
static struct answer one(struct fixture *fixture, unsigned statement, int32_t number) {
    struct answer answer;
    ask(fixture, &answer, statement, number, INT64_MAX);
    run(fixture);
    return answer;
}

static void check_values(void *context, const struct pg_result *result) {
    struct fixture *fixture = context;
    assert_int_equal(result->outcome, PG_OK);
    assert_int_equal(result->row_count, 1);
    assert_int_equal(pg_int4(result, 0, 0), INT32_MIN);
    assert_int_equal(pg_int8(result, 0, 1), INT64_MAX);
    assert_true(text_equal(pg_text(result, 0, 2), TEXT("gr\xc3\xbc\xc3\x9f")));
    assert_int_equal(pg_time_us(result, 0, 3), INT64_C(1767319445678901));
    assert_true(pg_bool(result, 0, 4));
    assert_int_equal(pg_int4(result, 0, 5), 3);
    assert_int_equal(pg_int4(result, 0, 6), -2);
    assert_int_equal(pg_time_us(result, 0, 7), PG_TIME_INFINITY);
    assert_true(text_equal(pg_text(result, 0, 8), TEXT("v")));
    fixture->left = 0;
    loop_stop(fixture->loop);
}

static void check_nulls(void *context, const struct pg_result *result) {
    struct fixture *fixture = context;
    assert_int_equal(result->outcome, PG_OK);
    assert_true(pg_is_null(result, 0, 0));
    assert_null(pg_text(result, 0, 2).data);
    assert_int_equal(pg_time_us(result, 0, 3), PG_TIME_INFINITY);
    assert_false(pg_bool(result, 0, 4));
    assert_int_equal(pg_int4(result, 0, 5), 0);
    fixture->left = 0;
    loop_stop(fixture->loop);
}

static void carries_values(void **state) {
    static const int32_t numbers[] = {1, -2, 3};
    struct fixture fixture;
    struct pg_value values[] = {pg_int4_value(INT32_MIN),
                                pg_int8_value(INT64_MAX),
                                pg_text_value(TEXT("gr\xc3\xbc\xc3\x9f")),
                                pg_timestamp_value(INT64_C(1767319445678901)),
                                {.type = PG_BOOL, .number = 1},
                                pg_array_value(numbers, 3)};
    (void)state;
    open_pg(&fixture, 1, 10, 5000);
    fixture.left = 1;
    pg_query(fixture.pg, ECHO, values, 6, INT64_MAX, check_values, &fixture);
    run(&fixture);
    values[0].null = true;
    values[2] = pg_text_value((struct text){0});
    values[3] = pg_timestamp_value(PG_TIME_INFINITY);
    values[4].number = 0;
    values[5] = pg_array_value(numbers, 0);
    fixture.left = 1;
    pg_query(fixture.pg, ECHO, values, 6, INT64_MAX, check_nulls, &fixture);
    run(&fixture);
    close_pg(&fixture);
}

static void an_error_stays_alone(void **state) {
    struct fixture fixture;
    struct answer answers[5];
    (void)state;
    postgres_run(database, "truncate t");
    open_pg(&fixture, 1, 10, 5000);
    static const int32_t ids[] = {1, 2, 1, 3, 2}; /* one pipeline: the third and the fifth are there already */
    for (size_t i = 0; i < 5; i++)
        ask(&fixture, &answers[i], INSERT, ids[i], INT64_MAX);
    run(&fixture);
    for (size_t i = 0; i < 5; i++) {
        bool twice = i == 2 || i == 4;
        assert_int_equal(answers[i].times, 1);
        assert_int_equal(answers[i].outcome, twice ? PG_REFUSED : PG_OK);
        assert_string_equal(answers[i].sqlstate, twice ? "23505" : "");
        assert_int_equal(answers[i].number, twice ? 0 : ids[i]);
    }
    assert_int_equal(one(&fixture, COUNT, 0).number, 3);
    assert_int_equal(fixture.changes, 1); /* the session stayed */
    close_pg(&fixture);
}

static void keeps_deadlines(void **state) {
    struct fixture fixture;
    struct answer slow, hasty, behind;
    (void)state;
    open_pg(&fixture, 1, 10, 300);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    ask(&fixture, &slow, SLEEP, 5000, INT64_MAX);                           /* longer than a query may take */
    ask(&fixture, &hasty, COUNT, 0, clock_monotonic_us() + 50 * US_PER_MS); /* behind it, with less time */
    run(&fixture);
    assert_int_equal(hasty.outcome, PG_TIMEOUT);
    assert_true(hasty.after_us < 250 * US_PER_MS);
    assert_int_equal(slow.outcome, PG_TIMEOUT);
    assert_true(slow.after_us < 1000 * US_PER_MS);
    ask(&fixture, &behind, COUNT, 0, INT64_MAX); /* the answers of the overdue ones go to nobody */
    run(&fixture);
    assert_int_equal(behind.outcome, PG_OK);
    assert_int_equal(slow.times, 1);
    assert_int_equal(hasty.times, 1);
    close_pg(&fixture);
}

static void is_bounded(void **state) {
    struct fixture fixture;
    struct answer answers[6];
    (void)state;
    open_pg(&fixture, 2, 4, 5000);
    for (size_t i = 0; i < 6; i++)
        ask(&fixture, &answers[i], COUNT, 0, INT64_MAX);
    assert_int_equal(pg_load(fixture.pg), 6);
    run(&fixture);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(answers[i].outcome, i < 4 ? PG_OK : PG_BUSY);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    assert_int_equal(pg_load(fixture.pg), 0);
    close_pg(&fixture);
}

static void closes_with_queries_under_way(void **state) {
    struct fixture fixture;
    struct answer first, second;
    (void)state;
    open_pg(&fixture, 1, 10, 5000);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    ask(&fixture, &first, SLEEP, 60000, INT64_MAX);
    pg_close(fixture.pg);
    assert_int_equal(first.times, 1);
    assert_int_equal(first.outcome, PG_UNAVAILABLE);
    loop_free(fixture.loop);
    open_pg(&fixture, 1, 10, 5000);
    ask(&fixture, &second, COUNT, 0, INT64_MAX); /* it waits for the connection */
    close_pg(&fixture);
    assert_int_equal(second.outcome, PG_UNAVAILABLE);
}

/* A statement that cannot be prepared: nothing is served, and what is missing may still come. */
static void waits_for_the_schema(void **state) {
    struct fixture fixture;
    (void)state;
    postgres_run(database, "alter table t rename to elsewhere");
    open_pg(&fixture, 1, 10, 5000);
    struct answer answer = one(&fixture, COUNT, 0);
    assert_int_equal(answer.outcome, PG_UNAVAILABLE);
    assert_true(answer.after_us < 1000 * US_PER_MS);
    postgres_run(database, "alter table elsewhere rename to t");
    run_until(&fixture, true);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    close_pg(&fixture);
}

static void survives_restarts(void **state) {
    struct fixture fixture;
    struct answer answer;
    (void)state;
    open_pg(&fixture, 2, 10, 2000);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    for (unsigned round = 0; round < 3; round++) {
        /* In flight when the server dies: unknown, and said so; not sent again. */
        ask(&fixture, &answer, SLEEP, 1500, INT64_MAX);
        postgres_stop(&postgres, round == 0 ? SIGINT : round == 1 ? SIGQUIT : SIGKILL);
        run(&fixture);
        assert_int_equal(answer.outcome, PG_UNAVAILABLE);
        run_until(&fixture, false);
        do /* until an attempt has failed; then at once */
            answer = one(&fixture, COUNT, 0);
        while (answer.after_us > 20 * US_PER_MS && answer.outcome == PG_UNAVAILABLE);
        assert_int_equal(answer.outcome, PG_UNAVAILABLE);
        assert_false(pg_available(fixture.pg));
        postgres_start(&postgres);
        run_until(&fixture, true);
        assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    }
    close_pg(&fixture);
}

/* One session is ended by an administrator, in the middle of a query or idle: the others serve on. */
static void survives_the_end_of_a_session(void **state) {
    struct fixture fixture;
    (void)state;
    open_pg(&fixture, 2, 10, 2000);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    postgres_run(database, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test' "
                           "and pid <> pg_backend_pid()");
    for (unsigned i = 0; i < 50; i++) { /* whichever the loop learns of first */
        struct answer answer = one(&fixture, COUNT, 0);
        assert_true(answer.outcome == PG_OK || answer.outcome == PG_UNAVAILABLE);
        assert_int_equal(answer.times, 1);
    }
    if (!fixture.up)
        run_until(&fixture, true);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    close_pg(&fixture);
}

static void survives_a_server_that_hangs(void **state) {
    struct fixture fixture;
    struct answer answers[3], after;
    (void)state;
    open_pg(&fixture, 2, 100, 300);
    assert_int_equal(one(&fixture, COUNT, 0).outcome, PG_OK);
    postgres_signal_all(&postgres, SIGSTOP);
    for (size_t i = 0; i < 3; i++)
        ask(&fixture, &answers[i], COUNT, 0, INT64_MAX);
    run(&fixture);
    for (size_t i = 0; i < 3; i++) {
        assert_true(answers[i].outcome == PG_TIMEOUT || answers[i].outcome == PG_UNAVAILABLE);
        assert_true(answers[i].after_us < 800 * US_PER_MS);
    }
    /* The sessions are given up, new ones are not made: from then on queries fail at once. */
    do {
        after = one(&fixture, COUNT, 0);
        assert_true(after.outcome == PG_TIMEOUT || after.outcome == PG_UNAVAILABLE);
        assert_true(after.after_us < 800 * US_PER_MS);
    } while (after.after_us > 20 * US_PER_MS);
    postgres_signal_all(&postgres, SIGCONT);
    if (!fixture.up)
        run_until(&fixture, true);
    after = one(&fixture, COUNT, 0);
    assert_int_equal(after.outcome, PG_OK);
    close_pg(&fixture);
}

static void refuses_a_malformed_string(void **state) {
    const char *problem = NULL;
    struct loop *loop = loop_new();
    struct pg_options options = {.connection = "host=", .application = "test", .connections = 1};
    (void)state;
    options.connection = "not a connection string";
    assert_null(pg_open(loop, &options, &problem));
    assert_non_null(problem);
    loop_free(loop);
}

static int set_up(void **state) {
    (void)state;
    postgres_create(&postgres);
    postgres_database(&postgres, "pg", database);
    postgres_run(database, "create table t (id integer primary key)");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    postgres_destroy(&postgres);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_a_malformed_string),
        cmocka_unit_test(carries_values),
        cmocka_unit_test(an_error_stays_alone),
        cmocka_unit_test(keeps_deadlines),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(closes_with_queries_under_way),
        cmocka_unit_test(waits_for_the_schema),
        cmocka_unit_test(survives_restarts),
        cmocka_unit_test(survives_the_end_of_a_session),
        cmocka_unit_test(survives_a_server_that_hangs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
