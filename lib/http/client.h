/*
 * client.h: an HTTP client on our event loop, by libcurl's multi interface. Connections are kept and used again.
 *
 * Only http and https, HTTP/1.1, no redirects, no proxy, no cookies; the path is sent as it stands. Bodies are in memory,
 * with a limit. So many requests at a time, so many waiting; beyond that a request is refused at once.
 */
#ifndef PIXBUS_HTTP_CLIENT_H
#define PIXBUS_HTTP_CLIENT_H

#include "base/buffer.h"
#include "base/loop.h"

struct http_client;
struct http_exchange; /* one request under way */

struct http_client_options {
    struct loop *loop;
    size_t in_flight_max; /* requests under way, and connections kept; at least 1 */
    size_t queue_max;     /* requests that wait for their turn */
};

/* Before the process starts its threads. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct http_client *http_client_open(const struct http_client_options *options);

/* Requests under way end with HTTP_CANCELLED first. Takes NULL. Not from within a `done`. */
void http_client_close(struct http_client *client);

struct http_header {
    struct text name, value; /* without line breaks */
};

enum http_outcome {
    HTTP_ANSWERED,    /* with whatever status */
    HTTP_TOO_LARGE,   /* the body is longer than response_bytes_max: announced, and not read, or found out */
    HTTP_UNREACHABLE, /* no connection: name, address, TLS */
    HTTP_BROKEN,      /* the connection broke, or what came is not HTTP */
    HTTP_TIMED_OUT,   /* in connecting, in stalling or as a whole */
    HTTP_CANCELLED,   /* the client was closed */
};

struct http_response {
    enum http_outcome outcome;
    int status;          /* 0 if none came */
    struct buffer body;  /* may be taken: zero it then */
    const char *problem; /* for people; "" if HTTP_ANSWERED */
    struct http_exchange *exchange;
};

struct http_request {
    const char *method; /* GET, HEAD, PUT, POST or DELETE */
    struct text url;
    const struct http_header *headers; /* copied; Host and Content-Length are made */
    size_t header_count;
    struct text body;          /* borrowed until `done`; absent: none */
    size_t response_bytes_max; /* 0: any body is too large */
    int64_t connect_timeout_us;
    int64_t stall_timeout_us; /* without progress in either direction; rounded up to seconds */
    int64_t timeout_us;       /* of the whole, the wait for its turn included */
    /* Called once, never before http_client_send() returns. The response lives for the time of the call. */
    void (*done)(void *context, struct http_response *response);
    void *context;
};

/* NULL when the queue is full, memory is exhausted or the URL cannot be used: `done` will not be called. */
[[gnu::warn_unused_result]] struct http_exchange *http_client_send(struct http_client *client,
                                                                   const struct http_request *request);

/* Give up: `done` will not be called. Not from within its own `done`. */
void http_exchange_cancel(struct http_exchange *exchange);

/* A header of the answer, in whose `done` we are. Absent if there is none; of several the last. */
struct text http_response_header(const struct http_response *response, const char *name);

#endif
