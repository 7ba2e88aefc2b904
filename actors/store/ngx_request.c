#include "actors/store/ngx_store.h"
#include "base/clock.h"
#include "base/random.h"

#define JOB_TIME_MS 60000 /* looked after again then: only the answer to a body can be given up */
#define PREFLIGHT_AGE "3600"

void make_request_id(char id[STORE_REQUEST_ID_BYTES]) {
    uint64_t number;
    random_bytes(&number, sizeof number);
    (void)snprintf(id, STORE_REQUEST_ID_BYTES, "%016llX", (unsigned long long)number);
}

struct request *request_of(ngx_http_request_t *http) {
    return ngx_http_get_module_ctx(http, ngx_pixbus_store_module);
}

struct text request_header(const ngx_http_request_t *http, const char *name) {
    struct text wanted = text_from(name);
    for (const ngx_list_part_t *part = &http->headers_in.headers.part; part != NULL; part = part->next) {
        const ngx_table_elt_t *lines = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (text_equal((struct text){(const char *)lines[i].lowcase_key, lines[i].key.len}, wanted))
                return text_of(lines[i].value);
    }
    return (struct text){0};
}

/* ---- waiting ---- */

void request_end(struct request *request, ngx_int_t result) {
    ngx_connection_t *connection = request->http->connection;
    ngx_http_finalize_request(request->http, result);
    ngx_http_run_posted_requests(connection);
}

static void timer_fired(ngx_event_t *event) {
    struct request *request = event->data;
    if (!request->running) {
        body_late(request);
        return;
    }
    request->late = true;
    request_set_timer(request, 1000); /* a draining worker stays while a timer is set */
}

void request_set_timer(struct request *request, ngx_msec_t milliseconds) {
    request->timer.handler = timer_fired;
    request->timer.data = request;
    request->timer.log = request->http->connection->log;
    ngx_add_timer(&request->timer, milliseconds);
}

static void release(struct request *request) {
    body_release(request);
    buffer_free(&request->answer);
}

/* nginx is done with the request, for whatever reason. */
static void cleanup(void *data) {
    struct request *request = data;
    if (request->timer.timer_set)
        ngx_del_timer(&request->timer);
    request->ended = true;
    if (!request->running)
        release(request);
}

static void job_work(void *data, ngx_log_t *log) {
    struct request *request = data;
    (void)log;
    request->work(request);
}

static void job_done(ngx_event_t *event) {
    struct request *request = event->data;
    ngx_http_request_t *http = request->http;
    request->running = false;
    http->main->blocked--;
    http->aio = 0;
    if (!request->ended) {
        request->done(request);
        return;
    }
    /* Nobody waits for the answer, but others may wait for the event. */
    events_notify(request->process->events, &request->change);
    release(request);
    http->connection->write->handler(http->connection->write); /* nginx goes on with ending it */
}

bool request_run(struct request *request, void (*work)(struct request *), void (*done)(struct request *)) {
    request->work = work;
    request->done = done;
    request->task = (ngx_thread_task_t){.ctx = request, .handler = job_work};
    request->task.event.data = request;
    request->task.event.handler = job_done;
    request->task.event.log = request->http->connection->log;
    if (ngx_thread_task_post(request->process->threads, &request->task) != NGX_OK)
        return false;
    request->running = true;
    request->http->main->blocked++;
    request->http->aio = 1;
    return true;
}

ngx_int_t request_wait(struct request *request, void (*work)(struct request *), void (*done)(struct request *)) {
    if (!request_run(request, work, done))
        return answer_error(request->http, request, S3_SlowDown);
    request_set_timer(request, JOB_TIME_MS);
    request->http->main->count++;
    return NGX_DONE;
}

/* ---- operations that need a thread and no body ---- */

static void done_xml(struct request *request) {
    request_end(request, request->error == S3_OK
                             ? answer_text(request->http, 200, "application/xml", buffer_text(&request->answer))
                             : answer_error(request->http, request, request->error));
}

static void done_deletion(struct request *request) {
    events_notify(request->process->events, &request->change);
    request_end(request, request->error == S3_OK ? answer_empty(request->http, 204)
                                                 : answer_error(request->http, request, request->error));
}

