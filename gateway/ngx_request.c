#include "gateway/ngx_gateway.h"

#include "base/clock.h"
#include "base/random.h"
#include "gateway/cors.h"
#include "gateway/translate.h"

#define RETRY_AFTER TEXT("1") /* second; a queue that was full is not full for long */

/* ---- the request ---- */

static void stop_waiting(struct request *request) {
    if (request->body_timer.timer_set)
        ngx_del_timer(&request->body_timer);
    if (request->ask.bus != NULL) {
        nginx_ask_cancel(&request->ask);
        (void)__atomic_fetch_sub(&request->gateway->worker->in_flight, 1, __ATOMIC_RELAXED);
    }
}

/* nginx calls it however the request ends, be it that the client went away. */
static void forget(void *data) {
    stop_waiting(data);
}

void request_make_id(struct gateway *gateway, char id[REQUEST_ID_BYTES]) {
    if (gateway->ids_left == 0) {
        random_bytes(gateway->ids, sizeof gateway->ids);
        gateway->ids_left = REQUEST_IDS;
    }
    hex_encode(gateway->ids[--gateway->ids_left], sizeof *gateway->ids, id);
}

struct request *request_of(ngx_http_request_t *http) {
    struct request *request = ngx_http_get_module_ctx(http, ngx_pixbus_module);
    for (ngx_http_cleanup_t *cleanup = http->main->cleanup; request == NULL && cleanup != NULL; cleanup = cleanup->next)
        if (cleanup->handler == forget)
            request = cleanup->data;
    return request;
}

static struct request *make_request(ngx_http_request_t *http) {
    struct request *request = ngx_pcalloc(http->pool, sizeof *request);
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(http, 0);
    if (request == NULL || cleanup == NULL)
        return NULL;
    request->http = http;
    request->gateway = gateway_of(http);
    request->started_us = clock_monotonic_us();
    request_make_id(request->gateway, request->id);
    cleanup->handler = forget;
    cleanup->data = request;
    ngx_http_set_ctx(http, request, ngx_pixbus_module);
    return request;
}

void request_headers(ngx_http_request_t *http, struct request_headers *ret_headers) {
    const struct {
        struct text name, *value;
        size_t *count;
    } wanted[] = {
        {TEXT("authorization"), &ret_headers->authorization, &ret_headers->authorizations},
        {TEXT("content-type"), &ret_headers->content_type, &ret_headers->content_types},
        {TEXT("content-encoding"), &ret_headers->content_encoding, NULL},
        {TEXT("origin"), &ret_headers->origin, NULL},
        {TEXT("traceparent"), &ret_headers->traceparent, &ret_headers->traceparents},
        {TEXT("expect"), &ret_headers->expect, NULL},
        {TEXT("access-control-request-method"), &ret_headers->access_control_method, NULL},
        {TEXT("access-control-request-headers"), &ret_headers->access_control_headers, NULL},
    };
    *ret_headers = (struct request_headers){0};
    for (ngx_list_part_t *part = &http->headers_in.headers.part; part != NULL; part = part->next) {
        const ngx_table_elt_t *lines = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++) {
                if (lines[i].key.len != wanted[k].name.size ||
                    memcmp(lines[i].lowcase_key, wanted[k].name.data, wanted[k].name.size) != 0)
                    continue;
                if (wanted[k].value->data == NULL)
                    *wanted[k].value = text_of(lines[i].value);
                if (wanted[k].count != NULL)
                    (*wanted[k].count)++;
            }
        }
    }
}

/* ---- the answer ---- */

bool answer_header(ngx_http_request_t *http, const char *name, struct text value) {
    ngx_table_elt_t *line = ngx_list_push(&http->headers_out.headers);
    u_char *copy = ngx_pnalloc(http->pool, value.size + 1);
    if (line == NULL || copy == NULL) {
        if (line != NULL)
            line->hash = 0; /* nginx leaves it out */
        return false;
    }
    if (value.size > 0)
        (void)ngx_cpymem(copy, value.data, value.size);
    *line = (ngx_table_elt_t){
        .hash = 1,
        .key = {strlen(name), (u_char *)(uintptr_t)name},
        .value = {value.size, copy},
    };
    return true;
}

