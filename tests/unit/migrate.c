/*
 * The migrations on a real Postgres: an empty database, one in the older shape whose rows and passwords stay, twice, by
 * several at once, and all that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/password.h"
#include "sql/migrate.h"
#include "sql/migrations.h"
#include "tests/unit/postgres.h"

static struct postgres postgres;

static enum migrate_outcome migrate(const char *connection, struct buffer *problem) {
    struct migrate_options options = {.connection = connection};
    buffer_clear(problem);
    return migrate_run(&options, problem);
}

static void assert_migrated(const char *connection) {
    struct buffer problem = {0};
    enum migrate_outcome outcome = migrate(connection, &problem);
    if (outcome != MIGRATE_DONE)
        fail_msg("%.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    buffer_free(&problem);
}

static void assert_value(const char *connection, const char *sql, const char *expected) {
    char value[512];
    postgres_value(connection, sql, value, sizeof value);
    assert_string_equal(value, expected);
}

static bool holds(const struct buffer *problem, const char *word) {
    return memmem(problem->data, problem->size, word, strlen(word)) != NULL;
}

static void count_line(void *context, const char *line) {
    assert_true(*line != '\0');
    ++*(unsigned *)context;
}

static void builds_an_empty_database(void **state) {
    char connection[192];
    unsigned lines = 0;
    struct buffer problem = {0};
    struct migrate_options options = {.connection = connection, .report = count_line, .context = &lines};
    (void)state;
    postgres_database(&postgres, "empty", connection);
    assert_int_equal(migrate_run(&options, &problem), MIGRATE_DONE);
    assert_int_equal(lines, migration_count + 1);
    postgres_run(connection, "insert into users (email, password_hash) values ('a@example.org', 'x');"
                             "insert into feeditems (created_by, image_id) values ('a@example.org', 'i')");
    assert_value(connection, "select state from feeditems", "pending");
    /* Once more: nothing changes. */
    lines = 0;
    assert_int_equal(migrate_run(&options, &problem), MIGRATE_DONE);
    assert_int_equal(lines, 1);
    assert_value(connection, "select count(*) from feeditems", "1");
    buffer_free(&problem);
}

/* As pg_dump writes an installation of the older system, with hashes of its cost. */
static const char old_tables[] =
    "create table __diesel_schema_migrations (version varchar(50) primary key not null, run_on timestamp not null default now());"
    "create table users (id serial not null, email varchar not null, password_hash varchar, created_at timestamp, "
    "updated_at timestamp);"
    "create table feeditems (id serial not null, created_by varchar not null, image_id varchar not null, caption varchar, "
    "created_at timestamp not null, updated_at timestamp not null);"
    "insert into __diesel_schema_migrations values ('00000000000000', '2020-05-01 10:00:00'), ('20200501101500', '2020-05-01 10:15:00');"
    "alter table only __diesel_schema_migrations add column if not exists unused integer;"
    "alter table __diesel_schema_migrations drop column unused;"
    "alter table only users add constraint users_pkey primary key (email);"
    "alter table only feeditems add constraint feeditems_pkey primary key (id);"
    "create index feeditems_updated_at on feeditems using btree (updated_at);";

static const char old_items[] =
    "insert into feeditems values "
    "(7, 'ann@example.org', '5f0c8d6e2b7a4c9d8e1f2a3b4c5d6e7f', 'a caption', '2021-01-01 00:00:00.123456', '2021-02-01 00:00:00.654321'),"
    "(8, 'Ann@example.org', 'other.jpg', null, '2021-01-02 00:00:00', '2021-02-01 00:00:00.654321'),"
    "(9, 'bob@example.org', 'shared', repeat('\xc3\xa4', 20000), '2021-01-03 00:00:00', '2021-02-03 00:00:00'),"
    "(10, 'gone@example.org', 'shared', '', '2021-01-04 00:00:00', '2021-02-04 00:00:00');"
    "select setval('feeditems_id_seq', 10);";

static void load_old(const char *connection) {
    static const struct password_cost cost = {4096, 3, 1};
    static const char *const people[][3] = {{"1", "ann@example.org", "ann's old password"},
                                            {"2", "Ann@example.org", "another Ann's"},
                                            {"3", "bob@example.org", "bob's old password"}};
    postgres_run(connection, old_tables);
    for (size_t i = 0; i < 3; i++) {
        char phc[PASSWORD_PHC_BYTES], sql[512];
        assert_true(password_hash(&cost, text_from(people[i][2]), phc));
        (void)snprintf(sql, sizeof sql,
                       "insert into users values (%s, '%s', '%s', '2020-05-0%s 12:00:00', '2020-06-01 12:00:00')", people[i][0],
                       people[i][1], phc, people[i][0]);
        postgres_run(connection, sql);
    }
    postgres_run(connection, "insert into users (id, email) values (4, 'never@example.org'); select setval('users_id_seq', 4)");
    postgres_run(connection, old_items);
}

#define OLD_USERS "select string_agg(id || email || coalesce(password_hash, '-'), ',' order by id) from users"
#define OLD_ITEMS                                                                                                                  \
    "select md5(string_agg(id || created_by || image_id || coalesce(caption, '-') || created_at || updated_at, ',' order by id)) " \
    "from feeditems"

