/*
 * The accounts in a real Postgres: emails without regard to case, races, rows that the older system left, and what is
 * answered while the database is away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/users/accounts.h"
#include "base/clock.h"
#include "sql/migrate.h"
#include "tests/unit/postgres.h"

#define RACERS 8

static const struct settings settings = {.database_connections = 4, .database_timeout_ms = 5000};

static struct postgres postgres;

/* One query and its end. */
struct answer {
    struct account_query query;
    struct loop *loop;
    unsigned *left; /* until all are there */
    bool done;
    enum error error;
    uint64_t id;
    char email[LIMIT_EMAIL_BYTES + 1], password_hash[200];
    bool has_password;
    int64_t created_at_us;
};

static void done(void *context, enum error error, const struct account *account) {
    struct answer *answer = context;
    assert_false(answer->done);
    answer->done = true;
    answer->error = error;
    assert_int_equal(account != NULL, error == OK);
    if (account != NULL) {
        answer->id = account->id;
        answer->created_at_us = account->created_at_us;
        answer->has_password = account->password_hash.data != NULL;
        assert_true(text_copy(account->email, answer->email, sizeof answer->email));
        assert_true(text_copy(account->password_hash, answer->password_hash, sizeof answer->password_hash));
    }
    if (--*answer->left == 0)
        loop_stop(answer->loop);
}

struct fixture {
    struct loop *loop;
    struct accounts *accounts;
    char connection[192];
};

/* An open loop and accounts on a database of their own, whose tables `before` may have made in the older shape. */
static void setup(struct fixture *fixture, const char *name, const char *before) {
    struct buffer problem = {0};
    struct migrate_options options = {.connection = fixture->connection};
    const char *refused = NULL;
    postgres_database(&postgres, name, fixture->connection);
    if (before != NULL)
        postgres_run(fixture->connection, before);
    assert_int_equal(migrate_run(&options, &problem), MIGRATE_DONE);
    buffer_free(&problem);
    fixture->loop = loop_new();
    assert_non_null(fixture->loop);
    fixture->accounts = accounts_open(fixture->loop, fixture->connection, &settings, &refused);
    assert_non_null(fixture->accounts);
}

static void teardown(struct fixture *fixture) {
    accounts_close(fixture->accounts);
    loop_free(fixture->loop);
}

static struct account_query *expect(struct fixture *fixture, struct answer *answer, unsigned *left) {
    *answer = (struct answer){.loop = fixture->loop, .left = left};
    answer->query = (struct account_query){.done = done, .context = answer};
    return &answer->query;
}

static int64_t soon_us(void) {
    return clock_monotonic_us() + 10 * US_PER_S;
}

static struct answer find(struct fixture *fixture, const char *email) {
    struct answer answer;
    unsigned left = 1;
    accounts_find(fixture->accounts, text_from(email), soon_us(), expect(fixture, &answer, &left));
    loop_run(fixture->loop);
    return answer;
}

static struct answer check(struct fixture *fixture, uint64_t id, const char *email) {
    struct answer answer;
    unsigned left = 1;
    accounts_check(fixture->accounts, id, text_from(email), soon_us(), expect(fixture, &answer, &left));
    loop_run(fixture->loop);
    return answer;
}

static struct answer add(struct fixture *fixture, const char *email, const char *password_hash) {
    struct answer answer;
    unsigned left = 1;
    accounts_add(fixture->accounts, text_from(email), text_from(password_hash), soon_us(), expect(fixture, &answer, &left));
    loop_run(fixture->loop);
    return answer;
}

