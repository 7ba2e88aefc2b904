#include <stdlib.h>

#include "actors/store/ngx_store.h"

#define CHUNK_BYTES (128 * 1024)  /* what one job writes; of each upload this much is in memory */
#define BODY_TIME_MS 60000        /* that any body may take */
#define BODY_BYTES_PER_S_MIN 8192 /* beyond that, how fast it must come on the whole */

static void receive(struct request *request);

/* ---- work in threads ---- */

static void work_write(struct request *request) {
    request->error = upload_write(request->upload, request->chunk, request->chunk_bytes);
}

static struct store_origin origin_of(const struct request *request) {
    return (struct store_origin){text_of(request->http->connection->addr_text), text_from(request->id)};
}

static void work_finish_upload(struct request *request) {
    struct store *store = &request->process->store;
    struct put *put = &request->put;
    const struct store_origin origin = origin_of(request);
    request->error = upload_write(request->upload, request->chunk, request->chunk_bytes);
    if (request->error == S3_OK)
        request->error = upload_seal(request->upload, &put->object);
    if (request->error != S3_OK)
        return;
    if (request->s3.operation == S3_OPERATION_UPLOAD_PART) {
        request->error = multipart_put(store, &request->s3, request->upload);
        return;
    }
    request->error = store_put(store, upload_path(request->upload), request->s3.bucket, &put->object, put->only_if_absent,
                               EVENT_PUT, &origin, &request->change);
    if (request->error == S3_OK && !put->only_if_absent)
        upload_moved(request->upload);
    upload_free(request->upload); /* here, not in the loop: it may have a file to remove */
    request->upload = NULL;
}

static bool has_payload_hash(const struct request *request) {
    uint8_t hash[SHA256_BYTES];
    struct digest *digest = digest_new(DIGEST_SHA256);
    if (digest == NULL)
        return false;
    digest_update(digest, request->xml.data, request->xml.size);
    digest_finish(digest, hash);
    digest_free(digest);
    return memcmp(hash, request->authorization.payload_sha256, sizeof hash) == 0;
}

static void work_complete(struct request *request) {
    const struct store_origin origin = origin_of(request);
    if (request->authorization.has_payload_sha256 && !has_payload_hash(request)) {
        request->error = S3_XAmzContentSHA256Mismatch;
        return;
    }
    request->error = multipart_complete(&request->process->store, &request->s3, buffer_text(&request->xml),
                                        request->put.only_if_absent, &origin, &request->put.object, &request->change);
}

/* ---- answers ---- */

static ngx_int_t answer_etag(struct request *request) {
    char etag[OBJECT_ETAG_BYTES + 2];
    (void)snprintf(etag, sizeof etag, "\"%s\"", request->put.object.etag);
    if (!answer_header(request->http, "ETag", text_from(etag)))
        return NGX_ERROR;
    return answer_empty(request->http, 200);
}

static void done_finish_upload(struct request *request) {
    events_notify(request->process->events, &request->change);
    request_end(request, request->error == S3_OK ? answer_etag(request) : answer_error(request->http, request, request->error));
}

static void done_complete(struct request *request) {
    struct buffer *answer = &request->answer;
    events_notify(request->process->events, &request->change);
    if (request->error != S3_OK) {
        request_end(request, answer_error(request->http, request, request->error));
        return;
    }
    buffer_printf(answer,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%.*s</Bucket><Key>",
                  TEXT_ARGUMENTS(request->s3.bucket));
    xml_write_text(request->s3.key, answer);
    buffer_printf(answer, "</Key><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>\n", request->put.object.etag);
    request_end(request, buffer_ok(answer) ? answer_text(request->http, 200, "application/xml", buffer_text(answer)) : NGX_ERROR);
}

/* ---- the body ---- */

static void end_with(struct request *request, enum s3_error error) {
    request_end(request, answer_error(request->http, request, error));
}

static void done_write(struct request *request) {
    request->chunk_bytes = 0;
    if (request->error != S3_OK)
        end_with(request, request->error);
    else if (request->late)
        body_late(request);
    else
        receive(request);
}

/* Take what nginx has read, as far as there is room. True: all of it. */
static bool take(struct request *request) {
    ngx_http_request_body_t *body = request->http->request_body;
    while (body->bufs != NULL) {
        ngx_buf_t *buffer = body->bufs->buf;
        size_t size = (size_t)(buffer->last - buffer->pos);
        if (request->upload == NULL) {
            buffer_append(&request->xml, buffer->pos, size); /* sticky when it is too much */
        } else {
            size_t room = request->chunk_capacity - request->chunk_bytes;
            size = size < room ? size : room;
            if (size > 0) /* the buffer that ends an empty body points nowhere */
                memcpy(request->chunk + request->chunk_bytes, buffer->pos, size);
            request->chunk_bytes += size;
        }
        buffer->pos += size;
        if (buffer->pos != buffer->last)
            return false;
        body->bufs = body->bufs->next;
    }
    return true;
}

