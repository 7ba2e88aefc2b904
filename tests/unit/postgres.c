#include "tests/unit/postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_WAIT_MS 20000

[[gnu::noreturn]] static void give_up(const char *what) {
    (void)fprintf(stderr, "test postgres: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The directory of the newest installed server's programs. */
static void find_programs(char out[256]) {
    glob_t found;
    const char *given = getenv("PIXBUS_POSTGRES_BIN");
    if (given == NULL && glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0) {
        (void)snprintf(out, 256, "%s", found.gl_pathv[found.gl_pathc - 1]);
        globfree(&found);
    } else {
        (void)snprintf(out, 256, "%s", given != NULL ? given : "/usr/bin");
    }
}

static const struct passwd *unprivileged(void) {
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (geteuid() == 0 && user == NULL)
        give_up("run by root, and there is no user postgres to become");
    return user;
}

/* In the child: become the unprivileged user, be quiet, die with the test. */
[[gnu::noreturn]] static void run_program(const char *log, char *const arguments[]) {
    const struct passwd *user = unprivileged();
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0) {
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
    }
    if (user != NULL && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    (void)execv(arguments[0], arguments);
    _exit(127);
}

static pid_t spawn(const struct postgres *postgres, char *const arguments[]) {
    char log[96];
    (void)snprintf(log, sizeof log, "%s/log", postgres->directory);
    pid_t pid = fork();
    if (pid == 0)
        run_program(log, arguments);
    if (pid < 0)
        give_up("fork");
    return pid;
}

void postgres_create(struct postgres *postgres) {
    char programs[256], initdb[300], data[96];
    const struct passwd *user = unprivileged();
    int status = 0;
    *postgres = (struct postgres){.directory = "/tmp/pixbus-test-XXXXXX"};
    if (mkdtemp(postgres->directory) == NULL)
        give_up("mkdtemp");
    if (user != NULL && chown(postgres->directory, user->pw_uid, user->pw_gid) != 0)
        give_up("chown");
    find_programs(programs);
    (void)snprintf(initdb, sizeof initdb, "%s/initdb", programs);
    (void)snprintf(data, sizeof data, "%s/data", postgres->directory);
    char *arguments[] = {
        initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        NULL};
    pid_t pid = spawn(postgres, arguments);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        give_up("initdb failed, is PostgreSQL installed?");
    (void)snprintf(postgres->connection, sizeof postgres->connection, "host=%s user=postgres dbname=postgres",
                   postgres->directory);
    postgres_start(postgres);
    postgres_run(postgres->connection, "select 1");
}

void postgres_start(struct postgres *postgres) {
    char programs[256], server[300], data[96];
    find_programs(programs);
    (void)snprintf(server, sizeof server, "%s/postgres", programs);
    (void)snprintf(data, sizeof data, "%s/data", postgres->directory);
    char *arguments[] = {server,
                         "-D",
                         data,
                         "-k",
                         postgres->directory,
                         "-h",
                         "",
                         "-F",
                         "-c",
                         "full_page_writes=off",
                         "-c",
                         "shared_buffers=16MB",
                         "-c",
                         "max_connections=40",
                         NULL};
    postgres->pid = spawn(postgres, arguments);
}

void postgres_stop(struct postgres *postgres, int signal_number) {
    if (postgres->pid == 0)
        return;
    (void)kill(postgres->pid, signal_number);
    (void)waitpid(postgres->pid, NULL, 0);
    postgres->pid = 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void postgres_destroy(struct postgres *postgres) {
    postgres_stop(postgres, SIGQUIT);
    (void)nftw(postgres->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void postgres_signal_all(const struct postgres *postgres, int signal_number) {
    char path[64];
    long child;
    (void)kill(postgres->pid, signal_number); /* first, so that no session is added meanwhile */
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)postgres->pid, (int)postgres->pid);
    FILE *children = fopen(path, "re");
    if (children == NULL)
        give_up(path);
    while (fscanf(children, "%ld", &child) == 1)
        (void)kill((pid_t)child, signal_number);
    (void)fclose(children);
}

static struct pg_session *session_on(const char *connection) {
    struct buffer problem = {0};
    struct pg_session *session = pg_session_open(connection, "test", START_WAIT_MS, &problem);
    if (session == NULL) {
        (void)fprintf(stderr, "test postgres: %.*s\n", TEXT_ARGUMENTS(buffer_text(&problem)));
        exit(1);
    }
    return session;
}

void postgres_run(const char *connection, const char *sql) {
    struct buffer problem = {0};
    struct pg_session *session = session_on(connection);
    if (!pg_session_run(session, sql, &problem)) {
        (void)fprintf(stderr, "test postgres: %s: %.*s\n", sql, TEXT_ARGUMENTS(buffer_text(&problem)));
        exit(1);
    }
    pg_session_close(session);
}

void postgres_value(const char *connection, const char *sql, char *out, size_t out_size) {
    struct buffer problem = {0};
    struct pg_session *session = session_on(connection);
    struct pg_rows *rows = pg_session_query(session, sql, NULL, 0, &problem);
    if (rows == NULL) {
        (void)fprintf(stderr, "test postgres: %s: %.*s\n", sql, TEXT_ARGUMENTS(buffer_text(&problem)));
        exit(1);
    }
    const char *value = pg_rows_count(rows) > 0 ? pg_rows_value(rows, 0, 0) : NULL;
    (void)snprintf(out, out_size, "%s", value != NULL ? value : "");
    pg_rows_free(rows);
    pg_session_close(session);
}

void postgres_database(const struct postgres *postgres, const char *name, char out[192]) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "create database %s", name);
    postgres_run(postgres->connection, sql);
    (void)snprintf(out, 192, "host=%s user=postgres dbname=%s", postgres->directory, name);
}
