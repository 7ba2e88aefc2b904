/*
 * translate.h: what HTTP says to and from the messages of proto/: a request's path, query and body become the message's
 * request record, a reply becomes JSON, an error becomes {"code":…,"message":…}. Knows nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_TRANSLATE_H
#define PIXBUS_GATEWAY_TRANSLATE_H

#include "gateway/routes.h"

/* Room for the request record of any message that a route names. */
#define TRANSLATE_REQUEST_BYTES_MAX 256

/*
 * Fill the request record of match->route's message. `query` is what stands behind '?', may be absent; known parameters
 * may come once, unknown ones are left alone. `body` is looked at for INPUT_JSON only. What the path says wins over what
 * the body says. OK, or the error to answer, with *ret_detail set if there is more to say. Texts are borrowed from the
 * arguments or are in the arena.
 */
enum error translate_request(const struct route_match *match, struct text query, struct text body, struct arena *arena,
                             void *ret_request, struct text *ret_detail);

/*
 * Append the body of a success to `json`; `reply` is the message's reply in msgpack. If there is a next page, also append
 * its Link (RFC 8288) to `link`: this route's path with the query's parameters, but the cursor. OK, or `internal` if the
 * reply is not one, or does not fit.
 */
enum error translate_reply(const struct route *route, struct text query, struct text reply, struct arena *arena,
                           struct buffer *json, struct buffer *link);

/* Append the body of an error. The detail is shown for errors that the client can do something about. */
void translate_error(enum error error, struct text detail, struct buffer *json);

/*
 * Is this body one that INPUT_JSON takes? application/json, perhaps with charset=utf-8 (RFC 8259, section 11), in any case
 * and with the blanks of RFC 9110, section 8.3.1.
 */
bool translate_is_json(struct text content_type);

/* Is this a valid traceparent (W3C Trace Context, version 00 and above)? */
bool translate_is_traceparent(struct text traceparent);

#endif