/* Send status, headers and body, which is copied. Returns what ngx_http_finalize_request() takes. */
static ngx_int_t send_answer(ngx_http_request_t *http, int status, const char *type, struct text body) {
    http->headers_out.status = (ngx_uint_t)status;
    http->err_status = 0; /* nginx would send this instead */
    if (status == 417)
        http->headers_out.status_line = (ngx_str_t)ngx_string("417 Expectation Failed"); /* nginx has no words for these two */
    if (status == 431)
        http->headers_out.status_line = (ngx_str_t)ngx_string("431 Request Header Fields Too Large");
    http->headers_out.content_length_n = (off_t)body.size;
    if (status == 204) {
        http->headers_out.content_length_n = -1;
        http->header_only = 1;
    } else {
        http->headers_out.content_type = (ngx_str_t){strlen(type), (u_char *)(uintptr_t)type};
        http->headers_out.content_type_len = strlen(type);
        http->headers_out.content_type_lowcase = NULL;
    }
    /* The answer is for whoever asked, and for now. */
    if (!answer_header(http, "Cache-Control", TEXT("no-store")))
        return NGX_ERROR;
    ngx_int_t result = ngx_http_send_header(http);
    if (result == NGX_ERROR || result > NGX_OK || http->header_only)
        return result;
    ngx_buf_t *buffer = ngx_create_temp_buf(http->pool, body.size > 0 ? body.size : 1);
    if (buffer == NULL)
        return NGX_ERROR;
    buffer->last = ngx_cpymem(buffer->last, body.data, body.size);
    buffer->last_buf = http == http->main;
    buffer->last_in_chain = 1;
    ngx_chain_t chain = {.buf = buffer, .next = NULL};
    return ngx_http_output_filter(http, &chain);
}

static ngx_int_t send_error(struct request *request, enum error error, struct text detail) {
    ngx_http_request_t *http = request->http;
    struct gateway *gateway = request->gateway;
    int status = error_describe(error)->http_status;
    bool added = true;
    request->error = error;
    if (!text_copy(detail, request->detail, sizeof request->detail))
        request->detail[0] = '\0';
    if (status == 401)
        added = answer_header(http, "WWW-Authenticate", text_from(token_challenge(error)));
    if (status == 503)
        added = answer_header(http, "Retry-After", RETRY_AFTER);
    buffer_clear(&gateway->json);
    translate_error(error, text_from(request->detail), &gateway->json);
    if (!added || !buffer_ok(&gateway->json))
        return NGX_ERROR;
    return send_answer(http, status, "application/json", buffer_text(&gateway->json));
}

/*
 * Refuse a request whose body was not read. It is read and thrown away, so that the connection can go on; but a client that
 * waits to be told whether to send it will not, and then the connection has to end.
 */
static ngx_int_t refuse(struct request *request, enum error error, struct text detail) {
    ngx_http_request_t *http = request->http;
    if (http->headers_in.expect != NULL && !http->expect_tested) {
        http->expect_tested = 1;
        http->keepalive = 0;
    }
    ngx_int_t result = ngx_http_discard_request_body(http);
    return result != NGX_OK ? result : send_error(request, error, detail);
}

/* ---- asking ---- */

/* Outside of nginx's own handlers, nobody else would run what the end of a request has posted. */
static void finish(ngx_http_request_t *http, ngx_int_t result) {
    ngx_connection_t *connection = http->connection;
    ngx_http_finalize_request(http, result);
    ngx_http_run_posted_requests(connection);
}

