/* pixbus migrate: bring the database to the schema that this program knows. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus/ctl/command.h"
#include "sql/migrate.h"

#define WAIT_MAX_S 3600

static void report(void *context, const char *line) {
    (void)context;
    (void)puts(line);
    (void)fflush(stdout);
}

static int migrate(const struct settings *settings, int64_t wait_ms) {
    struct buffer connection = {0}, problem = {0};
    struct migrate_options options = {.wait_ms = wait_ms, .report = report};
    enum migrate_outcome outcome = MIGRATE_UNAVAILABLE;
    bool good = settings_database(settings, &connection);
    buffer_append(&connection, "", 1);
    if (good && buffer_ok(&connection)) {
        options.connection = connection.data;
        outcome = migrate_run(&options, &problem);
    } else {
        buffer_printf(&problem, "there is no memory for the connection string");
    }
    if (outcome != MIGRATE_DONE)
        (void)fprintf(stderr, "pixbus migrate: %.*s\n", TEXT_ARGUMENTS(buffer_text(&problem)));
    if (connection.data != NULL)
        explicit_bzero(connection.data, connection.capacity);
    buffer_free(&connection);
    buffer_free(&problem);
    return outcome == MIGRATE_DONE ? 0 : 1;
}

static int run(int argc, char **argv) {
    struct settings settings;
    uint64_t wait_s = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--wait") != 0)
            return command_misused("migrate", "it takes no argument %s", argv[i]);
        if (++i == argc || !text_to_u64(text_from(argv[i]), &wait_s) || wait_s > WAIT_MAX_S)
            return command_misused("migrate", "--wait takes a number of seconds from 0 to %d", WAIT_MAX_S);
    }
    if (!command_settings(&settings))
        return 2;
    return migrate(&settings, (int64_t)wait_s * 1000);
}

const struct command command_migrate = {
    .name = "migrate",
    .summary = "bring the database to this program's schema",
    .help =
        "usage: pixbus migrate [--wait SECONDS]\n\n"
        "Runs the migrations that the database lacks, each in a transaction. Builds the tables in an empty database, adopts\n"
        "those of the older system with all their rows, and does nothing to a schema that is up to date. Several at the same\n"
        "time wait for each other. A schema newer than this program is refused.\n\n"
        "The database is DATABASE_URL, else POSTGRESS_*, else libpq's PG* variables.\n\n"
        "  --wait SECONDS  keep trying to connect for so long [0]\n\n"
        "examples:\n"
        "  DATABASE_URL=postgresql://pixbus@db.example/pixbus pixbus migrate\n"
        "  pixbus migrate --wait 60\n",
    .run = run,
};
