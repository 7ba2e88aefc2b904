#include "gateway/routes.h"

#include <assert.h>

#define API "/api/v0"

const struct route route_table[] = {
    {METHOD_POST, API "/users/auth", ROUTE_MESSAGE, MESSAGE_users_register, AUTH_NONE, INPUT_JSON, 201, NULL},
    {METHOD_POST, API "/users/auth/login", ROUTE_MESSAGE, MESSAGE_users_login, AUTH_NONE, INPUT_JSON, 200, NULL},
    {METHOD_GET, API "/users/auth/verification", ROUTE_MESSAGE, MESSAGE_users_verify, AUTH_REQUIRED, INPUT_NONE, 200, NULL},
    {METHOD_GET, API "/users/{email}", ROUTE_MESSAGE, MESSAGE_users_get, AUTH_NONE, INPUT_NONE, 200, NULL},
    {METHOD_GET, API "/feed", ROUTE_MESSAGE, MESSAGE_feed_list, AUTH_OPTIONAL, INPUT_QUERY, 200, "items"},
    {METHOD_POST, API "/feed", ROUTE_MESSAGE, MESSAGE_feed_create, AUTH_REQUIRED, INPUT_JSON, 201, NULL},
    {METHOD_GET, API "/feed/thumbnails", ROUTE_MESSAGE, MESSAGE_feed_thumbnails, AUTH_NONE, INPUT_QUERY, 200, "items"},
    {METHOD_GET, API "/feed/signed-url/{image_id}", ROUTE_MESSAGE, MESSAGE_feed_sign, AUTH_REQUIRED, INPUT_NONE, 200, NULL},
    {METHOD_GET, API "/feed/{id}", ROUTE_MESSAGE, MESSAGE_feed_get, AUTH_REQUIRED, INPUT_NONE, 200, NULL},
    {METHOD_PATCH, API "/feed/{id}", ROUTE_MESSAGE, MESSAGE_feed_update, AUTH_REQUIRED, INPUT_JSON, 200, NULL},
    {METHOD_DELETE, API "/feed/{id}", ROUTE_MESSAGE, MESSAGE_feed_delete, AUTH_REQUIRED, INPUT_NONE, 200, NULL},
    {METHOD_GET, API "/feed/{id}/thumbnail", ROUTE_MESSAGE, MESSAGE_feed_thumbnail, AUTH_NONE, INPUT_NONE, 200, NULL},
    {METHOD_GET, "/healthz", ROUTE_HEALTH, 0, AUTH_NONE, INPUT_NONE, 200, NULL},
    {METHOD_GET, "/readyz", ROUTE_READY, MESSAGE_bus_services, AUTH_NONE, INPUT_NONE, 200, NULL},
    {METHOD_GET, "/metrics", ROUTE_METRICS, 0, AUTH_NONE, INPUT_NONE, 200, NULL},
};
const size_t route_count = sizeof route_table / sizeof *route_table;

static const struct {
    enum route_method method;
    const char *name;
} methods[] = {
    {METHOD_GET, "GET"},     {METHOD_HEAD, "HEAD"},     {METHOD_POST, "POST"},
    {METHOD_PATCH, "PATCH"}, {METHOD_DELETE, "DELETE"}, {METHOD_OPTIONS, "OPTIONS"},
};
#define METHOD_COUNT (sizeof methods / sizeof *methods)

const char *route_method_name(enum route_method method) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "";
}

static unsigned method_number(struct text name) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (text_equal(name, text_from(methods[i].name)))
            return methods[i].method;
    return 0;
}

void route_allow(unsigned allowed, struct buffer *out) {
    const char *separator = "";
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if ((allowed & methods[i].method) != 0) {
            buffer_printf(out, "%s%s", separator, methods[i].name);
            separator = ", ";
        }
    }
}

bool percent_decode(struct text encoded, struct arena *arena, struct text *ret_decoded) {
    if (encoded.size == 0 || memchr(encoded.data, '%', encoded.size) == NULL) {
        *ret_decoded = encoded;
        return encoded.size == 0 || memchr(encoded.data, '\0', encoded.size) == NULL;
    }
    char *decoded = arena_alloc(arena, encoded.size);
    size_t size = 0;
    if (decoded == NULL)
        return false;
    for (size_t i = 0; i < encoded.size; i++) {
        uint8_t byte = (uint8_t)encoded.data[i];
        if (byte == '%') {
            if (encoded.size - i < 3 || !hex_decode((struct text){encoded.data + i + 1, 2}, &byte, 1))
                return false;
            i += 2;
        }
        if (byte == 0)
            return false;
        decoded[size++] = (char)byte;
    }
    *ret_decoded = (struct text){decoded, size};
    return true;
}

