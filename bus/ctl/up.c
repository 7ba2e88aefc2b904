/*
 * pixbus up: everything of one installation on one machine. This file is the wiring: what runs, with which settings, what
 * waits for what, and what stops when. supervisor.c keeps it running.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "bus/ctl/command.h"
#include "bus/ctl/files.h"
#include "bus/ctl/place.h"
#include "bus/ctl/postgres.h"
#include "bus/ctl/probe.h"
#include "bus/ctl/secrets.h"
#include "bus/ctl/supervisor.h"

#define REPLICAS_MAX 16
#define READY_PERIOD_US (10 * US_PER_MS)
#define PATIENCE_US (5 * US_PER_S) /* then it says what it waits for */

/* What can run. The gateway stops first, so that nobody is served halfway; Postgres last. */
static const struct kind {
    const char *name, *file;
    const char *needs;
    bool task, replicable;
    unsigned stage;
    int stop_signal, death_signal;
    int64_t stop_limit_us;
} kinds[] = {
    /* A Postgres that gets SIGINT ends its sessions and writes a checkpoint. */
    {"postgres", NULL, NULL, false, false, 4, SIGINT, SIGINT, 30 * US_PER_S},
    {"migrate", "pixbus", NULL, true, false, 2, SIGTERM, SIGTERM, 5 * US_PER_S},
    {"broker", "pixbus-broker", NULL, false, false, 3, SIGTERM, SIGKILL, 5 * US_PER_S},
    {"feed", "pixbus-feed", "migrate", false, true, 2, SIGTERM, SIGKILL, 10 * US_PER_S},
    {"users", "pixbus-users", "migrate", false, true, 2, SIGTERM, SIGKILL, 10 * US_PER_S},
    {"imgproc", "pixbus-imgproc", NULL, false, true, 2, SIGTERM, SIGKILL, 20 * US_PER_S},
    /* Both are nginx, whose workers outlive a master that is killed: these get a signal that they can pass on. */
    {"store", "pixbus-store", NULL, false, false, 1, SIGQUIT, SIGTERM, 10 * US_PER_S},
    {"gateway", "pixbus-gateway", NULL, false, false, 0, SIGQUIT, SIGTERM, 10 * US_PER_S},
};

#define KIND_COUNT (sizeof kinds / sizeof *kinds)

struct up {
    struct settings settings;
    struct place place;
    struct postgres postgres;
    struct address listen, store_listen;
    bool own_postgres, own_store;
    unsigned replicas[KIND_COUNT];
    struct program programs[SUPERVISOR_PROGRAMS_MAX];
    char names[SUPERVISOR_PROGRAMS_MAX][16];
    char paths[KIND_COUNT][PATH_MAX];
    char *arguments[KIND_COUNT][5];
    size_t program_count;
    struct loop *loop;
    struct supervisor *supervisor;
    struct probe probe;
    struct loop_timer patience;
    int64_t started_us;
    int status;
};

static_assert(KIND_COUNT * REPLICAS_MAX >= SUPERVISOR_PROGRAMS_MAX, "the sum of the replicas is checked against the table");

static char *argument(const char *text) {
    return (char *)(uintptr_t)text; /* exec() takes char *, and leaves it alone */
}

/* "feed=2,imgproc=4" */
static bool parse_replicas(const char *text, unsigned replicas[KIND_COUNT]) {
    while (*text != '\0') {
        size_t size = strcspn(text, ","), kind = 0;
        const char *equals = memchr(text, '=', size);
        uint64_t count;
        if (equals == NULL)
            return false;
        struct text name = {text, (size_t)(equals - text)}, digits = {equals + 1, size - name.size - 1};
        while (kind < KIND_COUNT && !(kinds[kind].replicable && text_equal(text_from(kinds[kind].name), name)))
            kind++;
        if (kind == KIND_COUNT || !text_to_u64(digits, &count) || count < 1 || count > REPLICAS_MAX)
            return false;
        replicas[kind] = (unsigned)count;
        text += size;
        if (*text == ',' && *++text == '\0')
            return false;
    }
    return true;
}

