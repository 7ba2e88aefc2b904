#include <unistd.h>

#include "actors/store/ngx_store.h"
#include "base/clock.h"
#include "base/log.h"

#define PUBLIC_CACHE_CONTROL "public, max-age=300" /* of a thumbnail that came without one; then its ETag is asked for */
#define DEFAULT_TYPE "binary/octet-stream"         /* as S3 has it */

bool answer_header(ngx_http_request_t *http, const char *name, struct text value) {
    ngx_table_elt_t *line = ngx_list_push(&http->headers_out.headers);
    u_char *copy = ngx_pnalloc(http->pool, value.size + 1);
    if (line == NULL || copy == NULL) {
        if (line != NULL)
            line->hash = 0; /* nginx leaves it out */
        return false;
    }
    (void)ngx_cpymem(copy, value.data, value.size);
    *line = (ngx_table_elt_t){
        .hash = 1,
        .key = {strlen(name), (u_char *)(uintptr_t)name},
        .value = {value.size, copy},
    };
    return true;
}

static void set_status(ngx_http_request_t *http, int status) {
    /* Conditions are judged by us alone: nginx's filter would take the If-None-Match of a PUT for a GET's. */
    http->disable_not_modified = 1;
    http->headers_out.status = (ngx_uint_t)status;
    if (http->err_status != 0)
        http->err_status = (ngx_uint_t)status; /* nginx would send this instead */
}

ngx_int_t answer_empty(ngx_http_request_t *http, int status) {
    set_status(http, status);
    http->headers_out.content_length_n = status == 204 ? -1 : 0;
    http->header_only = 1;
    return ngx_http_send_header(http);
}

static ngx_int_t send_text(ngx_http_request_t *http, struct text body) {
    http->headers_out.content_length_n = (off_t)body.size;
    ngx_int_t result = ngx_http_send_header(http);
    if (result == NGX_ERROR || result > NGX_OK || http->header_only)
        return result;
    ngx_buf_t *buffer = ngx_create_temp_buf(http->pool, body.size);
    if (buffer == NULL)
        return NGX_ERROR;
    buffer->last = ngx_cpymem(buffer->last, body.data, body.size);
    buffer->last_buf = buffer->last_in_chain = 1;
    ngx_chain_t chain = {.buf = buffer};
    return ngx_http_output_filter(http, &chain);
}

ngx_int_t answer_text(ngx_http_request_t *http, int status, const char *type, struct text body) {
    set_status(http, status);
    http->headers_out.content_type = (ngx_str_t){strlen(type), (u_char *)(uintptr_t)type};
    http->headers_out.content_type_len = strlen(type);
    return send_text(http, body);
}

/* A body that we do not read: say so at once, without asking for it, and close. */
static void leave_body(ngx_http_request_t *http) {
    bool has_body = http->headers_in.content_length_n > 0 || http->headers_in.chunked;
    if (has_body && (http->request_body == NULL || http->reading_body)) {
        http->expect_tested = 1;
        http->keepalive = 0;
        http->lingering_close = 1;
    }
}

static void log_failure(const ngx_http_request_t *http, const struct request *request, enum s3_error error) {
    char method[16];
    (void)!text_copy((struct text){(const char *)http->method_name.data, http->method_name.len}, method, sizeof method);
    log_event(LOG_LEVEL_ERROR, "request_failed", "request_id", request != NULL ? request->id : "", "error", s3_error_name(error),
              "method", method, NULL);
}

ngx_int_t answer_error(ngx_http_request_t *http, struct request *request, enum s3_error error) {
    char id[STORE_REQUEST_ID_BYTES] = "";
    struct buffer body = {0};
    if (error == S3_InternalError || error == S3_InsufficientStorage)
        log_failure(http, request, error);
    leave_body(http);
    if (request != NULL)
        memcpy(id, request->id, sizeof id);
    s3_error_write(error, request != NULL ? request->s3.path : (struct text){0}, text_from(id), &body);
    ngx_int_t result = NGX_ERROR;
    if (buffer_ok(&body) &&
        (error != S3_MethodNotAllowed || answer_header(http, "Allow", TEXT("GET, HEAD, PUT, POST, DELETE, OPTIONS"))) &&
        (s3_error_status(error) != 503 || answer_header(http, "Retry-After", TEXT("1"))))
        result = answer_text(http, s3_error_status(error), "application/xml", buffer_text(&body));
    buffer_free(&body);
    return result;
}

/* ---- objects ---- */

static struct text stored(const struct object *object, struct text name) {
    for (size_t i = 0; i < object->header_count; i++)
        if (text_equal_ignoring_case(object->headers[i].name, name))
            return object->headers[i].value;
    return (struct text){0};
}

static char *copy_name(ngx_http_request_t *http, struct text name) {
    char *copy = ngx_pnalloc(http->pool, name.size + 1);
    if (copy != NULL) {
        memcpy(copy, name.data, name.size);
        copy[name.size] = '\0';
    }
    return copy;
}

