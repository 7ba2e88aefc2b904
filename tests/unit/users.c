/*
 * What the users actor answers, with accounts in memory instead of Postgres and a recorder instead of the bus: this file
 * defines accounts_*() and ask_*() in their place. Hashes and tokens are real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "actors/users/users.h"
#include "base/clock.h"

#define KEY TEXT("0123456789abcdef0123456789abcdef")
#define TIMEOUT_US (3600 * US_PER_S)
#define QUEUE_MAX 4

static const struct password_cost cheap = {64, 1, 1};
static const struct password_cost older = {32, 2, 1};

/* One account is on file, or none. */
struct accounts {
    bool present;
    uint64_t id;
    const char *email;
    char password_hash[PASSWORD_PHC_BYTES]; /* "": none */
    enum error failure;                     /* of every query, unless OK */
    bool added_by_another;                  /* an insert finds that the email was taken meanwhile */
    bool *cancel_during_query;
    char replaced_before[PASSWORD_PHC_BYTES], replaced_after[PASSWORD_PHC_BYTES];
    unsigned queries;
};

/* An ask, and its answer. */
struct recorded {
    struct ask ask; /* first */
    unsigned answers;
    enum error error;
    char token[TOKEN_BYTES], user[LIMIT_EMAIL_BYTES + 1], message[100];
    bool auth;
    int64_t created_at_us;
    struct loop *loop;
    struct users_credentials credentials;
    char password[LIMIT_PASSWORD_BYTES + 1];
};

static void note_text(char *out, size_t size, struct text text) {
    assert_true(text_copy(text, out, size));
}

void ask_reply(struct ask *ask, const void *reply) {
    struct recorded *recorded = (struct recorded *)ask;
    const char *field = NULL;
    recorded->answers++;
    recorded->error = OK;
    if (proto_check(ask->message->reply, reply, &field) != OK)
        fail_msg("reply outside its limits: %s", field);
    switch (ask->message->number) {
    case MESSAGE_users_register:
        note_text(recorded->token, sizeof recorded->token, ((const struct users_registration *)reply)->token);
        note_text(recorded->user, sizeof recorded->user, ((const struct users_registration *)reply)->user);
        break;
    case MESSAGE_users_login:
        note_text(recorded->token, sizeof recorded->token, ((const struct users_session *)reply)->token);
        note_text(recorded->user, sizeof recorded->user, ((const struct users_session *)reply)->user);
        recorded->auth = ((const struct users_session *)reply)->auth;
        break;
    case MESSAGE_users_verify:
        note_text(recorded->message, sizeof recorded->message, ((const struct users_verification *)reply)->message);
        recorded->auth = ((const struct users_verification *)reply)->auth;
        break;
    case MESSAGE_users_get:
        note_text(recorded->user, sizeof recorded->user, ((const struct users_user *)reply)->email);
        recorded->created_at_us = ((const struct users_user *)reply)->created_at;
        break;
    default: fail_msg("an unknown message is answered");
    }
    loop_stop(recorded->loop);
}

void ask_fail(struct ask *ask, enum error error, const char *detail) {
    struct recorded *recorded = (struct recorded *)ask;
    (void)detail;
    recorded->answers++;
    recorded->error = error;
    loop_stop(recorded->loop);
}

/* Answer a query about the account on file, if it is the one. */
static void answer_query(struct accounts *accounts, bool matches, enum error when_not, struct account_query *query) {
    struct account account = {.id = accounts->id, .email = text_from(accounts->email), .created_at_us = 1234567};
    accounts->queries++;
    if (accounts->cancel_during_query != NULL)
        *accounts->cancel_during_query = true;
    if (accounts->password_hash[0] != '\0')
        account.password_hash = text_from(accounts->password_hash);
    if (accounts->failure != OK)
        query->done(query->context, accounts->failure, NULL);
    else if (!accounts->present || !matches)
        query->done(query->context, when_not, NULL);
    else
        query->done(query->context, OK, &account);
}

void accounts_find(struct accounts *accounts, struct text email, int64_t deadline_us, struct account_query *query) {
    assert_true(deadline_us > 0);
    answer_query(accounts, text_equal_ignoring_case(email, text_from(accounts->email)), ERROR_user_not_found, query);
}