static void accounts_are_added_and_found(void **state) {
    struct fixture fixture;
    struct answer added, found;
    int64_t now_us = clock_real_us();
    (void)state;
    setup(&fixture, "added", NULL);
    added = add(&fixture, "Ann@Example.org", "$argon2id$one");
    assert_int_equal(added.error, OK);
    assert_true(added.id > 0);
    assert_string_equal(added.email, "Ann@Example.org");
    found = find(&fixture, "aNN@eXAMPLE.ORG");
    assert_int_equal(found.error, OK);
    assert_int_equal(found.id, added.id);
    assert_string_equal(found.email, "Ann@Example.org");
    assert_string_equal(found.password_hash, "$argon2id$one");
    assert_in_range(found.created_at_us - now_us + US_PER_S, 0, 60 * US_PER_S);
    assert_int_equal(found.created_at_us, added.created_at_us);
    /* Beyond ASCII too. */
    assert_int_equal(add(&fixture, "J\xc3\x96RG@example.org", "x").error, OK);
    assert_string_equal(find(&fixture, "j\xc3\xb6rg@example.org").email, "J\xc3\x96RG@example.org");
    /* What would be patterns or more than the text elsewhere. */
    assert_int_equal(find(&fixture, "%").error, ERROR_user_not_found);
    assert_int_equal(find(&fixture, "' or 1=1 --").error, ERROR_user_not_found);
    assert_int_equal(find(&fixture, "").error, ERROR_user_not_found);
    teardown(&fixture);
}

static void an_email_is_taken_once(void **state) {
    struct fixture fixture;
    (void)state;
    setup(&fixture, "once", NULL);
    assert_int_equal(add(&fixture, "ann@example.org", "one").error, OK);
    assert_int_equal(add(&fixture, "ann@example.org", "two").error, ERROR_user_exists);
    assert_int_equal(add(&fixture, "ANN@example.org", "three").error, ERROR_user_exists);
    assert_string_equal(find(&fixture, "ann@example.org").password_hash, "one");
    teardown(&fixture);
}

/* Over four connections at once; and one in the way of all, so that they meet the unique index and not just a row. */
static void of_racing_registrations_one_wins(void **state) {
    static const char *const spellings[] = {"eve@example.org", "Eve@example.org", "EVE@example.org", "eve@Example.org"};
    struct fixture fixture;
    struct answer answers[RACERS];
    unsigned left = RACERS, won = 0, lost = 0;
    char count[20];
    (void)state;
    setup(&fixture, "racing", NULL);
    for (size_t i = 0; i < RACERS; i++)
        accounts_add(fixture.accounts, text_from(spellings[i % 4]), TEXT("x"), soon_us(), expect(&fixture, &answers[i], &left));
    loop_run(fixture.loop);
    for (size_t i = 0; i < RACERS; i++) {
        won += answers[i].error == OK;
        lost += answers[i].error == ERROR_user_exists;
    }
    assert_int_equal(won, 1);
    assert_int_equal(lost, RACERS - 1);
    postgres_value(fixture.connection, "select count(*) from users", count, sizeof count);
    assert_string_equal(count, "1");
    teardown(&fixture);
}

/* A transaction of somebody else, which is committed as soon as another one waits for it. */
struct rival {
    const char *connection;
    struct pg_session *session;
    struct loop *loop;
    struct loop_timer timer;
};

static void commit_when_waited_for(struct loop_timer *timer) {
    static const char blocked[] =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    struct rival *rival = timer->context;
    struct buffer problem = {0};
    char waiting[20];
    postgres_value(rival->connection, blocked, waiting, sizeof waiting);
    if (strcmp(waiting, "1") == 0)
        assert_true(pg_session_run(rival->session, "commit", &problem));
    else
        loop_timer_set(rival->loop, timer, clock_monotonic_us() + US_PER_MS);
}

