#include "aws/s3.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "http/client.h"

#define CONNECT_TIMEOUT_US (2 * US_PER_S)
#define STALL_TIMEOUT_US (5 * US_PER_S)
#define ATTEMPTS_MAX 8
#define PAUSE_FIRST_US (100 * US_PER_MS) /* doubled with each attempt; a random part of it is waited */
#define PAUSE_MAX_US (2 * US_PER_S)
#define ERROR_BODY_BYTES 4096 /* of an answer whose body is not wanted */
#define URL_BYTES_MAX (256 + 3 * (LIMIT_OBJECT_KEY_BYTES + LIMIT_BUCKET_BYTES) + 16)
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_client {
    struct loop *loop;
    struct http_client *http;
    struct sigv4_signer *signer;
    struct digest *sha256;
    struct buffer origin; /* http://host:port */
    struct text host;     /* as it is sent: in origin */
    struct s3_operation *operations;
    size_t count, count_max;
    bool closing;
};

struct s3_operation {
    struct s3_client *client;
    const char *method;
    struct buffer url; /* origin and path */
    struct buffer content_type, cache_control, if_match;
    struct text body; /* of a put, borrowed */
    char body_sha256[SHA256_HEX_BYTES];
    size_t bytes_max;
    int64_t deadline_us;
    unsigned attempts;
    struct http_exchange *exchange; /* of this attempt; NULL in a pause */
    struct loop_timer pause;
    char detail[S3_DETAIL_BYTES]; /* of the last attempt */
    void (*done)(void *context, struct s3_result *result);
    void *context;
    struct s3_operation *next, **link;
};

const char *s3_outcome_name(enum s3_outcome outcome) {
    switch (outcome) {
    case S3_OK: return "ok";
    case S3_MISSING: return "missing";
    case S3_DENIED: return "denied";
    case S3_TOO_LARGE: return "too_large";
    case S3_PRECONDITION_FAILED: return "precondition_failed";
    case S3_UNAVAILABLE: return "unavailable";
    }
    return "unknown";
}

bool s3_endpoint_of_region(const char *region, char out[S3_ENDPOINT_BYTES]) {
    int size = snprintf(out, S3_ENDPOINT_BYTES, "https://s3.%s.amazonaws.com", region);
    return size > 0 && size < S3_ENDPOINT_BYTES;
}

/* curl sends the Host as it stands in the URL, but without the scheme's own port: sign the same. */
static bool set_origin(struct s3_client *client, const char *endpoint, const char *region) {
    char amazon[S3_ENDPOINT_BYTES];
    if (endpoint == NULL) {
        if (!s3_endpoint_of_region(region, amazon))
            return false;
        endpoint = amazon;
    }
    struct text origin = text_from(endpoint);
    bool secure = text_starts_with(origin, TEXT("https://"));
    if (!secure && !text_starts_with(origin, TEXT("http://")))
        return false;
    if (origin.data[origin.size - 1] == '/')
        origin.size--;
    buffer_append_text(&client->origin, origin);
    if (!buffer_ok(&client->origin))
        return false;
    size_t scheme_size = secure ? 8 : 7;
    struct text port = secure ? TEXT(":443") : TEXT(":80");
    client->host = (struct text){client->origin.data + scheme_size, client->origin.size - scheme_size};
    if (client->host.size > port.size && memcmp(client->host.data + client->host.size - port.size, port.data, port.size) == 0)
        client->host.size -= port.size;
    return client->host.size > 0 && memchr(client->host.data, '/', client->host.size) == NULL;
}

struct s3_client *s3_client_open(const struct s3_client_options *options) {
    struct s3_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->loop = options->loop;
    client->count_max = options->in_flight_max + options->queue_max;
    client->signer = sigv4_signer_new(&options->credentials);
    client->sha256 = digest_new(DIGEST_SHA256);
    client->http = http_client_open(&(struct http_client_options){
        .loop = options->loop, .in_flight_max = options->in_flight_max, .queue_max = options->queue_max});
    if (client->signer == NULL || client->sha256 == NULL || client->http == NULL ||
        !set_origin(client, options->endpoint, options->credentials.region)) {
        s3_client_close(client);
        return NULL;
    }
    return client;
}