static bool is_set(const char *variable) {
    const char *value = getenv(variable);
    return value != NULL && *value != '\0';
}

/* The first of these that the user has set, or NULL. */
static const char *first_set(const char *const variables[]) {
    for (; *variables != NULL; variables++)
        if (is_set(*variables))
            return *variables;
    return NULL;
}

/* Whoever names a database or an S3 of their own gets that, and not ours. */
static void decide_what_is_ours(struct up *up) {
    static const char *const database[] = {"DATABASE_URL",       "POSTGRESS_HOST", "POSTGRESS_DATABASE",
                                           "POSTGRESS_USERNAME", "PGHOST",         "PGHOSTADDR",
                                           "PGSERVICE",          "PGDATABASE",     NULL};
    static const char *const s3[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID",
                                     "AWS_PROFILE",         "AWS_ROLE_ARN",     NULL};
    const char *given = first_set(database);
    up->own_postgres = given == NULL;
    if (given != NULL)
        log_event(LOG_LEVEL_INFO, "postgres_of_the_user", "because_of", given, NULL);
    given = first_set(s3);
    up->own_store = given == NULL;
    if (given != NULL)
        log_event(LOG_LEVEL_INFO, "s3_of_the_user", "because_of", given, NULL);
}

static bool set(const char *variable, const char *value, struct buffer *problem) {
    if (setenv(variable, value, 1) == 0)
        return true;
    buffer_printf(problem, "there is no memory for %s\n", variable);
    return false;
}

static bool set_text(const char *variable, struct buffer *value, struct buffer *problem) {
    buffer_append(value, "", 1);
    bool good = buffer_ok(value) && set(variable, value->data, problem);
    buffer_free(value);
    return good;
}

/* What the user has set is left alone. */
static bool set_default(const char *variable, const char *value, struct buffer *problem) {
    return is_set(variable) || set(variable, value, problem);
}

/* What the programs find in their environment. They run in the var directory, so paths are absolute. */
static bool set_environment(struct up *up, struct buffer *problem) {
    char path[PATH_MAX];
    struct buffer endpoint = {0}, url = {0};
    struct secrets secrets;
    bool good = path_printf(path, "%s/secrets.env", up->place.var) && secrets_load(path, &secrets, problem);
    if (!good)
        return false;
    good = set_default("JWT_SECRET", secrets.token_secret, problem) && set("PIXBUS_VAR", up->place.var, problem) &&
           set("PIXBUS_RUN", up->place.run, problem) && path_printf(path, "ipc://%s/broker", up->place.run) &&
           set_default("PIXBUS_BROKER", path, problem);
    if (good && up->settings.store_directory != NULL)
        good = path_absolute(up->settings.store_directory, path, problem) && set("PIXBUS_STORE_DIRECTORY", path, problem);
    if (good && up->own_store) {
        address_url(&up->store_listen, &endpoint);
        good = set_text("AWS_ENDPOINT_URL_S3", &endpoint, problem) && set("AWS_ACCESS_KEY_ID", secrets.access_key_id, problem) &&
               set("AWS_SECRET_ACCESS_KEY", secrets.secret_access_key, problem);
    }
    if (good && up->own_postgres)
        good = postgres_url(&up->postgres, &url) && set_text("DATABASE_URL", &url, problem);
    explicit_bzero(&secrets, sizeof secrets);
    return good;
}

static void prepare_postgres(void *context) {
    postgres_remove_stale_pid(context);
}

static bool add_program(struct up *up, size_t index, unsigned replica, struct buffer *problem) {
    const struct kind *kind = &kinds[index];
    if (up->program_count == SUPERVISOR_PROGRAMS_MAX) {
        buffer_printf(problem, "these are more than %d programs\n", SUPERVISOR_PROGRAMS_MAX);
        return false;
    }
    char *name = up->names[up->program_count];
    (void)snprintf(name, sizeof *up->names, up->replicas[index] > 1 ? "%s-%u" : "%s", kind->name, replica);
    up->programs[up->program_count++] = (struct program){.name = name,
                                                         .argv = kind->file != NULL ? up->arguments[index] : up->postgres.argv,
                                                         .needs = kind->needs,
                                                         .task = kind->task,
                                                         .stage = kind->stage,
                                                         .stop_signal = kind->stop_signal,
                                                         .death_signal = kind->death_signal,
                                                         .stop_limit_us = kind->stop_limit_us,
                                                         .prepare = kind->file == NULL ? prepare_postgres : NULL,
                                                         .context = &up->postgres};
    return true;
}