void accounts_check(struct accounts *accounts, uint64_t id, struct text email, int64_t deadline_us, struct account_query *query) {
    assert_true(deadline_us > 0);
    answer_query(accounts, id == accounts->id && text_equal_ignoring_case(email, text_from(accounts->email)),
                 ERROR_user_not_found, query);
}

void accounts_add(struct accounts *accounts, struct text email, struct text password_hash, int64_t deadline_us,
                  struct account_query *query) {
    static char stored[LIMIT_EMAIL_BYTES + 1];
    bool taken = accounts->present || accounts->added_by_another;
    assert_true(deadline_us > 0);
    if (!taken && accounts->failure == OK) {
        assert_true(text_copy(email, stored, sizeof stored));
        assert_true(text_copy(password_hash, accounts->password_hash, sizeof accounts->password_hash));
        accounts->email = stored;
        accounts->id = 42;
        accounts->present = true;
    }
    answer_query(accounts, !taken, ERROR_user_exists, query);
}

void accounts_replace_hash(struct accounts *accounts, uint64_t id, struct text before, struct text after) {
    assert_int_equal(id, accounts->id);
    assert_true(text_copy(before, accounts->replaced_before, sizeof accounts->replaced_before));
    assert_true(text_copy(after, accounts->replaced_after, sizeof accounts->replaced_after));
}

struct fixture {
    struct loop *loop;
    struct users users;
    struct accounts accounts;
};

static struct fixture *setup_with(const struct password_cost *cost) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->loop = loop_new();
    assert_non_null(fixture->loop);
    fixture->accounts = (struct accounts){.present = true, .id = 7, .email = "Ann@Example.org"};
    assert_true(password_hash(cost, TEXT("correct horse"), fixture->accounts.password_hash));
    fixture->users = (struct users){
        .accounts = &fixture->accounts,
        .hashing = hashing_new(fixture->loop, 1, QUEUE_MAX, cost),
        .token_key = KEY,
        .token_timeout_us = TIMEOUT_US,
        .password_min_bytes = 8,
    };
    assert_non_null(fixture->users.hashing);
    return fixture;
}

static struct fixture *setup(void) {
    return setup_with(&cheap);
}

static void teardown(struct fixture *fixture) {
    hashing_free(fixture->users.hashing);
    loop_free(fixture->loop);
    free(fixture);
}

static struct recorded *ask_new(struct fixture *fixture, unsigned message, const char *email, const char *password) {
    struct recorded *recorded = calloc(1, sizeof *recorded);
    assert_non_null(recorded);
    recorded->loop = fixture->loop;
    recorded->ask.message = proto_message_find(message);
    assert_non_null(recorded->ask.message);
    recorded->ask.deadline_us = clock_monotonic_us() + 10 * US_PER_S;
    arena_init(&recorded->ask.arena, LIMIT_ARENA_BYTES);
    assert_true(text_copy(text_from(password), recorded->password, sizeof recorded->password));
    recorded->credentials = (struct users_credentials){text_from(email), text_from(recorded->password)};
    return recorded;
}

static void ask_free(struct recorded *recorded) {
    arena_free(&recorded->ask.arena);
    free(recorded);
}

/* Wait for the answer. It must be the only one, and no trace of the password may be left. */
static void await(struct recorded *recorded, const char *password) {
    size_t size = strlen(password);
    while (recorded->answers == 0)
        loop_run(recorded->loop);
    assert_int_equal(recorded->answers, 1);
    if (size > 0)
        assert_memory_not_equal(recorded->password, password, size);
}

static void begin(struct fixture *fixture, struct recorded *recorded) {
    if (recorded->ask.message->number == MESSAGE_users_login)
        users_begin_login(&fixture->users, &recorded->ask, &recorded->credentials);
    else
        users_begin_registration(&fixture->users, &recorded->ask, &recorded->credentials);
}

/* Register or log in, and wait. The caller frees. */
static struct recorded *sign_in(struct fixture *fixture, unsigned message, const char *email, const char *password) {
    struct recorded *recorded = ask_new(fixture, message, email, password);
    begin(fixture, recorded);
    await(recorded, password);
    return recorded;
}

static enum error login_error(struct fixture *fixture, const char *email, const char *password) {
    struct recorded *recorded = sign_in(fixture, MESSAGE_users_login, email, password);
    enum error error = recorded->error;
    assert_string_equal(recorded->token, "");
    ask_free(recorded);
    return error;
}