static ngx_int_t send_reply(struct request *request, struct text reply) {
    struct gateway *gateway = request->gateway;
    arena_reset(&gateway->arena);
    buffer_clear(&gateway->json);
    buffer_clear(&gateway->header);
    enum error error = replies_translate(gateway->replies, request->route, text_of(request->http->args), reply, &gateway->arena,
                                         &gateway->json, &gateway->header);
    if (error != OK)
        return send_error(request, error, TEXT("the reply cannot be shown"));
    if (gateway->header.size > 0 && !answer_header(request->http, "Link", buffer_text(&gateway->header)))
        return NGX_ERROR;
    return send_answer(request->http, request->route->status, "application/json", buffer_text(&gateway->json));
}

static struct request *request_of_ask(struct nginx_ask *ask) {
    return (struct request *)(void *)((char *)ask - offsetof(struct request, ask));
}

static void asked(struct nginx_ask *ask, const struct bus_outcome *outcome) {
    struct request *request = request_of_ask(ask);
    (void)__atomic_fetch_sub(&request->gateway->worker->in_flight, 1, __ATOMIC_RELAXED);
    finish(request->http,
           outcome->error == OK ? send_reply(request, outcome->body) : send_error(request, outcome->error, outcome->detail));
}

/* See the client go away while we wait; it may have closed together with what it sent. */
static void watch_client(ngx_http_request_t *http) {
    ngx_event_t *read = http->connection->read;
    if (http->discard_body)
        return; /* nginx is reading */
    http->read_event_handler = ngx_http_test_reading;
    if (read->pending_eof) {
        ngx_post_event(read, &ngx_posted_events);
    }
}

static void ask_bus(struct request *request, unsigned message, const void *record,
                    void (*done)(struct nginx_ask *ask, const struct bus_outcome *outcome)) {
    struct bus_ask bus_ask = {
        .message = message,
        .request = record,
        .request_id = text_from(request->id),
        .traceparent = request->traceparent,
        .caller = {.user_id = request->caller.user_id},
        .deadline_us = clock_monotonic_us() + proto_message_find(message)->deadline_ms * US_PER_MS,
    };
    if (request->caller.user_id != 0)
        bus_ask.caller.email = text_from(request->caller.email);
    metrics_add(&request->gateway->worker->in_flight, 1);
    request->ask.done = done;
    nginx_bus_ask(request->gateway->bus, &request->ask, &bus_ask);
    watch_client(request->http);
}

/* Turn the request into its message and ask. NGX_DONE: it waits. `body` is absent unless the route takes one. */
static ngx_int_t ask_service(struct request *request, struct text body) {
    ngx_http_request_t *http = request->http;
    struct route_match match;
    struct text path = text_of(http->unparsed_uri), detail = {0};
    _Alignas(max_align_t) char record[TRANSLATE_REQUEST_BYTES_MAX];
    const char *query = memchr(path.data, '?', path.size);
    if (query != NULL)
        path.size = (size_t)(query - path.data);
    arena_reset(&request->gateway->arena);
    enum error error = route_find(text_of(http->method_name), path, &request->gateway->arena, &match);
    if (error == OK)
        error = translate_request(&match, text_of(http->args), body, &request->gateway->arena, record, &detail);
    if (error != OK)
        return send_error(request, error, detail);
    ask_bus(request, request->route->message, record, asked);
    return NGX_DONE;
}

/* ---- bodies ---- */