static bool add_programs(struct up *up, struct buffer *problem) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        const struct kind *kind = &kinds[i];
        char *path = up->paths[i];
        if ((kind->file == NULL && !up->own_postgres) || (strcmp(kind->name, "store") == 0 && !up->own_store))
            continue;
        if (kind->file != NULL && (!path_printf(path, "%s/%s", up->place.programs, kind->file) || access(path, X_OK) != 0)) {
            buffer_printf(problem, "the program %s is not in %s: build it first\n", kind->file, up->place.programs);
            return false;
        }
        up->arguments[i][0] = path;
        if (kind->task) {
            up->arguments[i][1] = argument("migrate");
            up->arguments[i][2] = argument("--wait");
            up->arguments[i][3] = argument("60");
        }
        for (unsigned replica = 1; replica <= up->replicas[i]; replica++)
            if (!add_program(up, i, replica, problem))
                return false;
    }
    return true;
}

static bool check_addresses(struct up *up, struct buffer *problem) {
    return address_parse(up->settings.listen, &up->listen, problem) && address_is_free(&up->listen, "PIXBUS_LISTEN", problem) &&
           (!up->own_store || (address_parse(up->settings.store_listen, &up->store_listen, problem) &&
                               address_is_free(&up->store_listen, "PIXBUS_STORE_LISTEN", problem)));
}

static bool prepare(struct up *up, struct buffer *problem) {
    char path[PATH_MAX];
    decide_what_is_ours(up);
    if (!place_open(&up->settings, &up->place, problem) || !check_addresses(up, problem))
        return false;
    if (up->own_postgres &&
        (!path_printf(path, "%s/postgres", up->place.var) || !postgres_open(&up->postgres, path, up->place.run, problem)))
        return false;
    if (!set_environment(up, problem) || !add_programs(up, problem))
        return false;
    if (chdir(up->place.var) != 0) { /* where there is no .env: the programs have it all from us */
        buffer_printf(problem, "cannot work in %s\n", up->place.var);
        return false;
    }
    return true;
}

static void on_ready(void *context) {
    struct up *up = context;
    struct buffer url = {0};
    char took[32];
    loop_timer_clear(&up->patience);
    supervisor_serving(up->supervisor);
    address_url(&up->listen, &url);
    (void)printf("ready %.*s\n", TEXT_ARGUMENTS(buffer_text(&url)));
    (void)fflush(stdout);
    (void)snprintf(took, sizeof took, "%lld", (long long)((clock_monotonic_us() - up->started_us) / US_PER_MS));
    log_event(LOG_LEVEL_INFO, "ready", "took_ms", took, NULL);
    buffer_free(&url);
}

/* It takes long: say what the gateway says. */
static void on_impatient(struct loop_timer *timer) {
    struct up *up = timer->context;
    const char *body = up->probe.answer_size > 0 ? strstr(up->probe.answer, "\r\n\r\n") : NULL;
    char status[16];
    (void)snprintf(status, sizeof status, "%d", probe_last_status(&up->probe));
    log_event(LOG_LEVEL_WARN, "not_ready_yet", "asked", "/readyz of the gateway", "status",
              up->probe.answer_size > 0 ? status : "none", "answer", body != NULL ? body + 4 : "", NULL);
    loop_timer_set(up->loop, timer, loop_now_us(up->loop) + PATIENCE_US);
}

static void on_signal(void *context, int signal_number) {
    struct up *up = context;
    log_event(LOG_LEVEL_INFO, "draining", "signal", sigabbrev_np(signal_number), NULL);
    probe_stop(&up->probe);
    loop_timer_clear(&up->patience);
    supervisor_drain(up->supervisor);
}