static void work_delete(struct request *request) {
    const struct store_origin origin = {text_of(request->http->connection->addr_text), text_from(request->id)};
    request->error = store_delete(&request->process->store, request->s3.bucket, request->s3.key, &origin, &request->change);
}

static void work_abort(struct request *request) {
    request->error = multipart_abort(&request->process->store, &request->s3);
}

static void work_list(struct request *request) {
    request->error = listing_write(&request->process->store, &request->s3, &request->answer);
}

static void work_create_upload(struct request *request) {
    struct buffer *answer = &request->answer;
    request->error = multipart_create(&request->process->store, request->s3.bucket, &request->put.object, request->upload_id);
    buffer_printf(answer,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%.*s</Bucket><Key>",
                  TEXT_ARGUMENTS(request->s3.bucket));
    xml_write_text(request->s3.key, answer);
    buffer_printf(answer, "</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>\n", request->upload_id);
    if (request->error == S3_OK && !buffer_ok(answer))
        request->error = S3_InternalError;
}

/* ---- the others ---- */

static ngx_int_t answer_preflight(struct request *request) {
    ngx_http_request_t *http = request->http;
    struct text asked = request_header(http, "access-control-request-headers");
    if (request_header(http, "origin").data == NULL || request_header(http, "access-control-request-method").data == NULL)
        return answer_error(http, request, S3_BadRequest);
    if (!answer_header(http, "Access-Control-Allow-Methods", TEXT("GET, HEAD, PUT, POST, DELETE")) ||
        !answer_header(http, "Access-Control-Max-Age", TEXT(PREFLIGHT_AGE)) ||
        !answer_header(http, "Vary", TEXT("Access-Control-Request-Headers, Access-Control-Request-Method")) ||
        (asked.data != NULL && !answer_header(http, "Access-Control-Allow-Headers", asked)))
        return NGX_ERROR;
    return answer_empty(http, 200);
}

static ngx_int_t answer_location(struct request *request) {
    struct buffer body = {0};
    struct text region = request->process->store.region;
    bool is_default = text_equal(region, TEXT("us-east-1")); /* which S3 leaves empty */
    buffer_printf(&body,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%.*s</LocationConstraint>\n",
                  is_default ? 0 : (int)region.size, region.data);
    ngx_int_t result = buffer_ok(&body) ? answer_text(request->http, 200, "application/xml", buffer_text(&body)) : NGX_ERROR;
    buffer_free(&body);
    return result;
}

static ngx_int_t answer_buckets(struct request *request) {
    struct buffer body = {0};
    listing_write_buckets(&request->process->store, &body);
    ngx_int_t result = buffer_ok(&body) ? answer_text(request->http, 200, "application/xml", buffer_text(&body)) : NGX_ERROR;
    buffer_free(&body);
    return result;
}

static ngx_int_t answer_bucket(struct request *request) {
    if (!answer_header(request->http, "x-amz-bucket-region", request->process->store.region))
        return NGX_ERROR;
    return answer_empty(request->http, 200);
}

/* PutObject, UploadPart, CompleteMultipartUpload: everything that can be refused is, before the body is read. */
static ngx_int_t receive_body(struct request *request) {
    ngx_http_request_t *http = request->http;
    int64_t size = http->headers_in.content_length_n;
    if (http->headers_in.chunked || size < 0)
        return answer_error(http, request, S3_MissingContentLength);
    if ((uint64_t)size > request->process->store.object_bytes_max)
        return answer_error(http, request, S3_EntityTooLarge);
    enum s3_error error = put_parse(&request->wire, &request->authorization, request->s3.key, (uint64_t)size, &request->put);
    if (error == S3_OK && request->s3.operation == S3_OPERATION_UPLOAD_PART) {
        error = multipart_check(&request->process->store, &request->s3);
        request->put.object.header_count = 0; /* those of the whole were given before */
    }
    return error == S3_OK ? body_receive(request) : answer_error(http, request, error);
}

static ngx_int_t create_upload(struct request *request) {
    enum s3_error error = put_parse(&request->wire, &request->authorization, request->s3.key, 0, &request->put);
    return error == S3_OK ? request_wait(request, work_create_upload, done_xml) : answer_error(request->http, request, error);
}