/* The whole body as one text. False: no memory, or the file it was spilled to cannot be read. */
static bool gather_body(ngx_http_request_t *http, struct text *ret_body) {
    ngx_chain_t *chain = http->request_body != NULL ? http->request_body->bufs : NULL;
    size_t size = 0;
    if (chain == NULL) {
        *ret_body = (struct text){0};
        return true;
    }
    if (chain->next == NULL && !chain->buf->in_file) {
        *ret_body = (struct text){(const char *)chain->buf->pos, (size_t)(chain->buf->last - chain->buf->pos)};
        return true;
    }
    for (const ngx_chain_t *link = chain; link != NULL; link = link->next)
        size += (size_t)ngx_buf_size(link->buf);
    u_char *body = ngx_pnalloc(http->pool, size + 1), *end = body;
    if (body == NULL)
        return false;
    for (const ngx_chain_t *link = chain; link != NULL; link = link->next) {
        size_t part = (size_t)ngx_buf_size(link->buf);
        if (part == 0)
            continue; /* the end of a chunked body, which points nowhere */
        if (!link->buf->in_file)
            end = ngx_cpymem(end, link->buf->pos, part);
        else if (ngx_read_file(link->buf->file, end, part, link->buf->file_pos) == (ssize_t)part)
            end += part;
        else
            return false;
    }
    *ret_body = (struct text){(const char *)body, size};
    return true;
}

static void body_arrived(ngx_http_request_t *http) {
    struct request *request = request_of(http);
    struct text body;
    ngx_int_t result;
    if (request->body_timer.timer_set)
        ngx_del_timer(&request->body_timer);
    if (gather_body(http, &body))
        result = ask_service(request, body);
    else
        result = send_error(request, ERROR_internal, TEXT("the body cannot be gathered"));
    if (result != NGX_DONE)
        ngx_http_finalize_request(http, result);
}

/* A client that drips its body keeps nginx's own timer, which is between reads, from firing: this one is for the whole. */
static void body_late(ngx_event_t *event) {
    struct request *request = event->data;
    request->http->keepalive = 0;
    request->http->read_event_handler = ngx_http_block_reading;
    finish(request->http, send_error(request, ERROR_request_timeout, (struct text){0}));
}

static ngx_int_t read_body(struct request *request) {
    ngx_http_request_t *http = request->http;
    http->request_body_in_single_buf = 1;
    ngx_int_t result = ngx_http_read_client_request_body(http, body_arrived);
    if (result >= NGX_HTTP_SPECIAL_RESPONSE)
        return result;
    if (result == NGX_AGAIN) {
        request->body_timer = (ngx_event_t){.handler = body_late, .data = request, .log = http->connection->log};
        ngx_add_timer(&request->body_timer, LIMIT_HTTP_BODY_MS);
    }
    return NGX_DONE;
}

static bool has_body(const ngx_http_request_t *http) {
    return http->headers_in.content_length_n > 0 || http->headers_in.chunked;
}

/* ---- what is answered here ---- */

static ngx_int_t send_ready(struct request *request) {
    struct gateway *gateway = request->gateway;
    struct text services[ROUTE_SERVICES_MAX];
    size_t count = route_services(services);
    buffer_clear(&gateway->header);
    for (size_t i = 0; i < count; i++)
        if (gateway->missing[i])
            buffer_printf(&gateway->header, "%s%.*s", gateway->header.size > 0 ? ", " : "missing: ", TEXT_ARGUMENTS(services[i]));
    if (gateway->header.size > 0)
        return send_error(request, ERROR_unavailable, buffer_text(&gateway->header));
    return send_answer(request->http, 200, "application/json", TEXT("{\"status\":\"ready\"}"));
}

static void looked(struct nginx_ask *ask, const struct bus_outcome *outcome) {
    struct request *request = request_of_ask(ask);
    struct gateway *gateway = request->gateway;
    const struct proto_record *record = proto_message_find(MESSAGE_bus_services)->reply;
    struct text needed[ROUTE_SERVICES_MAX];
    struct bus_services_reply reply;
    (void)__atomic_fetch_sub(&gateway->worker->in_flight, 1, __ATOMIC_RELAXED);
    arena_reset(&gateway->arena);
    enum error error = outcome->error;
    if (error == OK && proto_decode(record, outcome->body, &gateway->arena, &reply, NULL) != OK)
        error = ERROR_internal;
    if (error != OK) {
        finish(request->http, send_error(request, error, outcome->detail));
        return;
    }
    for (size_t i = route_services(needed); i-- > 0;) {
        gateway->missing[i] = true;
        for (size_t k = 0; k < reply.services_count; k++)
            if (reply.services[k].instances > 0 && text_equal(reply.services[k].name, needed[i]))
                gateway->missing[i] = false;
    }
    gateway->ready_us = clock_monotonic_us();
    for (size_t i = 0; i < ROUTE_SERVICES_MAX; i++)
        if (gateway->missing[i])
            gateway->ready_us = 0; /* whoever waits for it to be ready is not told a second late */
    finish(request->http, send_ready(request));
}