static void operation_free(struct s3_operation *operation) {
    loop_timer_clear(&operation->pause);
    *operation->link = operation->next;
    if (operation->next != NULL)
        operation->next->link = operation->link;
    operation->client->count--;
    buffer_free(&operation->url);
    buffer_free(&operation->content_type);
    buffer_free(&operation->cache_control);
    buffer_free(&operation->if_match);
    free(operation);
}

static void operation_end(struct s3_operation *operation, struct s3_result *result) {
    if (result->outcome != S3_OK)
        memcpy(result->detail, operation->detail, sizeof result->detail);
    operation->done(operation->context, result);
    buffer_free(&result->body);
    operation_free(operation);
}

void s3_client_close(struct s3_client *client) {
    if (client == NULL)
        return;
    client->closing = true;
    http_client_close(client->http); /* ends those with an exchange */
    while (client->operations != NULL)
        operation_end(client->operations, &(struct s3_result){.outcome = S3_UNAVAILABLE});
    sigv4_signer_free(client->signer);
    digest_free(client->sha256);
    buffer_free(&client->origin);
    free(client);
}

static void attempt(struct s3_operation *operation);

static void pause_over(struct loop_timer *timer) {
    attempt(timer->context);
}

/* Try again after a random part of a pause that grows, unless the deadline comes first. */
static void try_again(struct s3_operation *operation) {
    int64_t now_us = clock_monotonic_us(), pause_us = PAUSE_FIRST_US << (operation->attempts - 1);
    uint32_t random;
    random_bytes(&random, sizeof random);
    if (pause_us > PAUSE_MAX_US)
        pause_us = PAUSE_MAX_US;
    pause_us = pause_us / 4 + (int64_t)random % pause_us;
    if (operation->client->closing || operation->attempts >= ATTEMPTS_MAX || now_us + pause_us >= operation->deadline_us) {
        operation_end(operation, &(struct s3_result){.outcome = S3_UNAVAILABLE});
        return;
    }
    loop_timer_set(operation->client->loop, &operation->pause, now_us + pause_us);
}

/* What stands between <name> and the next tag of S3's error document, which is a few lines of flat XML. */
static struct text error_member(struct text body, const char *open_tag) {
    size_t tag_size = strlen(open_tag);
    const char *start = body.size > 0 ? memmem(body.data, body.size, open_tag, tag_size) : NULL;
    if (start == NULL)
        return (struct text){0};
    start += tag_size;
    const char *end = memchr(start, '<', (size_t)(body.data + body.size - start));
    return end != NULL ? (struct text){start, (size_t)(end - start)} : (struct text){0};
}

