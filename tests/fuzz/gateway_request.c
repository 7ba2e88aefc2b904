/* A request's method, path, query and body, a line each: it finds a route or an error, and what it becomes can be sent. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct text take_line(struct text *rest) {
    const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    struct text line = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size};
    size_t taken = line.size + (end != NULL);
    *rest = (struct text){rest->data + taken, rest->size - taken};
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct text body = {(const char *)data, size};
    struct text method = take_line(&body), path = take_line(&body), query = take_line(&body), detail = {0};
    struct route_match match;
    struct buffer packed = {.limit_bytes = LIMIT_MESSAGE_BYTES};
    struct arena arena;
    _Alignas(max_align_t) char record[TRANSLATE_REQUEST_BYTES_MAX];
    arena_init(&arena, LIMIT_ARENA_BYTES);
    enum error error = route_find(method, path, &arena, &match);
    assert((error == OK) == (match.route != NULL || match.preflight));
    if (error == OK && match.route != NULL && match.route->kind == ROUTE_MESSAGE &&
        translate_request(&match, query, body, &arena, record, &detail) == OK) {
        proto_encode(proto_message_find(match.route->message)->request, record, &packed);
        assert(buffer_ok(&packed));
    }
    (void)translate_is_json(query);
    (void)translate_is_traceparent(query);
    buffer_free(&packed);
    arena_free(&arena);
    return 0;
}