static enum error registration_error(struct fixture *fixture, const char *email, const char *password) {
    struct recorded *recorded = sign_in(fixture, MESSAGE_users_register, email, password);
    enum error error = recorded->error;
    assert_string_equal(recorded->token, "");
    ask_free(recorded);
    return error;
}

static void assert_token(const char *token, uint64_t user_id, const char *email) {
    struct token_claims claims;
    int64_t now_us = clock_real_us();
    assert_int_equal(token_verify(KEY, text_from(token), now_us, &claims), TOKEN_GOOD);
    assert_int_equal(claims.user_id, user_id);
    assert_string_equal(claims.email, email);
    assert_in_range(claims.expires_us - claims.issued_us, TIMEOUT_US - US_PER_S, TIMEOUT_US + US_PER_S);
    assert_in_range(now_us - claims.issued_us + US_PER_S, 0, 10 * US_PER_S);
}

static void the_right_password_signs_in(void **state) {
    struct fixture *fixture = setup();
    struct recorded *recorded = sign_in(fixture, MESSAGE_users_login, "ann@EXAMPLE.ORG", "correct horse");
    (void)state;
    assert_int_equal(recorded->error, OK);
    assert_true(recorded->auth);
    assert_string_equal(recorded->user, "Ann@Example.org"); /* as registered */
    assert_token(recorded->token, 7, "Ann@Example.org");
    assert_string_equal(fixture->accounts.replaced_after, ""); /* the hash is of today */
    ask_free(recorded);
    teardown(fixture);
}

static void nothing_else_signs_in(void **state) {
    struct fixture *fixture = setup();
    (void)state;
    assert_int_equal(login_error(fixture, "ann@example.org", "correct horse "), ERROR_unauthorized);
    assert_int_equal(login_error(fixture, "ann@example.org", "Correct horse"), ERROR_unauthorized);
    assert_int_equal(login_error(fixture, "bob@example.org", "correct horse"), ERROR_unauthorized);
    assert_int_equal(login_error(fixture, "ann", "correct horse"), ERROR_email_malformed);
    fixture->accounts.password_hash[0] = '\0'; /* an adopted account without a password */
    assert_int_equal(login_error(fixture, "ann@example.org", "correct horse"), ERROR_unauthorized);
    strncpy(fixture->accounts.password_hash, "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$aJI",
            sizeof fixture->accounts.password_hash - 1);
    assert_int_equal(login_error(fixture, "ann@example.org", "correct horse"), ERROR_unauthorized);
    teardown(fixture);
}

static void an_old_hash_is_replaced(void **state) {
    struct fixture *fixture = setup();
    char old[PASSWORD_PHC_BYTES];
    struct recorded *recorded;
    (void)state;
    assert_true(password_hash(&older, TEXT("correct horse"), old));
    memcpy(fixture->accounts.password_hash, old, sizeof old);
    assert_int_equal(login_error(fixture, "ann@example.org", "wrong horse"), ERROR_unauthorized);
    assert_string_equal(fixture->accounts.replaced_after, "");
    recorded = sign_in(fixture, MESSAGE_users_login, "ann@example.org", "correct horse");
    assert_int_equal(recorded->error, OK);
    assert_string_equal(fixture->accounts.replaced_before, old);
    assert_false(password_needs_rehash(text_from(fixture->accounts.replaced_after), &cheap));
    assert_int_equal(password_verify(text_from(fixture->accounts.replaced_after), TEXT("correct horse")), PASSWORD_MATCHES);
    ask_free(recorded);
    teardown(fixture);
}

static void a_new_account_is_made(void **state) {
    struct fixture *fixture = setup();
    struct recorded *recorded;
    (void)state;
    fixture->accounts = (struct accounts){.email = ""};
    recorded = sign_in(fixture, MESSAGE_users_register, "Bob@Example.org", "eight by");
    assert_int_equal(recorded->error, OK);
    assert_string_equal(recorded->user, "Bob@Example.org");
    assert_token(recorded->token, 42, "Bob@Example.org");
    assert_false(password_needs_rehash(text_from(fixture->accounts.password_hash), &cheap));
    ask_free(recorded);
    recorded = sign_in(fixture, MESSAGE_users_login, "bob@example.org", "eight by");
    assert_int_equal(recorded->error, OK);
    ask_free(recorded);
    teardown(fixture);
}

