#include "bus/ctl/postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "bus/ctl/files.h"

/* Appended to the cluster's postgresql.conf when it is made; people may change it there. */
static const char configuration[] = "\n# Written by pixbus up when it made this cluster; change what you like.\n"
                                    "max_connections = 100\n"
                                    "shared_buffers = 128MB\n"
                                    "fsync = on\n"
                                    "synchronous_commit = on\n"
                                    "jit = off\n"
                                    "timezone = 'UTC'\n"
                                    "log_timezone = 'UTC'\n"
                                    "log_line_prefix = 'time=%m program=postgres pid=%p '\n"
                                    "log_checkpoints = off\n";

/* The newest installation with an initdb; or the one of `version`, if that is not empty. */
static bool find_binaries(const char *version, char ret_directory[PATH_MAX], struct buffer *problem) {
    char pattern[PATH_MAX];
    glob_t found = {0};
    long newest = -1;
    if (!path_printf(pattern, "/usr/lib/postgresql/%s/bin/initdb", *version != '\0' ? version : "*"))
        return false;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            long number = strtol(found.gl_pathv[i] + sizeof "/usr/lib/postgresql", NULL, 10);
            if (number > newest && path_printf(ret_directory, "%s", found.gl_pathv[i])) {
                newest = number;
                *strrchr(ret_directory, '/') = '\0';
            }
        }
    }
    globfree(&found);
    if (newest < 0)
        buffer_printf(problem,
                      "PostgreSQL%s%s is not installed (no %s): apt-get install postgresql%s%s, or set DATABASE_URL to a "
                      "database of yours\n",
                      *version != '\0' ? " " : "", version, pattern, *version != '\0' ? "-" : "", version);
    return newest >= 0;
}

/* Of the cluster, as "15"; "" if there is none. */
static bool read_version(const char *directory, char version[16], struct buffer *problem) {
    char path[PATH_MAX];
    struct buffer file = {0};
    version[0] = '\0';
    if (!path_printf(path, "%s/PG_VERSION", directory))
        return false;
    bool good = file_read(path, 15, &file, problem);
    if (good) {
        buffer_append(&file, "", 1);
        struct text text = {file.data, strspn(file.data, "0123456789")};
        good = text.size > 0 && text_copy(text, version, 16);
        if (!good)
            buffer_printf(problem, "%s is no version of Postgres\n", path);
    } else {
        good = errno == ENOENT;
    }
    buffer_free(&file);
    return good;
}

/* In the child: standard input from `input`, what it says of its progress to nobody. */
static void become(char *const argv[], const int input[2]) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(input[0], STDIN_FILENO) < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0 || setenv("LC_ALL", "C.UTF-8", 1) != 0)
        _exit(126);
    (void)execv(argv[0], argv);
    _exit(126);
}