/* Able to serve: connected to the bus, and each service of the route table has an instance that takes work. */
static ngx_int_t handle_ready(struct request *request) {
    struct gateway *gateway = request->gateway;
    struct bus_empty nothing = {};
    if (!nginx_bus_connected(gateway->bus))
        return send_error(request, ERROR_unavailable, TEXT("missing: bus"));
    if (gateway->ready_us != 0 && request->started_us - gateway->ready_us < READY_FRESH_US)
        return send_ready(request);
    ask_bus(request, MESSAGE_bus_services, &nothing, looked);
    request->http->main->count++;
    return NGX_DONE;
}

static ngx_int_t handle_metrics(struct request *request) {
    struct gateway *gateway = request->gateway;
    buffer_clear(&gateway->json);
    metrics_write(gateway->metrics, &gateway->json);
    if (!buffer_ok(&gateway->json))
        return send_error(request, ERROR_internal, TEXT("the metrics do not fit"));
    return send_answer(request->http, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_text(&gateway->json));
}

/* OPTIONS, be it a browser's preflight or somebody who wants to know. The CORS lines are added to every answer. */
static ngx_int_t send_options(struct request *request, const struct request_headers *headers, unsigned allowed) {
    ngx_http_request_t *http = request->http;
    struct gateway *gateway = request->gateway;
    bool added = true;
    buffer_clear(&gateway->header);
    route_allow(allowed, &gateway->header);
    if (headers->access_control_method.data == NULL)
        added = answer_header(http, "Allow", buffer_text(&gateway->header));
    else if (cors_allows(gateway->settings.cors_origins, headers->origin))
        added = answer_header(http, "Access-Control-Allow-Methods", buffer_text(&gateway->header)) &&
                answer_header(http, "Access-Control-Allow-Headers", cors_allowed_headers(headers->access_control_headers)) &&
                answer_header(http, "Access-Control-Max-Age", TEXT(CORS_MAX_AGE_S));
    return added ? send_answer(http, 204, "", (struct text){0}) : NGX_ERROR;
}

/* ---- the way in ---- */

/* May this request be answered by this route? OK, or the error to answer. */
static enum error admit(struct request *request, const struct request_headers *headers, struct text *ret_detail) {
    struct gateway *gateway = request->gateway;
    bool remembered;
    enum error error = token_check(gateway->tokens, request->route->auth, headers->authorization, headers->authorizations,
                                   clock_real_us(), request->started_us, &request->caller, &remembered);
    if (remembered)
        metrics_add(&gateway->metrics->tokens_remembered, 1);
    else if (request->caller.user_id != 0)
        metrics_add(&gateway->metrics->tokens_checked, 1);
    if (error != OK) {
        metrics_add(&gateway->metrics->tokens_refused, error != ERROR_no_authorization);
        return error;
    }
    if (request->route->input != INPUT_JSON)
        return OK;
    if (!has_body(request->http))
        return ERROR_body_not_json;
    if (headers->content_encoding.size > 0) {
        *ret_detail = TEXT("a Content-Encoding is not supported");
        return ERROR_media_type;
    }
    return headers->content_types == 1 && translate_is_json(headers->content_type) ? OK : ERROR_media_type;
}

