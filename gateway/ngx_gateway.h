/*
 * ngx_gateway.h: the shell that nginx calls. ngx_pixbus_module.c is the module itself: configuration, processes, what is
 * true of every answer. ngx_request.c takes one request through the files that know nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_NGX_GATEWAY_H
#define PIXBUS_GATEWAY_NGX_GATEWAY_H

#include "nginx/ngx_bus.h"

#include <ngx_http.h>

#include "base/setting.h"
#include "gateway/metrics.h"
#include "gateway/replies.h"
#include "gateway/routes.h"
#include "gateway/token.h"

#define REQUEST_IDS 256                 /* made at a time */
#define READY_FRESH_US INT64_C(1000000) /* a look that found all services serves /readyz for so long */
#define LOG_LINES_PER_S 50              /* of errors, by each worker; more are counted only */

/* What a process that serves has. Made in init_process. */
struct gateway {
    struct settings settings;
    struct nginx_bus *bus;
    struct token_cache *tokens;
    struct replies *replies;
    struct metrics *metrics; /* shared by all workers */
    struct metrics_worker *worker;
    /* Scratch for what ends within one call: texts of a request, a decoded reply, the JSON before its copy. */
    struct arena arena;
    struct buffer json, header;
    uint8_t ids[REQUEST_IDS][16];
    size_t ids_left;
    /* The last look at the broker's services. */
    int64_t ready_us; /* monotonic; 0: never, or something was missing */
    bool missing[ROUTE_SERVICES_MAX];
    /* Errors logged in this second. */
    int64_t log_second;
    unsigned log_lines;
};

/* One HTTP request, from our handler's first call to its end. In the request's pool. */
struct request {
    ngx_http_request_t *http;
    struct gateway *gateway;
    struct nginx_ask ask;
    ngx_event_t body_timer;
    const struct route *route; /* NULL: none matched */
    struct token_caller caller;
    struct text traceparent;
    int64_t started_us; /* monotonic */
    enum error error;   /* it was answered with */
    char detail[LIMIT_DETAIL_BYTES + 1];
    char id[REQUEST_ID_BYTES];
};

/* The header lines that matter to us, found in one pass. Absent if they were not sent. */
struct request_headers {
    struct text authorization, content_type, content_encoding, origin, traceparent, expect;
    struct text access_control_method, access_control_headers;
    size_t authorizations, content_types, traceparents;
};

extern ngx_module_t ngx_pixbus_module;

/* NULL in a process that does not serve. */
struct gateway *gateway_of(ngx_http_request_t *http);

/* The request that our handler made of it, NULL if it did not get that far. Survives nginx's internal redirects. */
struct request *request_of(ngx_http_request_t *http);

void request_headers(ngx_http_request_t *http, struct request_headers *ret_headers);
void request_make_id(struct gateway *gateway, char id[REQUEST_ID_BYTES]);

/* Content handlers: of our routes, and of error_page. */
ngx_int_t request_handle(ngx_http_request_t *http);
ngx_int_t request_handle_error(ngx_http_request_t *http);

/* Add a header line to the answer. `value` is copied. */
[[gnu::warn_unused_result]] bool answer_header(ngx_http_request_t *http, const char *name, struct text value);

static inline struct text text_of(ngx_str_t string) {
    return (struct text){(const char *)string.data, string.data != NULL ? string.len : 0};
}

#endif
