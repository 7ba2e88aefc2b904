#include "http/client.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define RECEIVE_BYTES (128L * 1024)

/* One of curl's sockets, watched for it. */
struct socket_watch {
    struct loop_watch watch;
    struct http_client *client;
    struct socket_watch *next, **link;
};

struct http_exchange {
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    char problem[CURL_ERROR_SIZE];
    struct buffer body;
    size_t response_bytes_max;
    bool too_large, running;
    int64_t deadline_us;
    struct loop_timer waiting; /* ends it while it waits for its turn */
    void (*done)(void *context, struct http_response *response);
    void *context;
    struct http_exchange *next, **link; /* of the running, or of the waiting */
};

struct exchange_list {
    struct http_exchange *first, **end;
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct socket_watch *sockets;
    struct exchange_list running, waiting;
    size_t running_count, waiting_count, in_flight_max, queue_max;
    bool closing;
};

static void list_append(struct exchange_list *list, struct http_exchange *exchange) {
    exchange->next = NULL;
    exchange->link = list->end;
    *list->end = exchange;
    list->end = &exchange->next;
}

static void list_remove(struct exchange_list *list, struct http_exchange *exchange) {
    *exchange->link = exchange->next;
    if (exchange->next != NULL)
        exchange->next->link = exchange->link;
    else
        list->end = exchange->link;
}

/* Take an exchange out of wherever it is; another may have its place. */
static void exchange_detach(struct http_exchange *exchange) {
    struct http_client *client = exchange->client;
    if (exchange->running) {
        (void)curl_multi_remove_handle(client->multi, exchange->easy);
        list_remove(&client->running, exchange);
        client->running_count--;
    } else if (exchange->link != NULL) {
        loop_timer_clear(&exchange->waiting);
        list_remove(&client->waiting, exchange);
        client->waiting_count--;
    }
    exchange->running = false;
    exchange->link = NULL;
}

static void exchange_free(struct http_exchange *exchange) {
    exchange_detach(exchange);
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->headers);
    buffer_free(&exchange->body);
    free(exchange);
}

static void exchange_end(struct http_exchange *exchange, enum http_outcome outcome, const char *problem) {
    struct http_response response = {.outcome = outcome, .problem = problem, .body = exchange->body, .exchange = exchange};
    long status = 0;
    exchange_detach(exchange);
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = (int)status;
    exchange->body = (struct buffer){0};
    exchange->done(exchange->context, &response);
    buffer_free(&response.body);
    exchange_free(exchange);
}

static enum http_outcome outcome_of(CURLcode code, const struct http_exchange *exchange) {
    if (exchange->too_large)
        return HTTP_TOO_LARGE;
    switch (code) {
    case CURLE_OK: return HTTP_ANSWERED;
    case CURLE_FILESIZE_EXCEEDED: return HTTP_TOO_LARGE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION: return HTTP_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMED_OUT;
    default: return HTTP_BROKEN;
    }
}

static void start_waiting(struct http_client *client);

/* End what curl has finished with. A `done` may send again, so the next message is asked for each time. */
static void collect(struct http_client *client) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_exchange *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        enum http_outcome outcome = outcome_of(code, exchange);
        const char *problem = outcome == HTTP_ANSWERED    ? ""
                              : outcome == HTTP_TOO_LARGE ? "the answer is longer than allowed"
                              : exchange->problem[0] != 0 ? exchange->problem
                                                          : curl_easy_strerror(code);
        exchange_end(exchange, outcome, problem);
    }
    start_waiting(client);
}

static void socket_ready(struct loop_watch *watch, unsigned ready) {
    struct socket_watch *socket = watch->context;
    struct http_client *client = socket->client;
    int events = (ready & LOOP_READ ? CURL_CSELECT_IN : 0) | (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0), running;
    (void)curl_multi_socket_action(client->multi, watch->fd, events, &running); /* may free the socket_watch */
    collect(client);
}