/* Run a program to its end, with `text` (at most what a pipe holds) as its input. */
static bool run(char *const argv[], struct text text, struct buffer *problem) {
    int input[2], status = -1;
    if (pipe2(input, O_CLOEXEC) != 0) {
        buffer_printf(problem, "cannot run %s: %s\n", argv[0], strerrordesc_np(errno));
        return false;
    }
    bool good = text.size == 0 || write(input[1], text.data, text.size) == (ssize_t)text.size;
    pid_t pid = good ? fork() : -1;
    if (pid == 0)
        become(argv, input);
    (void)close(input[0]);
    (void)close(input[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    good = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good)
        buffer_printf(problem, "%s failed; what it said stands above\n", argv[0]);
    return good;
}

static bool append_configuration(const char *directory, struct buffer *problem) {
    char path[PATH_MAX];
    if (!path_printf(path, "%s/postgresql.conf", directory))
        return false;
    FILE *file = fopen(path, "ae");
    bool good = file != NULL && fputs(configuration, file) >= 0;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    if (!good)
        buffer_printf(problem, "cannot write %s: %s\n", path, strerrordesc_np(errno));
    return good;
}

static char *argument(const char *text) {
    return (char *)(uintptr_t)text; /* exec() takes char *, and leaves it alone */
}

/* Make the cluster under another name and rename it at the end: one that is there is whole. */
static bool make_cluster(const struct postgres *postgres, struct buffer *problem) {
    char initdb[PATH_MAX], server[PATH_MAX], fresh[PATH_MAX];
    if (!path_printf(initdb, "%s/initdb", postgres->binaries) || !path_printf(server, "%s/postgres", postgres->binaries) ||
        !path_printf(fresh, "%s.new", postgres->directory)) {
        buffer_printf(problem, "the path %s is too long\n", postgres->directory);
        return false;
    }
    char *initdb_argv[] = {initdb,
                           argument("--pgdata"),
                           fresh,
                           argument("--username=pixbus"),
                           argument("--auth=trust"), /* whoever can enter the socket's directory is its owner */
                           argument("--encoding=UTF8"),
                           argument("--locale=C.UTF-8"),
                           argument("--data-checksums"),
                           argument("--no-instructions"),
                           NULL};
    char *server_argv[] = {
        server, argument("--single"), argument("-clog_checkpoints=off"), argument("-D"), fresh, argument("postgres"), NULL};
    log_event(LOG_LEVEL_INFO, "postgres_made", "directory", postgres->directory, NULL);
    if (!directory_remove(fresh, problem) || !run(initdb_argv, TEXT(""), problem) ||
        !run(server_argv, TEXT("CREATE DATABASE pixbus;\n"), problem) || !append_configuration(fresh, problem))
        return false;
    if (rename(fresh, postgres->directory) != 0) {
        buffer_printf(problem, "cannot rename %s: %s\n", fresh, strerrordesc_np(errno));
        return false;
    }
    return true;
}

/* What must not depend on the configuration file goes on the command line. */
static bool set_arguments(struct postgres *postgres) {
    const struct {
        const char *format, *value;
    } arguments[] = {
        {"%s/postgres", postgres->binaries},
        {"-D%s", postgres->directory},
        {"-clisten_addresses=%s", ""},
        {"-cunix_socket_directories=%s", postgres->run},
        {"-cunix_socket_permissions=%s", "0700"},
    };
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        const char *format = arguments[i].format;
        size_t prefix = strcspn(format, "%");
        int size = snprintf(postgres->arguments[i], sizeof postgres->arguments[i], "%.*s%s%s", (int)prefix, format,
                            arguments[i].value, format + prefix + 2);
        if (size < 0 || (size_t)size >= sizeof postgres->arguments[i])
            return false;
        postgres->argv[i] = postgres->arguments[i];
    }
    return true;
}

bool postgres_open(struct postgres *postgres, const char *directory, const char *run_directory, struct buffer *problem) {
    char version[16];
    memset(postgres, 0, sizeof *postgres);
    if (!path_printf(postgres->directory, "%s", directory) || !path_printf(postgres->run, "%s", run_directory) ||
        !read_version(directory, version, problem) || !find_binaries(version, postgres->binaries, problem))
        return false;
    if (*version == '\0' && !make_cluster(postgres, problem))
        return false;
    if (!set_arguments(postgres)) {
        buffer_printf(problem, "the path %s is too long\n", directory);
        return false;
    }
    return true;
}

/* Is the process a Postgres whose working directory is the cluster? */
static bool is_our_postmaster(const char *directory, long pid) {
    char path[PATH_MAX], target[PATH_MAX], real[PATH_MAX];
    if (!path_printf(path, "/proc/%ld/cwd", pid) || realpath(directory, real) == NULL)
        return false;
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0)
        return false; /* gone, or somebody else's */
    target[size] = '\0';
    return strcmp(target, real) == 0;
}

void postgres_remove_stale_pid(const struct postgres *postgres) {
    char path[PATH_MAX];
    struct buffer file = {0}, problem = {0};
    if (!path_printf(path, "%s/postmaster.pid", postgres->directory))
        return;
    if (file_read(path, 4096, &file, &problem)) {
        buffer_append(&file, "", 1);
        long pid = strtol(file.data, NULL, 10);
        if (pid <= 0 || !is_our_postmaster(postgres->directory, pid)) {
            log_event(LOG_LEVEL_WARN, "postgres_pid_stale", "file", path, NULL);
            (void)unlink(path);
        }
    }
    buffer_free(&file);
    buffer_free(&problem);
}

bool postgres_url(const struct postgres *postgres, struct buffer *out) {
    buffer_append_text(out, TEXT("postgresql://pixbus@/pixbus?host="));
    for (const char *c = postgres->run; *c != '\0'; c++) { /* RFC 3986, section 2.1: all but unreserved characters */
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", *c) != NULL)
            buffer_append(out, c, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned char)*c);
    }
    return buffer_ok(out);
}