static void adopts_the_older_system(void **state) {
    char connection[192], users_before[1024], items_before[64], users_after[1024], hash[PASSWORD_PHC_BYTES];
    struct password_cost cost;
    (void)state;
    postgres_database(&postgres, "adopted", connection);
    load_old(connection);
    postgres_value(connection, OLD_USERS, users_before, sizeof users_before);
    postgres_value(connection, OLD_ITEMS, items_before, sizeof items_before);
    for (unsigned time = 0; time < 2; time++) {
        assert_migrated(connection);
        postgres_value(connection, OLD_USERS, users_after, sizeof users_after);
        assert_string_equal(users_after, users_before);
        assert_value(connection, OLD_ITEMS, items_before);
    }
    assert_value(connection, "select string_agg(distinct state, ',') from feeditems", "ready");
    assert_value(connection, "select count(*) from __diesel_schema_migrations", "2");
    postgres_value(connection, "select password_hash from users where id = 3", hash, sizeof hash);
    assert_true(password_cost_of(text_from(hash), &cost));
    assert_int_equal(cost.memory_kib, 4096);
    assert_int_equal(password_verify(text_from(hash), TEXT("bob's old password")), PASSWORD_MATCHES);
    assert_value(connection, "select count(*) from users where created_at is null or updated_at is null", "0");
    /* Numbers go on where they were. */
    assert_value(connection, "insert into feeditems (created_by, image_id) values ('x', 'y') returning id", "11");
}

static void keeps_addresses_that_differ_in_case(void **state) {
    char connection[192];
    struct buffer problem = {0};
    (void)state;
    postgres_database(&postgres, "variants", connection);
    load_old(connection);
    assert_migrated(connection);
    assert_value(connection, "select string_agg(email, ',') from users where case_variant", "Ann@example.org");
    assert_value(connection, "select string_agg(id::text, ',' order by id) from feeditems where owner_exact", "7,8");
    struct pg_session *session = pg_session_open(connection, "test", 0, &problem);
    assert_non_null(session);
    assert_false(pg_session_run(session, "insert into users (email) values ('BOB@example.org')", &problem));
    assert_true(holds(&problem, "users_email_key"));
    pg_session_close(session);
    buffer_free(&problem);
}

static void refuses_what_it_does_not_know(void **state) {
    char connection[192];
    struct buffer problem = {0};
    (void)state;
    postgres_database(&postgres, "newer", connection);
    assert_migrated(connection);
    postgres_run(connection, "insert into pixbus_schema_migrations (version, name, checksum) values (999, 'later', 'x')");
    assert_int_equal(migrate(connection, &problem), MIGRATE_NEWER);
    assert_true(holds(&problem, "newer"));
    postgres_run(connection, "delete from pixbus_schema_migrations where name = 'later'");
    postgres_run(connection, "delete from pixbus_schema_migrations where version = 2");
    assert_int_equal(migrate(connection, &problem), MIGRATE_CHANGED);
    assert_true(holds(&problem, "lacks number 2"));
    postgres_run(connection, "insert into pixbus_schema_migrations (version, name, checksum) values (2, 'accounts', 'x')");
    assert_int_equal(migrate(connection, &problem), MIGRATE_CHANGED);
    assert_true(holds(&problem, "another form"));
    buffer_free(&problem);
}

/* Something in the way of the third migration: the first two stay, nothing of the third does, and it goes on when it can. */
static void undoes_what_fails(void **state) {
    char connection[192];
    struct buffer problem = {0};
    (void)state;
    postgres_database(&postgres, "broken", connection);
    postgres_run(connection, "create table feeditems_pending (x integer)");
    assert_int_equal(migrate(connection, &problem), MIGRATE_FAILED);
    assert_true(holds(&problem, "migration 3 (images)"));
    assert_value(connection, "select max(version) from pixbus_schema_migrations", "2");
    assert_value(connection,
                 "select count(*) from information_schema.columns where table_name = 'feeditems' and column_name = 'state'", "0");
    postgres_run(connection, "drop table feeditems_pending");
    assert_migrated(connection);
    buffer_free(&problem);
}

static void several_at_once_do_it_once(void **state) {
    char connection[192];
    pid_t children[4];
    (void)state;
    postgres_database(&postgres, "racing", connection);
    for (size_t i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct buffer problem = {0};
            _exit(migrate(connection, &problem) == MIGRATE_DONE ? 0 : 1);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_value(connection, "select count(*) = max(version) from pixbus_schema_migrations", "t");
}

static void says_that_nobody_answers(void **state) {
    struct buffer problem = {0};
    (void)state;
    assert_int_equal(migrate("host=/nonexistent dbname=x", &problem), MIGRATE_UNAVAILABLE);
    assert_true(holds(&problem, "cannot be reached"));
    assert_int_equal(migrate("no connection string", &problem), MIGRATE_UNAVAILABLE);
    assert_true(holds(&problem, "malformed"));
    buffer_free(&problem);
}

static int set_up(void **state) {
    (void)state;
    postgres_create(&postgres);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    postgres_destroy(&postgres);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_an_empty_database),
        cmocka_unit_test(adopts_the_older_system),
        cmocka_unit_test(keeps_addresses_that_differ_in_case),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(undoes_what_fails),
        cmocka_unit_test(several_at_once_do_it_once),
        cmocka_unit_test(says_that_nobody_answers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