/* Take the text up to the next slash, and the slash, off the front. *ret_more: there was a slash. */
static struct text take_segment(struct text *path, bool *ret_more) {
    const char *slash = path->size > 0 ? memchr(path->data, '/', path->size) : NULL;
    struct text segment = {path->data, slash != NULL ? (size_t)(slash - path->data) : path->size};
    size_t taken = segment.size + (slash != NULL);
    *path = (struct text){path->data + taken, path->size - taken};
    *ret_more = slash != NULL;
    return segment;
}

/* The path's segments, decoded. A path that no pattern can match has more than ROUTE_SEGMENTS_MAX of them. */
struct path {
    struct text segments[ROUTE_SEGMENTS_MAX];
    size_t count;
};

static enum error split(struct text path, struct arena *arena, struct path *ret_path) {
    ret_path->count = 0;
    if (path.size == 0 || path.data[0] != '/')
        return ERROR_not_found;
    struct text rest = {path.data + 1, path.size - 1};
    if (rest.size > 0 && rest.data[rest.size - 1] == '/')
        rest.size--;
    for (bool more = rest.size > 0; more;) {
        if (ret_path->count == ROUTE_SEGMENTS_MAX)
            return ERROR_not_found;
        struct text segment = take_segment(&rest, &more);
        if (!percent_decode(segment, arena, &ret_path->segments[ret_path->count++]))
            return ERROR_bad_request;
    }
    return OK;
}

static bool matches(const struct route *route, const struct path *path, struct route_match *match) {
    struct text pattern = text_from(route->pattern + 1);
    bool more = true;
    match->capture_count = 0;
    for (size_t i = 0; i < path->count; i++) {
        if (!more)
            return false;
        struct text expected = take_segment(&pattern, &more);
        if (expected.data[0] != '{') {
            if (!text_equal(expected, path->segments[i]))
                return false;
        } else {
            if (path->segments[i].size == 0)
                return false;
            assert(match->capture_count < ROUTE_CAPTURES_MAX);
            match->captures[match->capture_count].name = (struct text){expected.data + 1, expected.size - 2};
            match->captures[match->capture_count++].value = path->segments[i];
        }
    }
    return !more;
}

/* `first` is the first route of its pattern: choose among all of the same pattern. */
static enum error choose_method(const struct route *first, unsigned method, struct route_match *match) {
    unsigned wanted = method == METHOD_HEAD ? METHOD_GET : method;
    match->allowed = METHOD_OPTIONS;
    for (const struct route *route = first; route < route_table + route_count; route++) {
        if (strcmp(route->pattern, first->pattern) != 0)
            continue;
        match->allowed |= route->method | (route->method == METHOD_GET ? METHOD_HEAD : 0u);
        if (route->method == wanted)
            match->route = route;
    }
    match->preflight = method == METHOD_OPTIONS;
    return match->route != NULL || match->preflight ? OK : ERROR_method_not_allowed;
}

enum error route_find(struct text method, struct text path, struct arena *arena, struct route_match *ret_match) {
    struct path split_path;
    *ret_match = (struct route_match){0};
    enum error error = split(path, arena, &split_path);
    if (error != OK)
        return error;
    for (size_t i = 0; i < route_count; i++)
        if (matches(&route_table[i], &split_path, ret_match))
            return choose_method(&route_table[i], method_number(method), ret_match);
    return ERROR_not_found;
}

size_t route_services(struct text services[ROUTE_SERVICES_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < route_count; i++) {
        if (route_table[i].kind != ROUTE_MESSAGE)
            continue;
        struct text service = proto_message_find(route_table[i].message)->service;
        size_t known = 0;
        while (known < count && !text_equal(services[known], service))
            known++;
        if (known == count) {
            assert(count < ROUTE_SERVICES_MAX);
            services[count++] = service;
        }
    }
    return count;
}