/* The row is not to be seen when the insert looks, yet in its way: so the index decides. */
static void the_unique_index_says_user_exists(void **state) {
    struct fixture fixture;
    struct answer answer;
    struct rival rival = {.connection = fixture.connection, .timer = {.fire = commit_when_waited_for}};
    struct buffer problem = {0};
    unsigned left = 1;
    (void)state;
    setup(&fixture, "index_race", NULL);
    rival.timer.context = &rival;
    rival.loop = fixture.loop;
    rival.session = pg_session_open(fixture.connection, "test", 5000, &problem);
    assert_non_null(rival.session);
    assert_true(pg_session_run(rival.session, "begin; insert into users (email) values ('Mallory@example.org')", &problem));
    assert_int_equal(find(&fixture, "mallory@example.org").error, ERROR_user_not_found);
    accounts_add(fixture.accounts, TEXT("mallory@example.org"), TEXT("x"), soon_us(), expect(&fixture, &answer, &left));
    loop_timer_set(fixture.loop, &rival.timer, clock_monotonic_us());
    loop_run(fixture.loop);
    assert_int_equal(answer.error, ERROR_user_exists);
    assert_string_equal(find(&fixture, "mallory@example.org").email, "Mallory@example.org");
    pg_session_close(rival.session);
    buffer_free(&problem);
    teardown(&fixture);
}

static void an_account_is_checked(void **state) {
    struct fixture fixture;
    struct answer added;
    (void)state;
    setup(&fixture, "checked", NULL);
    added = add(&fixture, "ann@example.org", "one");
    assert_int_equal(check(&fixture, added.id, "ann@example.org").error, OK);
    assert_int_equal(check(&fixture, added.id, "ANN@EXAMPLE.org").error, OK);
    assert_false(check(&fixture, added.id, "ann@example.org").has_password); /* nobody needs it there */
    assert_int_equal(check(&fixture, added.id + 1, "ann@example.org").error, ERROR_user_not_found);
    assert_int_equal(check(&fixture, added.id, "bob@example.org").error, ERROR_user_not_found);
    assert_int_equal(check(&fixture, INT64_C(1) << 31, "ann@example.org").error, ERROR_user_not_found);
    assert_int_equal(check(&fixture, added.id + (UINT64_C(1) << 32), "ann@example.org").error, ERROR_user_not_found);
    assert_int_equal(check(&fixture, UINT64_MAX, "ann@example.org").error, ERROR_user_not_found);
    postgres_run(fixture.connection, "delete from users");
    assert_int_equal(check(&fixture, added.id, "ann@example.org").error, ERROR_user_not_found);
    teardown(&fixture);
}

static void a_hash_is_replaced_unless_it_changed(void **state) {
    struct fixture fixture;
    struct answer added;
    (void)state;
    setup(&fixture, "replaced", NULL);
    added = add(&fixture, "ann@example.org", "one");
    (void)add(&fixture, "bob@example.org", "one");
    accounts_replace_hash(fixture.accounts, added.id, TEXT("one"), TEXT("two"));
    /* It may travel over another connection than the question. */
    while (strcmp(find(&fixture, "ann@example.org").password_hash, "one") == 0) {
    }
    assert_string_equal(find(&fixture, "ann@example.org").password_hash, "two");
    assert_string_equal(find(&fixture, "bob@example.org").password_hash, "one");
    accounts_replace_hash(fixture.accounts, added.id, TEXT("one"), TEXT("three")); /* of a login that began before */
    accounts_replace_hash(fixture.accounts, added.id + 1, TEXT("one"), TEXT("bob's"));
    while (strcmp(find(&fixture, "bob@example.org").password_hash, "one") == 0) {
    }
    assert_string_equal(find(&fixture, "ann@example.org").password_hash, "two");
    teardown(&fixture);
}