static void note_detail(struct s3_operation *operation, const struct http_response *response, struct text code) {
    if (response->outcome != HTTP_ANSWERED)
        (void)snprintf(operation->detail, sizeof operation->detail, "%s", response->problem);
    else
        (void)snprintf(operation->detail, sizeof operation->detail, "status %d %.*s", response->status,
                       code.size < 64 ? (int)code.size : 64, code.data != NULL ? code.data : "");
    for (char *c = operation->detail; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
}

static bool is_passing_trouble(int status, struct text code) {
    return status >= 500 || status == 429 || status == 408 || status == 409 || text_equal(code, TEXT("SlowDown")) ||
           text_equal(code, TEXT("RequestTimeout"));
}

/* The answer's meaning. False: try again. */
[[gnu::warn_unused_result]] static bool judge(const struct s3_operation *operation, int status, struct text code,
                                              enum s3_outcome *ret_outcome) {
    if (status >= 200 && status < 300) {
        *ret_outcome = S3_OK;
    } else if (status == 404 && !text_equal(code, TEXT("NoSuchBucket"))) {
        *ret_outcome = strcmp(operation->method, "DELETE") == 0 ? S3_OK : S3_MISSING;
    } else if (status == 412) {
        *ret_outcome = S3_PRECONDITION_FAILED;
    } else if (status == 413 || text_equal(code, TEXT("EntityTooLarge"))) {
        *ret_outcome = S3_TOO_LARGE;
    } else if (is_passing_trouble(status, code)) {
        return false;
    } else {
        *ret_outcome = S3_DENIED;
    }
    return true;
}

static void fill_result(struct s3_result *result, const struct http_response *response) {
    struct text etag = http_response_header(response, "ETag"), length = http_response_header(response, "Content-Length");
    while (etag.size > 0 && etag.data[0] == '"')
        etag = (struct text){etag.data + 1, etag.size - 1};
    while (etag.size > 0 && etag.data[etag.size - 1] == '"')
        etag.size--;
    if (etag.data == NULL || !text_copy(etag, result->etag, sizeof result->etag))
        result->etag[0] = '\0';
    if (length.data == NULL || !text_to_u64(length, &result->size))
        result->size = response->body.size;
}

static void answered(void *context, struct http_response *response) {
    struct s3_operation *operation = context;
    struct s3_result result = {.outcome = S3_UNAVAILABLE};
    struct text code = response->status >= 300 ? error_member(buffer_text(&response->body), "<Code>") : (struct text){0};
    /* The status of an error counts even if its explanation was too long. */
    bool complete = response->outcome == HTTP_ANSWERED || (response->outcome == HTTP_TOO_LARGE && response->status >= 300);
    operation->exchange = NULL;
    note_detail(operation, response, code);
    if (response->outcome == HTTP_TOO_LARGE && !complete) {
        result.outcome = S3_TOO_LARGE;
    } else if (!complete || !judge(operation, response->status, code, &result.outcome)) {
        try_again(operation);
        return;
    }
    fill_result(&result, response);
    if (result.outcome == S3_OK) {
        result.body = response->body;
        response->body = (struct buffer){0};
    }
    operation_end(operation, &result);
}

static void add(struct sigv4_header *headers, size_t *count, struct text name, struct text value) {
    if (value.size > 0)
        headers[(*count)++] = (struct sigv4_header){name, value};
}

/* Sign with the time of this attempt and send. */
static bool send_attempt(struct s3_operation *operation) {
    struct s3_client *client = operation->client;
    struct sigv4_header headers[8];
    struct http_header sent[12];
    struct sigv4_signature signature;
    size_t count = 0, sent_count = 0;
    struct text url = buffer_text(&operation->url);
    add(headers, &count, TEXT("host"), client->host);
    add(headers, &count, TEXT("content-type"), buffer_text(&operation->content_type));
    add(headers, &count, TEXT("cache-control"), buffer_text(&operation->cache_control));
    add(headers, &count, TEXT("if-match"), buffer_text(&operation->if_match));
    struct text path = {url.data + client->origin.size, url.size - client->origin.size};
    const struct sigv4_request request = {text_from(operation->method), path, {0}, headers, count};
    if (!sigv4_sign(client->signer, &request, text_from(operation->body_sha256), clock_real_us(), &signature))
        return false;
    for (size_t i = 1; i < count; i++)
        sent[sent_count++] = (struct http_header){headers[i].name, headers[i].value};
    sent[sent_count++] = (struct http_header){TEXT("x-amz-date"), text_from(signature.date)};
    sent[sent_count++] = (struct http_header){TEXT("x-amz-content-sha256"), text_from(signature.payload_sha256)};
    sent[sent_count++] = (struct http_header){TEXT("authorization"), text_from(signature.authorization)};
    if (signature.session_token != NULL)
        sent[sent_count++] = (struct http_header){TEXT("x-amz-security-token"), text_from(signature.session_token)};
    operation->exchange = http_client_send(client->http, &(struct http_request){
                                                             .method = operation->method,
                                                             .url = url,
                                                             .headers = sent,
                                                             .header_count = sent_count,
                                                             .body = operation->body,
                                                             .response_bytes_max = operation->bytes_max,
                                                             .connect_timeout_us = CONNECT_TIMEOUT_US,
                                                             .stall_timeout_us = STALL_TIMEOUT_US,
                                                             .timeout_us = operation->deadline_us - clock_monotonic_us(),
                                                             .done = answered,
                                                             .context = operation,
                                                         });
    return operation->exchange != NULL;
}

static void attempt(struct s3_operation *operation) {
    operation->attempts++;
    if (!send_attempt(operation)) {
        (void)snprintf(operation->detail, sizeof operation->detail, "no memory for the request");
        try_again(operation);
    }
}

static struct s3_operation *operation_new(struct s3_client *client, const char *method, const struct s3_request *request) {
    struct s3_operation *operation = client->closing || client->count >= client->count_max ? NULL : calloc(1, sizeof *operation);
    if (operation == NULL)
        return NULL;
    operation->client = client;
    operation->method = method;
    operation->deadline_us = request->deadline_us;
    operation->done = request->done;
    operation->context = request->context;
    operation->bytes_max = ERROR_BODY_BYTES;
    operation->pause = (struct loop_timer){.fire = pause_over, .context = operation};
    operation->url.limit_bytes = URL_BYTES_MAX;
    memcpy(operation->body_sha256, EMPTY_SHA256, sizeof EMPTY_SHA256);
    operation->next = client->operations;
    operation->link = &client->operations;
    if (operation->next != NULL)
        operation->next->link = &operation->next;
    client->operations = operation;
    client->count++;
    buffer_append_text(&operation->url, buffer_text(&client->origin));
    sigv4_append_path(&operation->url, request->bucket, request->key);
    return operation;
}

/* The first attempt. NULL if it cannot even be sent, as nothing has begun then. */
static struct s3_operation *operation_begin(struct s3_operation *operation) {
    operation->attempts = 1;
    if (buffer_ok(&operation->url) && buffer_ok(&operation->content_type) && buffer_ok(&operation->cache_control) &&
        buffer_ok(&operation->if_match) && send_attempt(operation))
        return operation;
    operation_free(operation);
    return NULL;
}

struct s3_operation *s3_get(struct s3_client *client, const struct s3_request *request, size_t bytes_max, struct text if_match) {
    struct s3_operation *operation = operation_new(client, "GET", request);
    if (operation == NULL)
        return NULL;
    operation->bytes_max = bytes_max;
    if (if_match.size > 0) {
        buffer_append_text(&operation->if_match, TEXT("\""));
        buffer_append_text(&operation->if_match, if_match);
        buffer_append_text(&operation->if_match, TEXT("\""));
    }
    return operation_begin(operation);
}

struct s3_operation *s3_put(struct s3_client *client, const struct s3_request *request, struct text body,
                            struct text content_type, struct text cache_control) {
    uint8_t hash[SHA256_BYTES];
    assert(body.data != NULL);
    struct s3_operation *operation = operation_new(client, "PUT", request);
    if (operation == NULL)
        return NULL;
    operation->body = body;
    digest_update(client->sha256, body.data, body.size);
    digest_finish(client->sha256, hash);
    hex_encode(hash, sizeof hash, operation->body_sha256);
    buffer_append_text(&operation->content_type, content_type);
    buffer_append_text(&operation->cache_control, cache_control);
    return operation_begin(operation);
}

struct s3_operation *s3_head(struct s3_client *client, const struct s3_request *request) {
    struct s3_operation *operation = operation_new(client, "HEAD", request);
    return operation != NULL ? operation_begin(operation) : NULL;
}

struct s3_operation *s3_delete(struct s3_client *client, const struct s3_request *request) {
    struct s3_operation *operation = operation_new(client, "DELETE", request);
    return operation != NULL ? operation_begin(operation) : NULL;
}

void s3_cancel(struct s3_operation *operation) {
    if (operation->exchange != NULL)
        http_exchange_cancel(operation->exchange);
    operation_free(operation);
}
