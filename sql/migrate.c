#include "sql/migrate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/session.h"
#include "sql/migrations.h"

/* Any number that nothing else on the server uses: "pixbus" in a telephone's letters. */
#define LOCK "749287"

static const char lock_sql[] = "select pg_advisory_lock(" LOCK ")";
static const char record_table_sql[] = "create table if not exists pixbus_schema_migrations ("
                                       "version integer primary key, name text not null, checksum text not null, "
                                       "applied_at timestamp not null default (now() at time zone 'utc'))";
static const char applied_sql[] = "select version, name, checksum from pixbus_schema_migrations order by version";
static const char record_sql[] = "insert into pixbus_schema_migrations (version, name, checksum) values ($1::integer, $2, $3)";

[[gnu::format(printf, 2, 3)]] static void report(const struct migrate_options *options, const char *format, ...) {
    char line[256];
    va_list arguments;
    if (options->report == NULL)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    options->report(options->context, line);
}

static enum migrate_outcome failure(const struct pg_session *session) {
    return pg_session_connected(session) ? MIGRATE_FAILED : MIGRATE_UNAVAILABLE;
}

/* Compare what the database has with what we have. `ret_count`: migrations that are applied, the first ones of our table. */
static enum migrate_outcome compare(struct pg_session *session, unsigned *ret_count, struct buffer *problem) {
    struct pg_rows *rows = pg_session_query(session, applied_sql, NULL, 0, problem);
    enum migrate_outcome outcome = MIGRATE_DONE;
    if (rows == NULL)
        return failure(session);
    size_t count = pg_rows_count(rows);
    for (size_t i = 0; i < count && outcome == MIGRATE_DONE; i++) {
        const char *version = pg_rows_value(rows, i, 0), *name = pg_rows_value(rows, i, 1);
        if (strtoul(version, NULL, 10) > migration_count) {
            buffer_printf(problem,
                          "the database's schema has migration %s (%s), this program knows %u: it was migrated by a newer "
                          "version; run that one",
                          version, name, migration_count);
            outcome = MIGRATE_NEWER;
        } else if (strtoul(version, NULL, 10) != i + 1) {
            buffer_printf(problem, "the database's record of migrations lacks number %zu: restore a backup of it", i + 1);
            outcome = MIGRATE_CHANGED;
        } else if (strcmp(pg_rows_value(rows, i, 2), migration_table[i].checksum) != 0) {
            buffer_printf(problem,
                          "migration %s (%s) was applied in another form than this program has it: run the version that did",
                          version, name);
            outcome = MIGRATE_CHANGED;
        }
    }
    pg_rows_free(rows);
    if (outcome == MIGRATE_DONE)
        *ret_count = (unsigned)count;
    return outcome;
}

static bool record(struct pg_session *session, const struct migration *migration, struct buffer *problem) {
    char version[16];
    (void)snprintf(version, sizeof version, "%u", migration->version);
    const char *parameters[] = {version, migration->name, migration->checksum};
    struct pg_rows *rows = pg_session_query(session, record_sql, parameters, 3, problem);
    pg_rows_free(rows);
    return rows != NULL;
}

static enum migrate_outcome apply(struct pg_session *session, const struct migration *migration, struct buffer *problem) {
    struct buffer why = {0};
    bool good = pg_session_run(session, "begin", &why) && pg_session_run(session, migration->sql, &why) &&
                record(session, migration, &why) && pg_session_run(session, "commit", &why);
    enum migrate_outcome outcome = good ? MIGRATE_DONE : failure(session);
    if (!good) {
        struct buffer ignored = {0};
        buffer_printf(problem, "migration %u (%s) was undone: ", migration->version, migration->name);
        buffer_append_text(problem, buffer_text(&why));
        if (!pg_session_run(session, "rollback", &ignored))
            outcome = MIGRATE_UNAVAILABLE;
        buffer_free(&ignored);
    }
    buffer_free(&why);
    return outcome;
}

/* The lock is the session's: it goes when the session does, however that ends. */
static enum migrate_outcome migrate(struct pg_session *session, const struct migrate_options *options, struct buffer *problem) {
    unsigned applied = 0;
    struct pg_rows *rows = pg_session_query(session, lock_sql, NULL, 0, problem);
    bool locked = rows != NULL;
    pg_rows_free(rows);
    if (!locked || !pg_session_run(session, record_table_sql, problem))
        return failure(session);
    enum migrate_outcome outcome = compare(session, &applied, problem);
    for (unsigned i = applied; outcome == MIGRATE_DONE && i < migration_count; i++) {
        outcome = apply(session, &migration_table[i], problem);
        if (outcome == MIGRATE_DONE)
            report(options, "migration %u (%s) applied", migration_table[i].version, migration_table[i].name);
    }
    if (outcome == MIGRATE_DONE)
        report(options, "the schema is up to date at migration %u%s", migration_count,
               applied == migration_count ? ", nothing to do" : "");
    return outcome;
}

enum migrate_outcome migrate_run(const struct migrate_options *options, struct buffer *problem) {
    struct buffer why = {0};
    struct pg_session *session = pg_session_open(options->connection, "pixbus-migrate", options->wait_ms, &why);
    enum migrate_outcome outcome = MIGRATE_UNAVAILABLE;
    if (session == NULL) {
        buffer_printf(problem, "the database cannot be reached: %.*s", TEXT_ARGUMENTS(buffer_text(&why)));
    } else {
        outcome = migrate(session, options, problem);
        pg_session_close(session);
    }
    buffer_free(&why);
    return outcome;
}
