/*
 * ngx_store.h: the shell that nginx calls. ngx_pixbus_store_module.c is the module itself: configuration, processes, what
 * is true of every answer. ngx_request.c takes one request through the files that know nothing of nginx, ngx_body.c takes
 * bodies in, ngx_answer.c sends answers, ngx_events.c drives the pump.
 *
 * The loop never waits for a write to the disk: that is done in nginx's thread pool, one job of a request at a time. While
 * its job runs a request is kept alive (`blocked`, in nginx's words), even if the client has gone.
 */
#ifndef PIXBUS_STORE_NGX_STORE_H
#define PIXBUS_STORE_NGX_STORE_H

#include "nginx/ngx_bus.h"

#include <ngx_http.h>
#include <ngx_thread_pool.h>

#include "actors/store/condition.h"
#include "actors/store/listing.h"
#include "actors/store/multipart.h"
#include "actors/store/pump.h"
#include "actors/store/put.h"
#include "base/setting.h"

#define STORE_REQUEST_ID_BYTES 17

struct events;

/* What a process that serves has. Made in init_process. */
struct process {
    struct settings settings;
    struct store store;
    struct sigv4_signer *signer;
    ngx_thread_pool_t *threads;
    struct nginx_bus *bus;
    struct events *events;
};

/* One HTTP request, from our handler's first call to its end. In the request's pool. */
struct request {
    ngx_http_request_t *http;
    struct process *process;
    char id[STORE_REQUEST_ID_BYTES];
    /* As it was received, and what we made of it. */
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    struct sigv4_request wire;
    struct s3_request s3;
    struct authorization authorization;
    struct put put;
    /* A body on its way in. */
    struct upload *upload; /* of an object or a part */
    struct buffer xml;     /* of CompleteMultipartUpload */
    char *chunk;           /* gathers what one job writes */
    size_t chunk_bytes, chunk_capacity;
    /* The job. */
    ngx_thread_task_t task;
    void (*work)(struct request *request); /* in a thread: sets `error` */
    void (*done)(struct request *request); /* afterwards, in the loop */
    bool running;
    bool ended; /* nginx has ended the request while the job ran */
    /* How long all of it may take. */
    ngx_event_t timer;
    bool late; /* the time was over while the job ran */
    /* What it came to. */
    enum s3_error error;
    struct store_change change;
    struct buffer answer; /* XML */
    char upload_id[S3_UPLOAD_ID_BYTES];
};

extern ngx_module_t ngx_pixbus_store_module;

/* NULL in a process that does not serve. */
struct process *process_of(ngx_http_request_t *http);
/* NULL if our handler did not get that far. */
struct request *request_of(ngx_http_request_t *http);
void make_request_id(char id[STORE_REQUEST_ID_BYTES]);

static inline struct text text_of(ngx_str_t string) {
    return (struct text){(const char *)string.data, string.data != NULL ? string.len : 0};
}

/* ---- ngx_request.c ---- */

/* Content handlers: of all paths, and of error_page. */
ngx_int_t request_handle(ngx_http_request_t *http);
ngx_int_t request_handle_error(ngx_http_request_t *http);

/* The value of a header as it was received; absent if there is none. */
struct text request_header(const ngx_http_request_t *http, const char *name);

/* Run request->work in a thread, then request->done in the loop. False: the threads have too much to do. */
[[gnu::warn_unused_result]] bool request_run(struct request *request, void (*work)(struct request *),
                                             void (*done)(struct request *));

/* The same from a content handler: returns what it returns. */
ngx_int_t request_wait(struct request *request, void (*work)(struct request *), void (*done)(struct request *));

/* Set, or move, the time by which all must be over. */
void request_set_timer(struct request *request, ngx_msec_t milliseconds);

/* End a request that waited, with what ngx_http_finalize_request() takes. */
void request_end(struct request *request, ngx_int_t result);

/* ---- ngx_body.c ---- */

/* Read the body of PutObject, UploadPart or CompleteMultipartUpload and answer. For content handlers. */
ngx_int_t body_receive(struct request *request);
/* The time is over while no job runs. */
void body_late(struct request *request);
/* Give back what the body took. */
void body_release(struct request *request);

/* ---- ngx_answer.c: all return what ngx_http_finalize_request() takes ---- */

[[gnu::warn_unused_result]] bool answer_header(ngx_http_request_t *http, const char *name, struct text value);
ngx_int_t answer_empty(ngx_http_request_t *http, int status);
/* `body` is copied. */
ngx_int_t answer_text(ngx_http_request_t *http, int status, const char *type, struct text body);
/* `request` may be NULL: nginx itself came to the error. */
ngx_int_t answer_error(ngx_http_request_t *http, struct request *request, enum s3_error error);
/* GetObject and HeadObject, with ranges and conditions. */
ngx_int_t answer_object(struct request *request);

/* ---- ngx_events.c ---- */

[[gnu::warn_unused_result]] struct events *events_open(struct process *process, ngx_cycle_t *cycle);
/* After the threads have ended. Takes NULL. */
void events_close(struct events *events);
/* What a change came to. */
void events_notify(struct events *events, const struct store_change *change);

#endif