/* Headers that the client stored with the object, or asks for in a signed query. */
static bool add_stored(ngx_http_request_t *http, const struct request *request, const struct object *object) {
    struct text type = request->s3.response_type, cache = request->s3.response_cache_control;
    struct text disposition = request->s3.response_disposition;
    if (cache.size == 0)
        cache = stored(object, TEXT("cache-control"));
    if (cache.size == 0 && text_equal(request->s3.bucket, request->process->store.buckets[1]))
        cache = TEXT(PUBLIC_CACHE_CONTROL);
    if (disposition.size == 0)
        disposition = stored(object, TEXT("content-disposition"));
    if (type.size == 0)
        type = stored(object, TEXT("content-type"));
    if (type.size == 0)
        type = TEXT(DEFAULT_TYPE);
    char *copy = copy_name(http, type);
    if (copy == NULL)
        return false;
    http->headers_out.content_type = (ngx_str_t){type.size, (u_char *)copy};
    http->headers_out.content_type_len = type.size;
    for (size_t i = 0; i < object->header_count; i++) {
        struct text name = object->headers[i].name;
        if (text_equal_ignoring_case(name, TEXT("content-type")) || text_equal_ignoring_case(name, TEXT("cache-control")) ||
            text_equal_ignoring_case(name, TEXT("content-disposition")))
            continue;
        copy = copy_name(http, name);
        if (copy == NULL || !answer_header(http, copy, object->headers[i].value))
            return false;
    }
    return (cache.size == 0 || answer_header(http, "Cache-Control", cache)) &&
           (disposition.size == 0 || answer_header(http, "Content-Disposition", disposition));
}

static bool add_validators(ngx_http_request_t *http, const struct object *object) {
    char etag[OBJECT_ETAG_BYTES + 2];
    (void)snprintf(etag, sizeof etag, "\"%s\"", object->etag);
    http->headers_out.last_modified_time = (time_t)(object->modified_us / US_PER_S);
    return answer_header(http, "ETag", text_from(etag)) && answer_header(http, "Accept-Ranges", TEXT("bytes"));
}

/* The descriptor goes with the request. */
static ngx_file_t *own_file(ngx_http_request_t *http, int fd) {
    ngx_file_t *file = ngx_pcalloc(http->pool, sizeof *file);
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(http->pool, sizeof(ngx_pool_cleanup_file_t));
    if (file == NULL || cleanup == NULL) {
        if (cleanup != NULL)
            cleanup->handler = NULL;
        (void)close(fd);
        return NULL;
    }
    ngx_pool_cleanup_file_t *owner = cleanup->data;
    file->fd = fd;
    file->name = (ngx_str_t)ngx_string("object");
    file->log = http->connection->log;
    cleanup->handler = ngx_pool_cleanup_file;
    *owner = (ngx_pool_cleanup_file_t){.fd = fd, .name = (u_char *)(uintptr_t) "object", .log = http->pool->log};
    return file;
}

static ngx_int_t send_file(ngx_http_request_t *http, ngx_file_t *file, uint64_t first, uint64_t size) {
    http->headers_out.content_length_n = (off_t)size;
    ngx_int_t result = ngx_http_send_header(http);
    if (result == NGX_ERROR || result > NGX_OK || http->header_only)
        return result;
    if (size == 0)
        return ngx_http_send_special(http, NGX_HTTP_LAST);
    ngx_buf_t *buffer = ngx_calloc_buf(http->pool);
    if (buffer == NULL)
        return NGX_ERROR;
    buffer->file = file;
    buffer->in_file = 1;
    buffer->file_pos = (off_t)first;
    buffer->file_last = (off_t)(first + size);
    buffer->last_buf = buffer->last_in_chain = 1;
    ngx_chain_t chain = {.buf = buffer};
    return ngx_http_output_filter(http, &chain);
}

static ngx_int_t send_whole_or_range(struct request *request, const struct object *object, const struct conditions *conditions,
                                     ngx_file_t *file) {
    ngx_http_request_t *http = request->http;
    uint64_t first = 0, last = 0;
    char range[80];
    enum range_result result = RANGE_NONE;
    if (conditions_allow_range(conditions, text_from(object->etag), object->modified_us))
        result = range_parse(request_header(http, "range"), object->size_bytes, &first, &last);
    if (result == RANGE_UNSATISFIABLE) {
        (void)snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)object->size_bytes);
        return answer_header(http, "Content-Range", text_from(range)) ? answer_error(http, request, S3_InvalidRange) : NGX_ERROR;
    }
    if (!add_validators(http, object) || !add_stored(http, request, object))
        return NGX_ERROR;
    set_status(http, result == RANGE_GIVEN ? 206 : 200);
    if (result == RANGE_NONE)
        return send_file(http, file, 0, object->size_bytes);
    (void)snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                   (unsigned long long)object->size_bytes);
    return answer_header(http, "Content-Range", text_from(range)) ? send_file(http, file, first, last - first + 1) : NGX_ERROR;
}

ngx_int_t answer_object(struct request *request) {
    ngx_http_request_t *http = request->http;
    struct object object;
    enum s3_error error;
    int fd = store_get(&request->process->store, request->s3.bucket, request->s3.key, &object, &error);
    if (fd < 0)
        return answer_error(http, request, error);
    ngx_file_t *file = own_file(http, fd);
    if (file == NULL)
        return NGX_ERROR;
    const struct conditions conditions = {
        .if_match = request_header(http, "if-match"),
        .if_none_match = request_header(http, "if-none-match"),
        .if_modified_since = request_header(http, "if-modified-since"),
        .if_unmodified_since = request_header(http, "if-unmodified-since"),
        .if_range = request_header(http, "if-range"),
    };
    switch (conditions_check(&conditions, text_from(object.etag), object.modified_us)) {
    case CONDITION_HOLDS: return send_whole_or_range(request, &object, &conditions, file);
    case CONDITION_NOT_MODIFIED:
        return add_validators(http, &object) && add_stored(http, request, &object) ? answer_empty(http, 304) : NGX_ERROR;
    case CONDITION_FAILED: return answer_error(http, request, S3_PreconditionFailed);
    }
    return NGX_ERROR;
}