static ngx_int_t dispatch(struct request *request) {
    ngx_http_request_t *http = request->http;
    if (request->route->input == INPUT_JSON)
        return read_body(request);
    ngx_int_t result = ngx_http_discard_request_body(http);
    if (result != NGX_OK)
        return result;
    switch (request->route->kind) {
    case ROUTE_MESSAGE:
        result = ask_service(request, (struct text){0});
        if (result == NGX_DONE)
            http->main->count++;
        return result;
    case ROUTE_HEALTH: return send_answer(http, 200, "application/json", TEXT("{\"status\":\"live\"}"));
    case ROUTE_READY: return handle_ready(request);
    case ROUTE_METRICS: return handle_metrics(request);
    }
    return NGX_ERROR;
}

/* The route of the request as the client wrote it. OK, not_found, method_not_allowed (with Allow added) or bad_request. */
static enum error find_route(struct request *request, struct text method, struct route_match *ret_match) {
    struct gateway *gateway = request->gateway;
    struct text path = text_of(request->http->unparsed_uri);
    const char *query = path.size > 0 ? memchr(path.data, '?', path.size) : NULL;
    if (query != NULL)
        path.size = (size_t)(query - path.data);
    arena_reset(&gateway->arena);
    enum error error = route_find(method, path, &gateway->arena, ret_match);
    request->route = ret_match->route;
    if (error != ERROR_method_not_allowed)
        return error;
    buffer_clear(&gateway->header);
    route_allow(ret_match->allowed, &gateway->header);
    return answer_header(request->http, "Allow", buffer_text(&gateway->header)) ? error : ERROR_internal;
}

ngx_int_t request_handle(ngx_http_request_t *http) {
    struct request *request = make_request(http);
    struct request_headers headers;
    struct route_match match;
    struct text detail = {0};
    if (request == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (http->http_version < NGX_HTTP_VERSION_10)
        return refuse(request, ERROR_version_not_supported, detail);
    request_headers(http, &headers);
    if (headers.traceparents == 1 && translate_is_traceparent(headers.traceparent))
        request->traceparent = headers.traceparent;
    if (headers.expect.data != NULL && !text_equal_ignoring_case(headers.expect, TEXT("100-continue")))
        return refuse(request, ERROR_expectation_failed, detail);
    enum error error = find_route(request, text_of(http->method_name), &match);
    if (error != OK)
        return refuse(request, error, detail);
    if (match.preflight) {
        ngx_int_t result = ngx_http_discard_request_body(http);
        return result != NGX_OK ? result : send_options(request, &headers, match.allowed);
    }
    error = admit(request, &headers, &detail);
    return error != OK ? refuse(request, error, detail) : dispatch(request);
}

/* What an error of nginx's own is in our words. */
static enum error error_of_status(ngx_uint_t status) {
    for (size_t i = 0; i < error_count; i++)
        if (error_table[i].error >= ERROR_bad_request && error_table[i].error <= ERROR_version_not_supported &&
            (ngx_uint_t)error_table[i].http_status == status)
            return error_table[i].error;
    switch (status) {
    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE: return ERROR_unavailable;
    case NGX_HTTP_GATEWAY_TIME_OUT: return ERROR_timeout;
    default: return status >= 500 ? ERROR_internal : ERROR_bad_request;
    }
}

ngx_int_t request_handle_error(ngx_http_request_t *http) {
    struct request *request = request_of(http);
    struct route_match match;
    if (request == NULL)
        request = make_request(http);
    if (request == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_http_set_ctx(http, request, ngx_pixbus_module); /* the redirect took it away */
    stop_waiting(request);
    enum error error = error_of_status(http->err_status);
    /* nginx refuses TRACE and CONNECT by itself, whatever the path. */
    if (error == ERROR_method_not_allowed)
        error = find_route(request, TEXT("TRACE"), &match);
    return send_error(request, error, (struct text){0});
}
