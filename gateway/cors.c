#include "gateway/cors.h"

#define ORIGIN_BYTES_MAX 512
#define REQUESTED_BYTES_MAX 1024

/* scheme "://" host [":" port], or null: no blanks, no path, nothing that could end a header's value. */
static bool is_origin(struct text origin) {
    if (origin.size == 0 || origin.size > ORIGIN_BYTES_MAX)
        return false;
    if (text_equal(origin, TEXT("null")))
        return true;
    const char *colon = memchr(origin.data, ':', origin.size);
    if (colon == NULL || colon == origin.data)
        return false;
    size_t host = (size_t)(colon - origin.data) + 3;
    if (host >= origin.size || colon[1] != '/' || colon[2] != '/')
        return false;
    for (size_t i = 0; i < origin.size; i++) {
        unsigned char c = (unsigned char)origin.data[i];
        if (c <= ' ' || c >= 0x7f || c == ',' || c == '"' || c == '\\' ||
            (i >= host && (c == '/' || c == '?' || c == '#' || c == '@')))
            return false;
    }
    return true;
}

bool cors_allows(const char *origins, struct text origin) {
    if (!is_origin(origin))
        return false;
    for (const char *at = origins; *at != '\0';) {
        at += strspn(at, " \t");
        struct text allowed = {at, strcspn(at, " \t")};
        if (text_equal(allowed, TEXT("*")) || (allowed.size > 0 && text_equal_ignoring_case(allowed, origin)))
            return true;
        at += allowed.size;
    }
    return false;
}

/* A list of tokens (RFC 9110, section 5.6.1 and 5.6.2). */
static bool is_list_of_names(struct text list) {
    if (list.size == 0 || list.size > REQUESTED_BYTES_MAX)
        return false;
    for (size_t i = 0; i < list.size; i++) {
        char c = list.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr("!#$%&'*+-.^_`|~, \t", c) == NULL))
            return false;
    }
    return true;
}

struct text cors_allowed_headers(struct text requested) {
    return is_list_of_names(requested) ? requested : TEXT("Authorization, Content-Type, Idempotency-Key, traceparent");
}