/* Rows without a password and without times, and spellings that the older system told apart. */
static void adopted_accounts_are_found(void **state) {
    static const char older[] =
        "create table users (id serial not null, email varchar primary key, password_hash varchar null, created_at timestamp, "
        "updated_at timestamp);"
        "insert into users (email, password_hash, created_at) values ('Ann@example.org', 'first', '2020-01-02 03:04:05.678901'), "
        "('ann@example.org', 'second', null), ('ANN@EXAMPLE.ORG', 'third', null), ('bob@example.org', null, null)";
    struct fixture fixture;
    struct answer answer;
    char formatted[RFC3339_BYTES];
    (void)state;
    setup(&fixture, "adopted", older);
    answer = find(&fixture, "Ann@example.org");
    assert_string_equal(answer.password_hash, "first");
    rfc3339_format(answer.created_at_us, formatted);
    assert_string_equal(formatted, "2020-01-02T03:04:05.678901Z");
    assert_string_equal(find(&fixture, "ann@example.org").password_hash, "second");
    assert_string_equal(find(&fixture, "ANN@EXAMPLE.ORG").password_hash, "third");
    assert_string_equal(find(&fixture, "aNN@example.org").password_hash, "first"); /* the oldest has all other spellings */
    answer = find(&fixture, "BOB@example.org");
    assert_int_equal(answer.error, OK);
    assert_false(answer.has_password);
    assert_int_equal(add(&fixture, "aNN@example.org", "x").error, ERROR_user_exists);
    assert_int_equal(add(&fixture, "bob@example.org", "x").error, ERROR_user_exists);
    teardown(&fixture);
}

static void a_database_that_is_away_is_said(void **state) {
    struct fixture fixture;
    struct answer answer;
    unsigned left = 1;
    int64_t began_us;
    (void)state;
    setup(&fixture, "away", NULL);
    assert_int_equal(add(&fixture, "ann@example.org", "one").error, OK);

    /* It hangs: the deadline holds. */
    postgres_signal_all(&postgres, SIGSTOP);
    began_us = clock_monotonic_us();
    accounts_find(fixture.accounts, TEXT("ann@example.org"), began_us + 50 * US_PER_MS, expect(&fixture, &answer, &left));
    loop_run(fixture.loop);
    assert_int_equal(answer.error, ERROR_timeout);
    assert_in_range(clock_monotonic_us() - began_us, 49 * US_PER_MS, 2000 * US_PER_MS);
    postgres_signal_all(&postgres, SIGCONT);

    /* It is gone, and comes back. */
    postgres_stop(&postgres, SIGQUIT);
    assert_int_equal(find(&fixture, "ann@example.org").error, ERROR_database_unavailable);
    assert_int_equal(add(&fixture, "bob@example.org", "x").error, ERROR_database_unavailable);
    postgres_start(&postgres);
    do
        answer = find(&fixture, "ann@example.org");
    while (answer.error == ERROR_database_unavailable);
    assert_int_equal(answer.error, OK);
    teardown(&fixture);
}

static void closing_ends_what_is_under_way(void **state) {
    struct fixture fixture;
    struct answer answer;
    unsigned left = 1;
    (void)state;
    setup(&fixture, "closing", NULL);
    accounts_find(fixture.accounts, TEXT("ann@example.org"), soon_us(), expect(&fixture, &answer, &left));
    accounts_replace_hash(fixture.accounts, 1, TEXT("a"), TEXT("b"));
    teardown(&fixture);
    assert_true(answer.done);
    assert_int_equal(answer.error, ERROR_database_unavailable);
}

static void a_malformed_connection_string_is_said(void **state) {
    struct loop *loop = loop_new();
    const char *problem = NULL;
    (void)state;
    assert_null(accounts_open(loop, "no such thing", &settings, &problem));
    assert_non_null(problem);
    loop_free(loop);
}

static int create(void **state) {
    (void)state;
    postgres_create(&postgres);
    return 0;
}

static int destroy(void **state) {
    (void)state;
    postgres_destroy(&postgres);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_are_added_and_found),
        cmocka_unit_test(an_email_is_taken_once),
        cmocka_unit_test(of_racing_registrations_one_wins),
        cmocka_unit_test(the_unique_index_says_user_exists),
        cmocka_unit_test(an_account_is_checked),
        cmocka_unit_test(a_hash_is_replaced_unless_it_changed),
        cmocka_unit_test(adopted_accounts_are_found),
        cmocka_unit_test(a_database_that_is_away_is_said),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(a_malformed_connection_string_is_said),
    };
    return cmocka_run_group_tests(tests, create, destroy);
}
