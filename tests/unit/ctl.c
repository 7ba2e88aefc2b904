/* The parts of `pixbus up` that are not the supervisor: secrets, addresses, the probe, files, Postgres's stale pid file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus/ctl/files.h"
#include "bus/ctl/postgres.h"
#include "bus/ctl/probe.h"
#include "bus/ctl/secrets.h"

static int setup(void **state) {
    char *directory = strdup("/tmp/pixbus-ctl-XXXXXX");
    assert_non_null(directory);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    *state = directory;
    return 0;
}

static int teardown(void **state) {
    struct buffer problem = {0};
    assert_int_equal(chdir("/"), 0);
    assert_true(directory_remove(*state, &problem));
    assert_int_equal(access(*state, F_OK), -1);
    free(*state);
    return 0;
}

static void assert_says(struct buffer *problem, const char *expected) {
    buffer_append(problem, "", 1);
    if (strstr(problem->data, expected) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", expected, problem->data);
    buffer_free(problem);
}

static void write_file(const char *path, const char *content, unsigned mode) {
    struct buffer problem = {0};
    char absolute[PATH_MAX];
    assert_true(path_absolute(path, absolute, &problem));
    assert_true(file_write(absolute, text_from(content), mode, &problem));
}

static void test_secrets_are_made_once(void **state) {
    struct secrets first, second;
    struct buffer problem = {0};
    struct stat status;
    char path[PATH_MAX];
    assert_true(path_printf(path, "%s/secrets.env", (char *)*state));
    assert_true(secrets_load(path, &first, &problem));
    assert_true(secrets_load(path, &second, &problem));
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(strlen(first.token_secret), 64);
    assert_int_equal(strlen(first.access_key_id), 20);
    assert_int_equal(strlen(first.secret_access_key), 40);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(unlink(path), 0);
    assert_true(secrets_load(path, &second, &problem));
    assert_string_not_equal(first.token_secret, second.token_secret);
    assert_string_not_equal(first.secret_access_key, second.secret_access_key);
    assert_int_equal(problem.size, 0);
}

static void test_secrets_that_are_not_right(void **state) {
    static const struct {
        const char *content;
        unsigned mode;
        const char *expected;
    } rows[] = {
        {"JWT_SECRET=01234567890123456789012345678901\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n", 0640, "chmod 600"},
        {"JWT_SECRET=0123456789012345678901234567890\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n", 0600, "lacks JWT_SECRET"},
        {"JWT_SECRET=01234567890123456789012345678901\n", 0600, "lacks JWT_SECRET"},
        {"", 0600, "lacks JWT_SECRET"},
        {"JWT SECRET\n", 0600, "line 1"},
    };
    char path[PATH_MAX];
    assert_true(path_printf(path, "%s/secrets.env", (char *)*state));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct secrets secrets;
        struct buffer problem = {0};
        write_file("secrets.env", rows[i].content, rows[i].mode);
        assert_false(secrets_load(path, &secrets, &problem));
        assert_says(&problem, rows[i].expected);
    }
    struct secrets secrets;
    struct buffer problem = {0};
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_false(secrets_load(path, &secrets, &problem));
    assert_says(&problem, "cannot read");
}

static void url_is(const char *listen, const char *expected) {
    struct address address;
    struct buffer url = {0}, problem = {0};
    assert_true(address_parse(listen, &address, &problem));
    address_url(&address, &url);
    assert_says(&url, expected);
}

static void test_addresses(void **state) {
    struct address address;
    struct buffer problem = {0};
    (void)state;
    url_is("127.0.0.1:8080", "http://127.0.0.1:8080");
    url_is("0.0.0.0:80", "http://127.0.0.1:80");
    url_is("[::]:8080", "http://[::1]:8080");
    url_is("[::1]:9000", "http://[::1]:9000");
    url_is("localhost:8080", "http://localhost:8080");
    assert_false(address_parse("256.1.1.1:80", &address, &problem));
    assert_says(&problem, "256.1.1.1:80 is no address of this machine");
}

static int listen_anywhere(struct address *ret_address) {
    struct buffer problem = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(address_parse("127.0.0.1:1", ret_address, &problem));
    ret_address->in.sin_port = 0;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &ret_address->any, ret_address->size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &ret_address->any, &ret_address->size), 0);
    assert_true(snprintf(ret_address->port, sizeof ret_address->port, "%u", ntohs(ret_address->in.sin_port)) > 0);
    return fd;
}

static void test_busy_port(void **state) {
    struct address address;
    struct buffer problem = {0};
    (void)state;
    int fd = listen_anywhere(&address);
    assert_false(address_is_free(&address, "PIXBUS_LISTEN", &problem));
    assert_says(&problem, "is in use by another program: stop that, or set PIXBUS_LISTEN to another address");
    assert_int_equal(close(fd), 0);
    problem = (struct buffer){0};
    assert_true(address_is_free(&address, "PIXBUS_LISTEN", &problem));
}

/* A server that closes, stays silent, says 503, nonsense and at last 200, one answer for each connection. */
static const char *const answers[] = {"", NULL, "HTTP/1.1 503 Service Unavailable\r\n\r\nwaiting for feed", "nonsense",
                                      "HTTP/1.1 200 OK\r\n\r\n"};

#define ANSWER_COUNT (sizeof answers / sizeof *answers)