static void timer_fire(struct loop_timer *timer) {
    struct http_client *client = timer->context;
    int running;
    (void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(client);
}

static void socket_free(struct socket_watch *socket) {
    loop_watch_remove(&socket->watch);
    *socket->link = socket->next;
    if (socket->next != NULL)
        socket->next->link = socket->link;
    free(socket);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context) {
    struct http_client *client = context;
    struct socket_watch *socket = socket_context;
    unsigned interest = (what & CURL_POLL_IN ? (unsigned)LOOP_READ : 0u) | (what & CURL_POLL_OUT ? (unsigned)LOOP_WRITE : 0u);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL)
            socket_free(socket);
        return 0;
    }
    if (socket != NULL) {
        loop_watch_change(&socket->watch, interest);
        return 0;
    }
    socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        return -1;
    socket->client = client;
    socket->watch = (struct loop_watch){.fd = fd, .interest = interest, .ready = socket_ready, .context = socket};
    if (!loop_watch_add(client->loop, &socket->watch)) {
        free(socket);
        return -1;
    }
    socket->next = client->sockets;
    socket->link = &client->sockets;
    if (socket->next != NULL)
        socket->next->link = &socket->next;
    client->sockets = socket;
    (void)curl_multi_assign(client->multi, fd, socket);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context) {
    struct http_client *client = context;
    (void)multi;
    if (timeout_ms < 0)
        loop_timer_clear(&client->timer);
    else
        loop_timer_set(client->loop, &client->timer, clock_monotonic_us() + timeout_ms * US_PER_MS);
    return 0;
}

struct http_client *http_client_open(const struct http_client_options *options) {
    assert(options->in_flight_max > 0 && options->in_flight_max < 65536);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    struct http_client *client = calloc(1, sizeof *client);
    CURLM *multi = curl_multi_init();
    if (client == NULL || multi == NULL) {
        if (multi != NULL)
            (void)curl_multi_cleanup(multi);
        free(client);
        curl_global_cleanup();
        return NULL;
    }
    client->loop = options->loop;
    client->multi = multi;
    client->timer = (struct loop_timer){.fire = timer_fire, .context = client};
    client->running.end = &client->running.first;
    client->waiting.end = &client->waiting.first;
    client->in_flight_max = options->in_flight_max;
    client->queue_max = options->queue_max;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)options->in_flight_max);
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return client;
}

void http_client_close(struct http_client *client) {
    if (client == NULL)
        return;
    client->closing = true;
    while (client->running.first != NULL)
        exchange_end(client->running.first, HTTP_CANCELLED, "the client was closed");
    while (client->waiting.first != NULL)
        exchange_end(client->waiting.first, HTTP_CANCELLED, "the client was closed");
    (void)curl_multi_cleanup(client->multi); /* closes the idle connections, and their watches with them */
    while (client->sockets != NULL)
        socket_free(client->sockets);
    loop_timer_clear(&client->timer);
    free(client);
    curl_global_cleanup();
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
    struct http_exchange *exchange = context;
    size *= count;
    if (size > exchange->response_bytes_max - exchange->body.size) {
        exchange->too_large = true;
        return 0;
    }
    if (exchange->body.data == NULL) { /* take the announced size at once: no copying while it grows */
        curl_off_t announced = -1;
        (void)curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        exchange->body.limit_bytes = exchange->response_bytes_max;
        if (announced > 0 && (uint64_t)announced <= exchange->response_bytes_max &&
            buffer_reserve(&exchange->body, (size_t)announced) == NULL)
            return 0;
    }
    buffer_append(&exchange->body, bytes, size);
    return buffer_ok(&exchange->body) ? size : 0;
}

static bool add_header(struct http_exchange *exchange, struct text name, struct text value, struct buffer *scratch) {
    buffer_clear(scratch);
    buffer_append_text(scratch, name);
    /* curl's own form for a header without a value; "name:" would take it out. */
    buffer_append_text(scratch, value.size > 0 ? TEXT(": ") : TEXT(";"));
    buffer_append_text(scratch, value);
    if (memchr(buffer_text(scratch).data, '\n', scratch->size) != NULL ||
        memchr(buffer_text(scratch).data, '\r', scratch->size) != NULL)
        return false;
    buffer_append(scratch, "", 1);
    struct curl_slist *list = buffer_ok(scratch) ? curl_slist_append(exchange->headers, scratch->data) : NULL;
    if (list == NULL)
        return false;
    exchange->headers = list;
    return true;
}