static void bad_registrations_are_refused(void **state) {
    struct fixture *fixture = setup();
    (void)state;
    assert_int_equal(registration_error(fixture, "bob", "long enough"), ERROR_email_malformed);
    assert_int_equal(registration_error(fixture, "bob@example.org", "7 bytes"), ERROR_password_length);
    assert_int_equal(fixture->accounts.queries, 0);
    assert_int_equal(registration_error(fixture, "ANN@example.org", "long enough"), ERROR_user_exists);
    fixture->accounts = (struct accounts){.email = "", .added_by_another = true};
    assert_int_equal(registration_error(fixture, "bob@example.org", "long enough"), ERROR_user_exists);
    teardown(fixture);
}

/* What the database says goes through; nobody is told "unauthorized" because it is away. */
static void failures_of_the_database_are_told(void **state) {
    static const enum error failures[] = {ERROR_database_unavailable, ERROR_timeout, ERROR_busy, ERROR_internal};
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        struct fixture *fixture = setup();
        struct users_get_request request = {TEXT("ann@example.org")};
        struct recorded *recorded;
        fixture->accounts.failure = failures[i];
        assert_int_equal(login_error(fixture, "ann@example.org", "correct horse"), failures[i]);
        assert_int_equal(registration_error(fixture, "bob@example.org", "long enough"), failures[i]);
        recorded = ask_new(fixture, MESSAGE_users_get, "", "");
        users_begin_get(&fixture->users, &recorded->ask, &request);
        await(recorded, "");
        assert_int_equal(recorded->error, failures[i]);
        ask_free(recorded);
        recorded = ask_new(fixture, MESSAGE_users_verify, "", "");
        recorded->ask.caller = (struct bus_caller){7, TEXT("Ann@Example.org")};
        users_begin_verification(&fixture->users, &recorded->ask);
        await(recorded, "");
        assert_int_equal(recorded->error, failures[i]);
        ask_free(recorded);
        teardown(fixture);
    }
}

static void too_many_are_busy_at_once(void **state) {
    struct fixture *fixture = setup();
    struct recorded *asks[QUEUE_MAX + 3];
    const size_t count = sizeof asks / sizeof *asks;
    (void)state;
    for (size_t i = 0; i < count; i++) {
        asks[i] = ask_new(fixture, i % 2 == 0 ? MESSAGE_users_login : MESSAGE_users_register,
                          i % 2 == 0 ? "ann@example.org" : "ann@example.org", "correct horse");
        begin(fixture, asks[i]);
        assert_int_equal(asks[i]->answers, i > QUEUE_MAX); /* one runs, QUEUE_MAX wait */
    }
    for (size_t i = 0; i < count; i++) {
        await(asks[i], "correct horse");
        assert_int_equal(asks[i]->error, i > QUEUE_MAX ? ERROR_busy : i % 2 == 0 ? OK : ERROR_user_exists);
        ask_free(asks[i]);
    }
    teardown(fixture);
}

static void who_gave_up_costs_no_hash(void **state) {
    struct fixture *fixture = setup();
    struct recorded *recorded = ask_new(fixture, MESSAGE_users_login, "ann@example.org", "correct horse");
    (void)state;
    fixture->accounts.cancel_during_query = &recorded->ask.cancelled;
    begin(fixture, recorded);
    assert_int_equal(recorded->answers, 1); /* no thread was asked */
    await(recorded, "correct horse");
    assert_int_equal(recorded->error, ERROR_cancelled);
    ask_free(recorded);
    fixture->accounts.cancel_during_query = NULL;

    recorded = ask_new(fixture, MESSAGE_users_register, "bob@example.org", "correct horse");
    recorded->ask.deadline_us = clock_monotonic_us();
    begin(fixture, recorded);
    assert_int_equal(recorded->answers, 1);
    await(recorded, "correct horse");
    assert_int_equal(recorded->error, ERROR_timeout);
    ask_free(recorded);
    teardown(fixture);
}