static void on_ended(void *context, bool failed) {
    struct up *up = context;
    up->status = failed ? 1 : 0;
    log_event(LOG_LEVEL_INFO, "ended", "failed", failed ? "yes" : "no", NULL);
    loop_stop(up->loop);
}

static int supervise(struct up *up) {
    up->loop = loop_new();
    if (up->loop == NULL)
        return 1;
    struct supervisor_options options = {
        .loop = up->loop, .programs = up->programs, .count = up->program_count, .ended = on_ended, .context = up};
    up->supervisor = supervisor_new(&options);
    if (up->supervisor == NULL || !loop_signal(up->loop, SIGTERM, on_signal, up) ||
        !loop_signal(up->loop, SIGINT, on_signal, up)) {
        supervisor_free(up->supervisor);
        loop_free(up->loop);
        return 1;
    }
    up->probe.loop = up->loop;
    up->probe.address = up->listen;
    up->probe.path = "/readyz";
    up->probe.period_us = READY_PERIOD_US;
    up->probe.ready = on_ready;
    up->probe.context = up;
    probe_start(&up->probe);
    up->patience = (struct loop_timer){.fire = on_impatient, .context = up};
    loop_timer_set(up->loop, &up->patience, loop_now_us(up->loop) + PATIENCE_US);
    supervisor_start(up->supervisor);
    loop_run(up->loop);
    probe_stop(&up->probe);
    loop_timer_clear(&up->patience);
    supervisor_free(up->supervisor);
    loop_free(up->loop);
    return up->status;
}

static int run(int argc, char **argv) {
    struct buffer problem = {0};
    int status = 1;
    struct up *up = calloc(1, sizeof *up);
    if (up == NULL)
        return 1;
    up->started_us = clock_monotonic_us();
    for (size_t i = 0; i < KIND_COUNT; i++)
        up->replicas[i] = 1;
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--replicas") == 0;
        if (known && i + 1 < argc && parse_replicas(argv[i + 1], up->replicas)) {
            i++;
            continue;
        }
        free(up);
        return known
                   ? command_misused("up", "--replicas takes a list as feed=2,imgproc=2 of feed, users and imgproc, each 1 to %d",
                                     REPLICAS_MAX)
                   : command_misused("up", "it takes no argument %s", argv[i]);
    }
    if (!command_settings(&up->settings)) {
        status = 2;
    } else if (!prepare(up, &problem)) {
        (void)fprintf(stderr, "pixbus up: %.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    } else {
        status = supervise(up);
    }
    buffer_free(&problem);
    free(up);
    return status;
}

const struct command command_up = {
    .name = "up",
    .summary = "run everything of one installation on this machine",
    .help =
        "usage: pixbus up [--replicas LIST]\n\n"
        "Starts a private Postgres, the broker, feed, users, imgproc, the embedded store and the gateway, keeps them running,\n"
        "and prints one line `ready http://…` when the whole serves. Everything it keeps is under PIXBUS_VAR (var/ in the\n"
        "working directory): the database, the images, the sockets, and secrets made once. A second start keeps the data.\n\n"
        "Ctrl-C or SIGTERM drains: the gateway first, Postgres last. The same again does it in a tenth of the time.\n\n"
        "With a database of yours (DATABASE_URL, POSTGRESS_*, PGHOST …) there is no private Postgres; with an S3 of yours\n"
        "(AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_PROFILE …) no embedded store. Started by root it runs as PIXBUS_ACCOUNT,\n"
        "by default the owner of an existing var directory, else postgres, else nobody.\n\n"
        "  --replicas LIST  how many of feed, users and imgproc run, as feed=2,imgproc=2 [one each]\n\n"
        "examples:\n"
        "  pixbus up\n"
        "  PIXBUS_LISTEN=0.0.0.0:8080 pixbus up --replicas feed=2,imgproc=2\n"
        "  DATABASE_URL=postgresql://pixbus@db.example/pixbus pixbus up\n",
    .run = run,
};
