/*
 * routes.h: everything that HTTP reaches, in one table: method, path, the message that it becomes, who may ask, where the
 * message's fields come from and how its reply becomes a body. Knows nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_ROUTES_H
#define PIXBUS_GATEWAY_ROUTES_H

#include "proto/proto.h"

#define ROUTE_CAPTURES_MAX 2
#define ROUTE_SEGMENTS_MAX 6 /* of a pattern; a longer path is not found */

/* A set of them tells what a path allows. */
enum route_method { METHOD_GET = 1, METHOD_POST = 2, METHOD_PATCH = 4, METHOD_DELETE = 8, METHOD_HEAD = 16, METHOD_OPTIONS = 32 };

enum route_kind {
    ROUTE_MESSAGE, /* asked of a service by the bus */
    ROUTE_HEALTH,  /* the process serves */
    ROUTE_READY,   /* the bus and every service of this table are there */
    ROUTE_METRICS,
};

enum route_auth {
    AUTH_NONE,     /* an Authorization header is not looked at */
    AUTH_OPTIONAL, /* without the header: nobody in particular; a bad one is refused all the same */
    AUTH_REQUIRED,
};

/* Where fields come from beside the path. */
enum route_input { INPUT_NONE, INPUT_QUERY, INPUT_JSON };

/*
 * A pattern is literal segments and {field} segments, which set that field of the message's request. Paths are compared in
 * table order, so a literal stands before a {field} in the same place.
 */
struct route {
    enum route_method method;
    const char *pattern;
    enum route_kind kind;
    unsigned message;
    enum route_auth auth;
    enum route_input input;
    int status;       /* of success */
    const char *list; /* the reply's member that alone is the body, with a Link by its next_cursor; NULL: the whole reply */
};

extern const struct route route_table[];
extern const size_t route_count;

struct route_match {
    const struct route *route;
    unsigned allowed; /* enum route_method, of the path: also when the method is none of them */
    bool preflight;   /* OPTIONS: there is no route, the answer is `allowed` */
    size_t capture_count;
    struct {
        struct text name, value; /* decoded */
    } captures[ROUTE_CAPTURES_MAX];
};

/*
 * Find the route of a request. `path` is the target's path as the client sent it, before '?': each segment is decoded once
 * here, so that an encoded slash does not part segments. One slash at the end is ignored. HEAD is served as GET.
 * OK; not_found; method_not_allowed (ret_match->allowed then says which are); bad_request for a malformed escape.
 * Captures are borrowed from `path` or the arena.
 */
enum error route_find(struct text method, struct text path, struct arena *arena, struct route_match *ret_match);

/* "GET, HEAD, OPTIONS" for the header Allow. */
void route_allow(unsigned allowed, struct buffer *out);

const char *route_method_name(enum route_method method);

/* Decode %XX once; other characters are as they are ('+' is a plus). False for a malformed escape, a NUL, or no memory. */
[[gnu::warn_unused_result]] bool percent_decode(struct text encoded, struct arena *arena, struct text *ret_decoded);

/* The services that the table asks, each once, for ROUTE_READY. Returns their number. */
#define ROUTE_SERVICES_MAX 8
size_t route_services(struct text services[ROUTE_SERVICES_MAX]);

#endif