static struct recorded *verify(struct fixture *fixture, uint64_t user_id, const char *email) {
    struct recorded *recorded = ask_new(fixture, MESSAGE_users_verify, "", "");
    recorded->ask.caller = (struct bus_caller){user_id, text_from(email)};
    users_begin_verification(&fixture->users, &recorded->ask);
    await(recorded, "");
    return recorded;
}

static void a_token_is_good_while_its_account_exists(void **state) {
    static const struct {
        uint64_t user_id;
        const char *email;
        enum error expected;
    } rows[] = {
        {7, "Ann@Example.org", OK},
        {8, "Ann@Example.org", ERROR_token_rejected},
        {7, "bob@example.org", ERROR_token_rejected},
        {0, "Ann@Example.org", ERROR_token_rejected},
    };
    struct fixture *fixture = setup();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recorded *recorded = verify(fixture, rows[i].user_id, rows[i].email);
        assert_int_equal(recorded->error, rows[i].expected);
        assert_string_equal(recorded->message, rows[i].expected == OK ? "Authenticated" : "");
        assert_int_equal(recorded->auth, rows[i].expected == OK);
        ask_free(recorded);
    }
    teardown(fixture);
}

static void accounts_are_looked_up(void **state) {
    struct fixture *fixture = setup();
    struct users_get_request request = {TEXT("ANN@example.org")};
    struct recorded *recorded = ask_new(fixture, MESSAGE_users_get, "", "");
    (void)state;
    users_begin_get(&fixture->users, &recorded->ask, &request);
    await(recorded, "");
    assert_int_equal(recorded->error, OK);
    assert_string_equal(recorded->user, "Ann@Example.org");
    assert_int_equal(recorded->created_at_us, 1234567);
    ask_free(recorded);
    request.email = TEXT("bob@example.org");
    recorded = ask_new(fixture, MESSAGE_users_get, "", "");
    users_begin_get(&fixture->users, &recorded->ask, &request);
    await(recorded, "");
    assert_int_equal(recorded->error, ERROR_user_not_found);
    ask_free(recorded);
    teardown(fixture);
}

#define ROUNDS 15

static int compare_times(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t process_cpu_us(void) {
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * US_PER_S + time.tv_nsec / 1000;
}

/* CPU time of the whole process, medians of logins that take turns: for nobody, without a password, with a wrong one. */
static void refused_logins_take_the_same_time(void **state) {
    static const struct password_cost cost = {4096, 2, 1};
    static int64_t times_us[3][ROUNDS];
    struct fixture *fixture = setup_with(&cost);
    char hash[PASSWORD_PHC_BYTES];
    (void)state;
    memcpy(hash, fixture->accounts.password_hash, sizeof hash);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t kind = 0; kind < 3; kind++) {
            int64_t began_us = process_cpu_us();
            memcpy(fixture->accounts.password_hash, kind == 1 ? "" : hash, kind == 1 ? 1 : sizeof hash);
            assert_int_equal(login_error(fixture, kind == 0 ? "nobody@example.org" : "ann@example.org", "wrong horse"),
                             ERROR_unauthorized);
            times_us[kind][round] = process_cpu_us() - began_us;
        }
    for (size_t kind = 0; kind < 3; kind++)
        qsort(times_us[kind], ROUNDS, sizeof(int64_t), compare_times);
    for (size_t kind = 0; kind < 3; kind++) {
        double ratio = (double)times_us[kind][ROUNDS / 2] / (double)times_us[2][ROUNDS / 2];
        print_message("kind %zu: median %jd us, ratio %.3f\n", kind, (intmax_t)times_us[kind][ROUNDS / 2], ratio);
        assert_true(ratio > 0.7 && ratio < 1.4);
    }
    teardown(fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password_signs_in),
        cmocka_unit_test(nothing_else_signs_in),
        cmocka_unit_test(an_old_hash_is_replaced),
        cmocka_unit_test(a_new_account_is_made),
        cmocka_unit_test(bad_registrations_are_refused),
        cmocka_unit_test(failures_of_the_database_are_told),
        cmocka_unit_test(too_many_are_busy_at_once),
        cmocka_unit_test(who_gave_up_costs_no_hash),
        cmocka_unit_test(a_token_is_good_while_its_account_exists),
        cmocka_unit_test(accounts_are_looked_up),
        cmocka_unit_test(refused_logins_take_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