static bool set_headers(struct http_exchange *exchange, const struct http_request *request) {
    /* Without these lines curl would add headers of its own, which nobody signed or wants to wait for. */
    static const char *const unwanted[] = {"Expect:", "Accept:", "Content-Type:"};
    struct buffer scratch = {.limit_bytes = 16384};
    bool good = true, typed = false;
    for (size_t i = 0; good && i < request->header_count; i++) {
        typed |= text_equal_ignoring_case(request->headers[i].name, TEXT("content-type"));
        good = add_header(exchange, request->headers[i].name, request->headers[i].value, &scratch);
    }
    for (size_t i = 0; good && i < sizeof unwanted / sizeof *unwanted - (typed ? 1 : 0); i++) {
        struct curl_slist *list = curl_slist_append(exchange->headers, unwanted[i]);
        good = list != NULL;
        if (good)
            exchange->headers = list;
    }
    buffer_free(&scratch);
    return good;
}

static bool set_url(CURL *easy, struct text url) {
    struct buffer copy = {.limit_bytes = 16384};
    buffer_append_text(&copy, url);
    buffer_append(&copy, "", 1);
    bool good = buffer_ok(&copy) && strlen(copy.data) == url.size && curl_easy_setopt(easy, CURLOPT_URL, copy.data) == CURLE_OK;
    buffer_free(&copy);
    return good;
}

static void set_options(struct http_exchange *exchange, const struct http_request *request) {
    CURL *easy = exchange->easy;
    bool head = strcmp(request->method, "HEAD") == 0;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->problem);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (request->body.data != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data);
    }
    if (head)
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (request->response_bytes_max > 0)
        (void)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->response_bytes_max);
    if (!head && strcmp(request->method, "GET") != 0)
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)((request->connect_timeout_us + 999) / US_PER_MS));
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((request->stall_timeout_us + US_PER_S - 1) / US_PER_S));
}

/* From waiting to running. False when curl has no memory for it: it still waits then. */
static bool start(struct http_exchange *exchange) {
    struct http_client *client = exchange->client;
    int64_t left_us = exchange->deadline_us - clock_monotonic_us();
    (void)curl_easy_setopt(exchange->easy, CURLOPT_TIMEOUT_MS, (long)(left_us < US_PER_MS ? 1 : left_us / US_PER_MS));
    if (curl_multi_add_handle(client->multi, exchange->easy) != CURLM_OK)
        return false;
    loop_timer_clear(&exchange->waiting);
    list_remove(&client->waiting, exchange);
    client->waiting_count--;
    exchange->running = true;
    list_append(&client->running, exchange);
    client->running_count++;
    return true;
}

static void start_waiting(struct http_client *client) {
    while (!client->closing && client->waiting.first != NULL && client->running_count < client->in_flight_max)
        if (!start(client->waiting.first))
            exchange_end(client->waiting.first, HTTP_UNREACHABLE, "no memory for the transfer");
}

static void waited_too_long(struct loop_timer *timer) {
    exchange_end(timer->context, HTTP_TIMED_OUT, "no connection became free in time");
}

struct http_exchange *http_client_send(struct http_client *client, const struct http_request *request) {
    bool turn = client->running_count < client->in_flight_max && client->waiting.first == NULL;
    if (client->closing || (!turn && client->waiting_count >= client->queue_max))
        return NULL;
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->client = client;
    exchange->easy = curl_easy_init();
    exchange->response_bytes_max = request->response_bytes_max;
    exchange->done = request->done;
    exchange->context = request->context;
    exchange->deadline_us = clock_monotonic_us() + request->timeout_us;
    exchange->waiting = (struct loop_timer){.fire = waited_too_long, .context = exchange};
    if (exchange->easy == NULL || !set_headers(exchange, request) || !set_url(exchange->easy, request->url)) {
        exchange_free(exchange);
        return NULL;
    }
    set_options(exchange, request);
    list_append(&client->waiting, exchange);
    client->waiting_count++;
    loop_timer_set(client->loop, &exchange->waiting, exchange->deadline_us);
    if (turn && !start(exchange)) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void http_exchange_cancel(struct http_exchange *exchange) {
    struct http_client *client = exchange->client;
    exchange_free(exchange);
    start_waiting(client);
}

struct text http_response_header(const struct http_response *response, const char *name) {
    struct curl_header *header = NULL;
    if (curl_easy_header(response->exchange->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return (struct text){0};
    if (header->amount > 1 &&
        curl_easy_header(response->exchange->easy, name, header->amount - 1, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return (struct text){0};
    return text_from(header->value);
}