/* Returns NULL when every connection asked what it should. */
static void *serve(void *argument) {
    const int *listener = argument;
    int silent = -1;
    bool good = true;
    for (size_t i = 0; i < ANSWER_COUNT; i++) {
        char request[256];
        int fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
        if (answers[i] == NULL) {
            silent = fd;
            continue;
        }
        if (*answers[i] != '\0') {
            good = recv(fd, request, sizeof request, 0) > 22 && memcmp(request, "GET /readyz HTTP/1.0\r\n", 22) == 0 && good;
            good = send(fd, answers[i], strlen(answers[i]), MSG_NOSIGNAL) == (ssize_t)strlen(answers[i]) && good;
        }
        (void)close(fd);
    }
    (void)close(silent);
    return good ? NULL : argument;
}

static void on_ready(void *context) {
    loop_stop(context);
}

static void test_probe(void **state) {
    struct loop *loop = loop_new();
    struct probe probe = {.loop = loop, .path = "/readyz", .period_us = 5 * US_PER_MS, .ready = on_ready, .context = loop};
    int listener = listen_anywhere(&probe.address);
    pthread_t server;
    void *complaint;
    (void)state;
    assert_non_null(loop);
    assert_int_equal(pthread_create(&server, NULL, serve, &listener), 0);
    probe_start(&probe);
    loop_run(loop);
    assert_int_equal(pthread_join(server, &complaint), 0);
    assert_null(complaint);
    assert_int_equal(probe.state, PROBE_OVER);
    assert_int_equal(probe_last_status(&probe), 200);
    probe_stop(&probe);
    assert_int_equal(close(listener), 0);
    loop_free(loop);
}

static void test_files(void **state) {
    struct buffer problem = {0}, out = {0};
    char path[PATH_MAX], deep[PATH_MAX];
    assert_true(path_printf(deep, "%s/a/b/c", (char *)*state));
    assert_true(directory_make(deep, 0700, &problem));
    assert_true(directory_make(deep, 0700, &problem));
    assert_true(path_printf(path, "%s/a/file", (char *)*state));
    assert_false(file_read(path, 10, &out, &problem));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(problem.size, 0);
    write_file("a/file", "0123456789", 0644);
    assert_true(file_read(path, 10, &out, &problem));
    assert_int_equal(out.size, 10);
    buffer_free(&out);
    assert_false(file_read(path, 9, &out, &problem));
    assert_says(&problem, "File too large");
    buffer_free(&out);
    problem = (struct buffer){0};
    assert_true(path_printf(deep, "%s/a/file/x", (char *)*state));
    assert_false(directory_make(deep, 0700, &problem));
    assert_says(&problem, "Not a directory");
    problem = (struct buffer){0};
    assert_true(path_printf(deep, "%s/copy", (char *)*state));
    assert_true(file_copy(path, deep, 0755, &problem));
    assert_true(file_read(deep, 10, &out, &problem));
    assert_memory_equal(out.data, "0123456789", 10);
    assert_int_equal(access(deep, X_OK), 0);
    buffer_free(&out);
}

static void test_stale_pid_file(void **state) {
    struct postgres postgres = {0};
    char content[64];
    assert_true(path_printf(postgres.directory, "%s", (char *)*state));
    write_file("postmaster.pid", "1\nrest\n", 0600); /* a process, but not of this directory */
    postgres_remove_stale_pid(&postgres);
    assert_int_equal(access("postmaster.pid", F_OK), -1);
    write_file("postmaster.pid", "garbage\n", 0600);
    postgres_remove_stale_pid(&postgres);
    assert_int_equal(access("postmaster.pid", F_OK), -1);
    assert_true(snprintf(content, sizeof content, "%d\nrest\n", (int)getpid()) > 0); /* works here, as a postmaster would */
    write_file("postmaster.pid", content, 0600);
    postgres_remove_stale_pid(&postgres);
    assert_int_equal(access("postmaster.pid", F_OK), 0);
}

static void test_postgres_url(void **state) {
    struct postgres postgres = {.run = "/tmp/a b&c/r\xc3\xbcn"};
    struct buffer out = {0};
    (void)state;
    assert_true(postgres_url(&postgres, &out));
    assert_says(&out, "postgresql://pixbus@/pixbus?host=%2Ftmp%2Fa%20b%26c%2Fr%C3%BCn");
}

static void test_cluster_of_a_version_that_is_missing(void **state) {
    struct postgres postgres;
    struct buffer problem = {0};
    write_file("PG_VERSION", "7\n", 0600);
    assert_false(postgres_open(&postgres, *state, "/tmp", &problem));
    assert_says(&problem, "PostgreSQL 7 is not installed");
    problem = (struct buffer){0};
    write_file("PG_VERSION", "x\n", 0600);
    assert_false(postgres_open(&postgres, *state, "/tmp", &problem));
    assert_says(&problem, "is no version of Postgres");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_secrets_are_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secrets_that_are_not_right, setup, teardown),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_busy_port),
        cmocka_unit_test(test_probe),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_pid_file, setup, teardown),
        cmocka_unit_test(test_postgres_url),
        cmocka_unit_test_setup_teardown(test_cluster_of_a_version_that_is_missing, setup, teardown),
    };
    log_open("ctl-test", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