/* The client waits for the disk, not we for the client. */
static void pause_reading(ngx_http_request_t *http) {
    if (http->connection->read->timer_set)
        ngx_del_timer(http->connection->read);
    http->read_event_handler = ngx_http_block_reading;
}

static void run(struct request *request, void (*work)(struct request *), void (*done)(struct request *)) {
    pause_reading(request->http);
    if (!request_run(request, work, done))
        end_with(request, S3_SlowDown);
}

static void received(struct request *request) {
    if (request->upload != NULL)
        run(request, work_finish_upload, done_finish_upload);
    else if (!buffer_ok(&request->xml))
        end_with(request, S3_MalformedXML);
    else
        run(request, work_complete, done_complete);
}

static void receive_event(ngx_http_request_t *http) {
    receive(request_of(http));
}

static void receive(struct request *request) {
    ngx_http_request_t *http = request->http;
    for (;;) {
        if (!take(request)) {
            run(request, work_write, done_write);
            return;
        }
        if (!http->reading_body) {
            received(request);
            return;
        }
        ngx_int_t result = ngx_http_read_unbuffered_request_body(http);
        if (result == NGX_HTTP_REQUEST_TIME_OUT) {
            end_with(request, S3_RequestTimeout);
            return;
        }
        if (result >= NGX_HTTP_SPECIAL_RESPONSE) {
            if (http->connection->error)
                request_end(request, result); /* the client is gone */
            else
                end_with(request, s3_error_of_status((int)result));
            return;
        }
        if (result == NGX_AGAIN && http->request_body->bufs == NULL) {
            http->read_event_handler = receive_event;
            return;
        }
    }
}

static void begin(ngx_http_request_t *http) {
    receive(request_of(http));
}

static enum s3_error prepare(struct request *request) {
    int64_t size = request->http->headers_in.content_length_n;
    if (request->s3.operation == S3_OPERATION_COMPLETE_UPLOAD) {
        request->xml.limit_bytes = MULTIPART_XML_BYTES_MAX;
        return size <= MULTIPART_XML_BYTES_MAX ? S3_OK : S3_MalformedXML;
    }
    request->chunk_capacity = size < CHUNK_BYTES ? (size_t)size : CHUNK_BYTES;
    request->chunk = malloc(request->chunk_capacity + 1); /* one more, for a body of none */
    request->upload = upload_new(&request->process->store, &request->put.promise);
    return request->chunk != NULL && request->upload != NULL ? S3_OK : S3_InternalError;
}

ngx_int_t body_receive(struct request *request) {
    ngx_http_request_t *http = request->http;
    enum s3_error error = prepare(request);
    if (error != S3_OK)
        return answer_error(http, request, error);
    request_set_timer(request, (ngx_msec_t)(BODY_TIME_MS + http->headers_in.content_length_n / BODY_BYTES_PER_S_MIN * 1000));
    http->request_body_no_buffering = 1;
    ngx_int_t result = ngx_http_read_client_request_body(http, begin);
    return result >= NGX_HTTP_SPECIAL_RESPONSE ? result : NGX_DONE;
}

void body_late(struct request *request) {
    end_with(request, S3_RequestTimeout);
}

/* ---- giving back ---- */

/* A file to remove, apart from its request. */
struct disposal {
    ngx_thread_task_t task;
    struct upload *upload;
};

static void dispose_work(void *data, ngx_log_t *log) {
    struct disposal *disposal = data;
    (void)log;
    upload_free(disposal->upload);
}

static void dispose_done(ngx_event_t *event) {
    free(event->data);
}

void body_release(struct request *request) {
    free(request->chunk);
    request->chunk = NULL;
    buffer_free(&request->xml);
    if (request->upload == NULL)
        return;
    struct disposal *disposal = calloc(1, sizeof *disposal);
    if (disposal != NULL) {
        disposal->upload = request->upload;
        disposal->task.ctx = disposal;
        disposal->task.handler = dispose_work;
        disposal->task.event.data = disposal;
        disposal->task.event.handler = dispose_done;
        disposal->task.event.log = ngx_cycle->log;
    }
    if (disposal == NULL || ngx_thread_task_post(request->process->threads, &disposal->task) != NGX_OK) {
        free(disposal);
        upload_free(request->upload);
    }
    request->upload = NULL;
}
