/*
 * The S3 client, and the HTTP client below it, against a server that misbehaves. The server lives in the same loop; what it
 * does is the name of the object that it is asked for. It checks the signature of every request, repeated ones too.
 */
#include "aws/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/client.h"

#define ATTEMPTS_NOTED 64
#define CONNECTIONS_MAX 64

static const struct sigv4_credentials credentials = {"eu-west-1", "AKIAEXAMPLE", "a secret", "a session"};

/* ---- the server ---- */

struct connection {
    struct loop_watch watch;
    struct loop_timer timer;
    struct server *server;
    struct buffer request;
    unsigned dripped;
    bool holding;
};

struct server {
    struct loop *loop;
    struct loop_watch watch;
    struct sigv4_signer *signer;
    char endpoint[64];
    struct connection *connections[CONNECTIONS_MAX];
    unsigned count, requests, holding, holding_most;
    unsigned stop_at; /* after so many requests the loop stops */
    int64_t arrived_us[ATTEMPTS_NOTED];
};

/* `hard`: with a reset. */
static void hang_up(struct connection *connection, bool hard) {
    struct server *server = connection->server;
    const struct linger at_once = {.l_onoff = 1};
    if (hard)
        assert_int_equal(setsockopt(connection->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    for (unsigned i = 0; i < server->count; i++)
        if (server->connections[i] == connection)
            server->connections[i] = server->connections[--server->count];
    server->holding -= connection->holding ? 1 : 0;
    loop_timer_clear(&connection->timer);
    loop_watch_remove(&connection->watch);
    (void)close(connection->watch.fd);
    buffer_free(&connection->request);
    free(connection);
}

static void say(struct connection *connection, struct text text) {
    (void)send(connection->watch.fd, text.data, text.size, MSG_NOSIGNAL); /* whoever has gone does not hear it */
}

static void say_error(struct connection *connection, const char *status, const char *code) {
    char answer[512], body[256];
    int size = snprintf(body, sizeof body, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>m</Message></Error>", code);
    (void)snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, size, body);
    say(connection, text_from(answer));
}

static void say_hello(struct connection *connection) {
    say(connection, TEXT("HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 5\r\n\r\nhello"));
}

static void later(struct loop_timer *timer) {
    struct connection *connection = timer->context;
    if (connection->holding) {
        connection->holding = false;
        connection->server->holding--;
        say_hello(connection);
        return;
    }
    say(connection, connection->dripped++ == 0 ? TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") : TEXT("x"));
    loop_timer_set(connection->server->loop, timer, clock_monotonic_us() + 5 * US_PER_MS);
}

/* Take what stands before `end` from the front of `rest`, and `end` with it. */
static struct text take_until(struct text *rest, const char *end) {
    const char *found = memmem(rest->data, rest->size, end, strlen(end));
    assert_non_null(found);
    struct text taken = {rest->data, (size_t)(found - rest->data)};
    *rest = (struct text){found + strlen(end), rest->size - taken.size - strlen(end)};
    return taken;
}

struct seen {
    struct text method, path, body;
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    size_t header_count;
};

static struct text header(const struct seen *seen, struct text name) {
    for (size_t i = 0; i < seen->header_count; i++)
        if (text_equal_ignoring_case(seen->headers[i].name, name))
            return seen->headers[i].value;
    return (struct text){0};
}

/* A whole request with a good signature, or false if more must come. */
static bool see(const struct connection *connection, struct seen *seen) {
    struct text rest = buffer_text(&connection->request);
    struct sigv4_verified verified;
    uint64_t length = 0;
    uint8_t hash[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    if (memmem(rest.data, rest.size, "\r\n\r\n", 4) == NULL)
        return false;
    seen->method = take_until(&rest, " ");
    seen->path = take_until(&rest, " ");
    assert_true(text_equal(take_until(&rest, "\r\n"), TEXT("HTTP/1.1")));
    for (seen->header_count = 0; !text_starts_with(rest, TEXT("\r\n")); seen->header_count++)
        seen->headers[seen->header_count] = (struct sigv4_header){.name = take_until(&rest, ":"),
                                                                  .value = (take_until(&rest, " "), take_until(&rest, "\r\n"))};
    seen->body = (struct text){rest.data + 2, rest.size - 2};
    struct text announced = header(seen, TEXT("content-length"));
    if (announced.data != NULL)
        assert_true(text_to_u64(announced, &length));
    if (seen->body.size < length)
        return false;
    const struct sigv4_request request = {seen->method, seen->path, {0}, seen->headers, seen->header_count};
    assert_int_equal(sigv4_verify(connection->server->signer, &request, clock_real_us(), &verified), SIGV4_OK);
    struct digest *digest = digest_new(DIGEST_SHA256);
    digest_update(digest, seen->body.data, seen->body.size);
    digest_finish(digest, hash);
    digest_free(digest);
    hex_encode(hash, sizeof hash, hex);
    assert_string_equal(verified.payload_sha256, hex);
    assert_null(header(seen, TEXT("expect")).data);
    return true;
}

static bool answer_trouble(struct connection *connection, struct text name, unsigned number) {
    if (text_equal(name, TEXT("slow-down")) || (text_equal(name, TEXT("slow-down-twice")) && number < 3))
        say_error(connection, "503 Slow Down", "SlowDown");
    else if (text_equal(name, TEXT("broken-once")) && number < 2)
        say_error(connection, "500 Internal Server Error", "InternalError");
    else if (text_equal(name, TEXT("slow-down-400")) && number < 2)
        say_error(connection, "400 Bad Request", "RequestTimeout");
    else if (text_equal(name, TEXT("reset-once")) && number < 2)
        say(connection, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")), hang_up(connection, true);
    else if (text_equal(name, TEXT("cut-off-once")) && number < 2)
        say(connection, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello")), hang_up(connection, false);
    else if (text_equal(name, TEXT("silent-close")))
        hang_up(connection, false);
    else if (text_equal(name, TEXT("no-http")) && number < 2)
        say(connection, TEXT("220 mail.example.org ESMTP\r\n\r\n")), hang_up(connection, false);
    else if (text_equal(name, TEXT("half-open")))
        return true;
    else if (text_equal(name, TEXT("drip")))
        loop_timer_set(connection->server->loop, &connection->timer, 0);
    else
        return false;
    return true;
}

static void answer(struct connection *connection, const struct seen *seen, struct text name, unsigned number) {
    struct server *server = connection->server;
    if (answer_trouble(connection, name, number)) {
    } else if (text_equal(name, TEXT("large"))) {
        say(connection, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")); /* and not one byte of it */
    } else if (text_equal(name, TEXT("large-chunks"))) {
        say(connection, TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for (int i = 0; i < 101; i++)
            say(connection, TEXT("a\r\n0123456789\r\n")); /* and no end */
    } else if (text_equal(name, TEXT("chunks"))) {
        say(connection, TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"));
    } else if (text_equal(name, TEXT("moved"))) {
        say(connection, TEXT("HTTP/1.1 307 Temporary Redirect\r\nLocation: /media/hello\r\nContent-Length: 0\r\n\r\n"));
    } else if (text_equal(name, TEXT("no-key"))) {
        say_error(connection, "404 Not Found", "NoSuchKey");
    } else if (text_equal(name, TEXT("no-bucket"))) {
        say_error(connection, "404 Not Found", "NoSuchBucket");
    } else if (text_equal(name, TEXT("no-key-head"))) {
        say(connection, TEXT("HTTP/1.1 404 Not Found\r\nContent-Length: 230\r\n\r\n")); /* as S3 answers HEAD */
    } else if (text_equal(name, TEXT("forbidden"))) {
        say_error(connection, "403 Forbidden", "SignatureDoesNotMatch");
    } else if (text_equal(name, TEXT("hold"))) {
        connection->holding = true;
        server->holding_most = ++server->holding > server->holding_most ? server->holding : server->holding_most;
        loop_timer_set(server->loop, &connection->timer, clock_monotonic_us() + 10 * US_PER_MS);
    } else if (header(seen, TEXT("if-match")).data != NULL && !text_equal(header(seen, TEXT("if-match")), TEXT("\"abc\""))) {
        say_error(connection, "412 Precondition Failed", "PreconditionFailed");
    } else if (text_equal(seen->method, TEXT("HEAD"))) {
        say(connection, TEXT("HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 123456789012\r\n\r\n"));
    } else if (text_equal(seen->method, TEXT("DELETE"))) {
        say(connection, TEXT("HTTP/1.1 204 No Content\r\n\r\n"));
    } else {
        say_hello(connection);
    }
}

static void readable(struct loop_watch *watch, unsigned ready) {
    struct connection *connection = watch->context;
    struct server *server = connection->server;
    struct seen seen;
    char bytes[16384];
    ssize_t size = recv(watch->fd, bytes, sizeof bytes, 0);
    (void)ready;
    if (size <= 0) {
        hang_up(connection, false);
        return;
    }
    buffer_append(&connection->request, bytes, (size_t)size);
    if (!see(connection, &seen))
        return;
    if (server->requests < ATTEMPTS_NOTED)
        server->arrived_us[server->requests] = clock_monotonic_us();
    if (++server->requests == server->stop_at)
        loop_stop(server->loop);
    assert_true(text_starts_with(seen.path, TEXT("/media/")));
    char name[64];
    assert_true(text_copy((struct text){seen.path.data + 7, seen.path.size - 7}, name, sizeof name));
    if (strcmp(name, "odd%20%2B%25%C3%A9") != 0)
        assert_null(strchr(name, '%'));
    unsigned number = server->requests;
    if (text_equal(seen.method, TEXT("PUT")) && strcmp(name, "large-put") == 0)
        assert_int_equal(seen.body.size, 100000);
    struct buffer request = connection->request; /* what was seen points into it */
    connection->request = (struct buffer){0};
    answer(connection, &seen, text_from(name), number);
    buffer_free(&request);
}

static void arrival(struct loop_watch *watch, unsigned ready) {
    struct server *server = watch->context;
    struct connection *connection = calloc(1, sizeof *connection);
    (void)ready;
    assert_non_null(connection);
    assert_true(server->count < CONNECTIONS_MAX);
    connection->server = server;
    connection->timer = (struct loop_timer){.fire = later, .context = connection};
    connection->watch = (struct loop_watch){.interest = LOOP_READ, .ready = readable, .context = connection};
    connection->watch.fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(connection->watch.fd >= 0);
    assert_true(loop_watch_add(server->loop, &connection->watch));
    server->connections[server->count++] = connection;
}

/* `listening` false: its port refuses connections, and nobody else gets it. */
static void server_open(struct server *server, bool listening) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *server = (struct server){.loop = loop_new(), .signer = sigv4_signer_new(&credentials)};
    assert_non_null(server->loop);
    assert_non_null(server->signer);
    server->watch = (struct loop_watch){.interest = LOOP_READ, .ready = arrival, .context = server};
    server->watch.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server->watch.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(server->watch.fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(server->endpoint, sizeof server->endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
    if (!listening)
        return;
    assert_int_equal(listen(server->watch.fd, 64), 0);
    assert_true(loop_watch_add(server->loop, &server->watch));
}

static void server_close(struct server *server) {
    while (server->count > 0)
        hang_up(server->connections[0], false);
    loop_watch_remove(&server->watch);
    (void)close(server->watch.fd);
    sigv4_signer_free(server->signer);
    loop_free(server->loop);
}

/* ---- the client ---- */

struct fixture {
    struct server server;
    struct s3_client *client;
    unsigned left; /* operations that the loop runs for */
};

struct outcome {
    struct fixture *fixture;
    unsigned times;
    enum s3_outcome outcome;
    char body[64], etag[S3_ETAG_BYTES], detail[S3_DETAIL_BYTES];
    uint64_t size;
    int64_t after_us;
    struct s3_operation *cancel_too; /* another one, from within this one's end */
};

static void fixture_open(struct fixture *fixture, bool listening) {
    fixture->left = 0;
    server_open(&fixture->server, listening);
    fixture->client = s3_client_open(&(struct s3_client_options){.loop = fixture->server.loop,
                                                                 .endpoint = fixture->server.endpoint,
                                                                 .credentials = credentials,
                                                                 .in_flight_max = 4,
                                                                 .queue_max = 8});
    assert_non_null(fixture->client);
}

static void fixture_close(struct fixture *fixture) {
    s3_client_close(fixture->client);
    server_close(&fixture->server);
}

static void ended(void *context, struct s3_result *result) {
    struct outcome *outcome = context;
    outcome->times++;
    assert_int_equal(outcome->times, 1);
    outcome->outcome = result->outcome;
    outcome->size = result->size;
    outcome->after_us = clock_monotonic_us() - outcome->after_us;
    assert_true(text_copy(buffer_text(&result->body), outcome->body, sizeof outcome->body));
    (void)snprintf(outcome->etag, sizeof outcome->etag, "%s", result->etag);
    (void)snprintf(outcome->detail, sizeof outcome->detail, "%s", result->detail);
    assert_true((result->outcome == S3_OK) == (result->detail[0] == '\0'));
    if (outcome->cancel_too != NULL)
        s3_cancel(outcome->cancel_too);
    if (--outcome->fixture->left == 0)
        loop_stop(outcome->fixture->server.loop);
}

static struct s3_request request_for(struct fixture *fixture, struct outcome *outcome, const char *key, int64_t within_us) {
    *outcome = (struct outcome){.fixture = fixture, .after_us = clock_monotonic_us()};
    return (struct s3_request){.bucket = TEXT("media"),
                               .key = text_from(key),
                               .deadline_us = outcome->after_us + within_us,
                               .done = ended,
                               .context = outcome};
}

static struct s3_operation *begin_get(struct fixture *fixture, struct outcome *outcome, const char *key, int64_t within_us) {
    const struct s3_request request = request_for(fixture, outcome, key, within_us);
    struct s3_operation *operation = s3_get(fixture->client, &request, 1000, (struct text){0});
    fixture->left += operation != NULL ? 1 : 0;
    return operation;
}

static void run(struct fixture *fixture) {
    assert_true(fixture->left > 0);
    loop_run(fixture->server.loop);
}

/* One get alone; the server counts its attempts. */
static struct outcome get(struct fixture *fixture, const char *key, int64_t within_us) {
    struct outcome outcome;
    fixture->server.requests = 0;
    assert_non_null(begin_get(fixture, &outcome, key, within_us));
    run(fixture);
    return outcome;
}

static void assert_get(struct fixture *fixture, const char *key, enum s3_outcome expected, const char *detail,
                       unsigned attempts) {
    struct outcome outcome = get(fixture, key, 10 * US_PER_S);
    assert_int_equal(outcome.outcome, expected);
    if (strstr(outcome.detail, detail) == NULL)
        fail_msg("%s: '%s' does not hold '%s'", key, outcome.detail, detail);
    assert_int_equal(fixture->server.requests, attempts);
    assert_string_equal(outcome.body, expected == S3_OK ? "hello" : "");
}

/* ---- the tests ---- */

static void test_objects(void **state) {
    struct fixture fixture;
    struct outcome outcome;
    (void)state;
    fixture_open(&fixture, true);
    assert_get(&fixture, "hello", S3_OK, "", 1);
    assert_get(&fixture, "chunks", S3_OK, "", 1);
    assert_get(&fixture, "odd +%\u00e9", S3_OK, "", 1);

    struct s3_request request = request_for(&fixture, &outcome, "hello", US_PER_S);
    fixture.left = 1;
    assert_non_null(s3_head(fixture.client, &request));
    run(&fixture);
    assert_int_equal(outcome.outcome, S3_OK);
    assert_string_equal(outcome.etag, "abc");
    assert_true(outcome.size == UINT64_C(123456789012));

    static char body[100000];
    memset(body, 'b', sizeof body);
    request = request_for(&fixture, &outcome, "large-put", US_PER_S);
    fixture.left = 1;
    assert_non_null(s3_put(fixture.client, &request, (struct text){body, sizeof body}, TEXT("image/jpeg"), TEXT("max-age=1")));
    run(&fixture);
    assert_int_equal(outcome.outcome, S3_OK);
    request = request_for(&fixture, &outcome, "empty-put", US_PER_S);
    fixture.left = 1;
    assert_non_null(s3_put(fixture.client, &request, TEXT(""), TEXT("text/plain"), (struct text){0}));
    run(&fixture);
    assert_int_equal(outcome.outcome, S3_OK);
    assert_int_equal(fixture.server.count, 1); /* all of them over one connection */

    static const struct {
        const char *key;
        enum s3_outcome of_delete, of_head;
    } cases[] = {{"hello", S3_OK, S3_OK}, {"no-key-head", S3_OK, S3_MISSING}, {"forbidden", S3_DENIED, S3_DENIED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request = request_for(&fixture, &outcome, cases[i].key, US_PER_S);
        fixture.left = 1;
        assert_non_null(s3_head(fixture.client, &request));
        run(&fixture);
        assert_int_equal(outcome.outcome, cases[i].of_head);
        if (cases[i].of_head == S3_MISSING)
            continue; /* its announced body never comes, as for a HEAD; a DELETE would wait for it */
        request = request_for(&fixture, &outcome, cases[i].key, US_PER_S);
        fixture.left = 1;
        assert_non_null(s3_delete(fixture.client, &request));
        run(&fixture);
        assert_int_equal(outcome.outcome, cases[i].of_delete);
    }
    fixture_close(&fixture);
}

/* What no repetition helps with is asked once. */
static void test_refusals(void **state) {
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    assert_get(&fixture, "no-key", S3_MISSING, "status 404 NoSuchKey", 1);
    assert_get(&fixture, "no-bucket", S3_DENIED, "status 404 NoSuchBucket", 1);
    assert_get(&fixture, "forbidden", S3_DENIED, "status 403 SignatureDoesNotMatch", 1);
    assert_get(&fixture, "moved", S3_DENIED, "status 307", 1);
    assert_get(&fixture, "large", S3_TOO_LARGE, "longer than allowed", 1);
    assert_get(&fixture, "large-chunks", S3_TOO_LARGE, "longer than allowed", 1);
    static const char *const etags[] = {"abc", "abd"};
    for (int i = 0; i < 2; i++) {
        struct outcome outcome;
        struct s3_request request = request_for(&fixture, &outcome, "hello", US_PER_S);
        fixture.left = 1;
        assert_non_null(s3_get(fixture.client, &request, 1000, text_from(etags[i])));
        run(&fixture);
        assert_int_equal(outcome.outcome, i == 0 ? S3_OK : S3_PRECONDITION_FAILED);
    }
    /* Exactly the limit, and one byte less. */
    for (size_t limit = 4; limit <= 5; limit++) {
        struct outcome outcome;
        struct s3_request request = request_for(&fixture, &outcome, limit == 4 ? "hello" : "chunks", US_PER_S);
        fixture.left = 1;
        assert_non_null(s3_get(fixture.client, &request, limit, (struct text){0}));
        run(&fixture);
        assert_int_equal(outcome.outcome, limit == 4 ? S3_TOO_LARGE : S3_OK);
    }
    struct outcome outcome;
    char key[2 * LIMIT_OBJECT_KEY_BYTES];
    memset(key, '%', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_null(begin_get(&fixture, &outcome, key, US_PER_S));
    fixture_close(&fixture);
}

static void test_passing_trouble(void **state) {
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    assert_get(&fixture, "slow-down-twice", S3_OK, "", 3);
    assert_true(fixture.server.arrived_us[1] - fixture.server.arrived_us[0] >= 25 * US_PER_MS);
    assert_get(&fixture, "broken-once", S3_OK, "", 2);
    assert_get(&fixture, "slow-down-400", S3_OK, "", 2);
    assert_get(&fixture, "reset-once", S3_OK, "", 2);
    assert_get(&fixture, "cut-off-once", S3_OK, "", 2);
    assert_get(&fixture, "no-http", S3_OK, "", 2);
    fixture_close(&fixture);
}

/* Nothing helps: the deadline is kept, with the last reason, and not overrun by a pause. */
static void test_deadlines(void **state) {
    static const struct {
        const char *key, *detail;
    } cases[] = {
        {"half-open", "timed out"}, {"drip", "timed out"}, {"slow-down", "status 503 SlowDown"}, {"silent-close", "mpty reply"}};
    struct outcome outcomes[4];
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(begin_get(&fixture, &outcomes[i], cases[i].key, 300 * US_PER_MS));
    run(&fixture);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(outcomes[i].outcome, S3_UNAVAILABLE);
        if (strstr(outcomes[i].detail, cases[i].detail) == NULL)
            fail_msg("%s: '%s' does not hold '%s'", cases[i].key, outcomes[i].detail, cases[i].detail);
        assert_in_range(outcomes[i].after_us, i < 2 ? 250 * US_PER_MS : 25 * US_PER_MS, 2 * US_PER_S);
    }
    /* The two that answer were asked more than once, but not without pauses. */
    assert_in_range(fixture.server.requests, 2 + 2 * 2, 2 + 2 * 8);
    fixture_close(&fixture);

    fixture_open(&fixture, false);
    struct outcome outcome = get(&fixture, "hello", 300 * US_PER_MS);
    assert_int_equal(outcome.outcome, S3_UNAVAILABLE);
    assert_non_null(strstr(outcome.detail, "onnect"));
    assert_in_range(outcome.after_us, 25 * US_PER_MS, 2 * US_PER_S);
    fixture_close(&fixture);
}

/* Many that are refused in the same moment do not come back in the same moment. */
static void test_jitter(void **state) {
    struct outcome outcomes[12];
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    for (size_t i = 0; i < 12; i++)
        assert_non_null(begin_get(&fixture, &outcomes[i], "slow-down", 10 * US_PER_S));
    fixture.server.stop_at = 24;
    run(&fixture);
    const int64_t *arrived_us = fixture.server.arrived_us;
    assert_true(arrived_us[23] - arrived_us[12] >= arrived_us[11] - arrived_us[0] + 15 * US_PER_MS);
    fixture_close(&fixture);
}

static void test_bounded(void **state) {
    struct outcome outcomes[13];
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 12; i++)
            assert_non_null(begin_get(&fixture, &outcomes[i], "hold", 5 * US_PER_S));
        assert_null(begin_get(&fixture, &outcomes[12], "hold", 5 * US_PER_S));
        run(&fixture);
        for (size_t i = 0; i < 12; i++)
            assert_int_equal(outcomes[i].outcome, S3_OK);
    }
    assert_int_equal(fixture.server.holding_most, 4);
    assert_int_equal(fixture.server.requests, 36);
    assert_int_equal(fixture.server.count, 4); /* connections are used again */

    /* Those that wait for their turn keep their deadline, too. */
    for (size_t i = 0; i < 6; i++)
        assert_non_null(begin_get(&fixture, &outcomes[i], "half-open", i < 4 ? 200 * US_PER_MS : 50 * US_PER_MS));
    run(&fixture);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(outcomes[i].outcome, S3_UNAVAILABLE);
    assert_true(outcomes[5].after_us >= 49 * US_PER_MS && outcomes[5].after_us <= outcomes[0].after_us);
    assert_non_null(strstr(outcomes[5].detail, "no connection became free"));
    fixture_close(&fixture);
}

static void test_closing_and_cancelling(void **state) {
    struct outcome outcomes[12], hello;
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, true);
    struct s3_operation *cancelled[3];
    static const char *const keys[] = {"half-open", "slow-down", "drip"}; /* one under way, one in a pause, one in its body */
    for (size_t i = 0; i < 3; i++) {
        cancelled[i] = begin_get(&fixture, &outcomes[i], keys[i], 10 * US_PER_S);
        assert_non_null(cancelled[i]);
    }
    while (fixture.server.requests < 3) { /* a turn or more */
        assert_non_null(begin_get(&fixture, &hello, "hello", US_PER_S));
        fixture.left = 1;
        run(&fixture);
    }
    for (size_t i = 0; i < 3; i++)
        s3_cancel(cancelled[i]);
    cancelled[0] = begin_get(&fixture, &outcomes[0], "half-open", 10 * US_PER_S);
    assert_non_null(begin_get(&fixture, &hello, "hello", US_PER_S));
    hello.cancel_too = cancelled[0];
    fixture.left = 1;
    run(&fixture);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(outcomes[i].times, 0);

    /* Four under way, one of them in a pause; the others wait. */
    fixture.server.requests = 0;
    assert_non_null(begin_get(&fixture, &hello, "hold", US_PER_S));
    for (size_t i = 0; i < 11; i++)
        assert_non_null(begin_get(&fixture, &outcomes[i], keys[i % 3], 10 * US_PER_S));
    fixture.left = 1;
    run(&fixture);
    assert_int_equal(hello.outcome, S3_OK);
    assert_true(fixture.server.requests >= 4);
    fixture_close(&fixture);
    for (size_t i = 0; i < 11; i++) {
        assert_int_equal(outcomes[i].times, 1);
        assert_int_equal(outcomes[i].outcome, S3_UNAVAILABLE);
    }
}

/* ---- HTTP itself ---- */

static void http_ended(void *context, struct http_response *response) {
    enum http_outcome *outcome = context;
    *outcome = response->outcome;
}

static void test_http_refuses_what_it_cannot_send(void **state) {
    struct loop *loop = loop_new();
    struct http_client *client = http_client_open(
        &(struct http_client_options){.loop = loop, .in_flight_max = 1, .queue_max = 1});
    enum http_outcome outcome = HTTP_ANSWERED;
    const struct http_header split = {TEXT("x-a"), TEXT("b\r\nx-c: d")}, plain = {TEXT("x-a"), TEXT("")};
    struct http_request request = {.method = "GET",
                                   .url = TEXT("http://127.0.0.1:9/"),
                                   .headers = &split,
                                   .header_count = 1,
                                   .timeout_us = US_PER_S,
                                   .done = http_ended,
                                   .context = &outcome};
    (void)state;
    assert_null(http_client_send(client, &request)); /* a header in a header */
    request.headers = &plain;
    request.url = TEXT("http://127.0.0.1:9/\0x");
    assert_null(http_client_send(client, &request));
    request.url = TEXT("http://127.0.0.1:9/");
    assert_non_null(http_client_send(client, &request));
    http_client_close(client); /* before the loop turned once */
    assert_int_equal(outcome, HTTP_CANCELLED);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_passing_trouble),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_closing_and_cancelling),
        cmocka_unit_test(test_http_refuses_what_it_cannot_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