static bool has_body(const struct request *request) {
    return request->s3.operation == S3_OPERATION_PUT_OBJECT || request->s3.operation == S3_OPERATION_UPLOAD_PART ||
           request->s3.operation == S3_OPERATION_COMPLETE_UPLOAD;
}

static ngx_int_t operate(struct request *request) {
    if (!has_body(request) && ngx_http_discard_request_body(request->http) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    switch (request->s3.operation) {
    case S3_OPERATION_LIST_BUCKETS: return answer_buckets(request);
    case S3_OPERATION_HEAD_BUCKET:
    case S3_OPERATION_CREATE_BUCKET: /* of one that is there, as S3 in us-east-1 */ return answer_bucket(request);
    case S3_OPERATION_BUCKET_LOCATION: return answer_location(request);
    case S3_OPERATION_LIST_OBJECTS: return request_wait(request, work_list, done_xml);
    case S3_OPERATION_GET_OBJECT:
    case S3_OPERATION_HEAD_OBJECT: return answer_object(request);
    case S3_OPERATION_PUT_OBJECT:
    case S3_OPERATION_UPLOAD_PART:
    case S3_OPERATION_COMPLETE_UPLOAD: return receive_body(request);
    case S3_OPERATION_DELETE_OBJECT: return request_wait(request, work_delete, done_deletion);
    case S3_OPERATION_CREATE_UPLOAD: return create_upload(request);
    case S3_OPERATION_ABORT_UPLOAD: return request_wait(request, work_abort, done_deletion);
    case S3_OPERATION_PREFLIGHT: return answer_preflight(request);
    }
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* ---- a request from its beginning ---- */

static bool gather_headers(struct request *request) {
    ngx_http_request_t *http = request->http;
    for (const ngx_list_part_t *part = &http->headers_in.headers.part; part != NULL; part = part->next) {
        const ngx_table_elt_t *lines = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (request->wire.header_count == SIGV4_HEADERS_MAX)
                return false;
            request->headers[request->wire.header_count++] = (struct sigv4_header){text_of(lines[i].key),
                                                                                   text_of(lines[i].value)};
        }
    }
    request->wire.headers = request->headers;
    return true;
}

static struct request *begin(ngx_http_request_t *http, struct process *process) {
    ngx_http_cleanup_t *handler = ngx_http_cleanup_add(http, 0);
    struct request *request = ngx_pcalloc(http->pool, sizeof *request);
    if (request == NULL || handler == NULL)
        return NULL;
    request->http = http;
    request->process = process;
    make_request_id(request->id);
    handler->handler = cleanup;
    handler->data = request;
    ngx_http_set_ctx(http, request, ngx_pixbus_store_module);
    return request;
}

ngx_int_t request_handle(ngx_http_request_t *http) {
    struct process *process = process_of(http);
    struct authorization *authorization;
    if (text_equal(text_of(http->unparsed_uri), TEXT("/healthz"))) {
        if (ngx_http_discard_request_body(http) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        return answer_text(http, 200, "text/plain", TEXT("ok\n"));
    }
    struct request *request = begin(http, process);
    if (request == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    enum s3_error error = s3_request_parse(text_of(http->method_name), text_of(http->unparsed_uri), &request->s3);
    if (error == S3_OK && !gather_headers(request))
        error = S3_RequestHeaderSectionTooLarge;
    if (error != S3_OK)
        return answer_error(http, request, error);
    request->wire.method = text_of(http->method_name);
    request->wire.path = request->s3.path;
    request->wire.query = request->s3.query;
    if (request->s3.operation == S3_OPERATION_PREFLIGHT)
        return operate(request);
    authorization = &request->authorization;
    error = authorize(process->signer, &request->s3, &request->wire, process->store.buckets[1], clock_real_us(), authorization);
    if (error == S3_OK && request->s3.bucket.data != NULL && !store_has_bucket(&process->store, request->s3.bucket))
        error = request->s3.operation == S3_OPERATION_CREATE_BUCKET ? S3_NotImplemented : S3_NoSuchBucket;
    return error == S3_OK ? operate(request) : answer_error(http, request, error);
}

ngx_int_t request_handle_error(ngx_http_request_t *http) {
    return answer_error(http, NULL, s3_error_of_status((int)http->err_status));
}
