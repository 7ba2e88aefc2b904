/*
 * cors.h: which web pages may call us (the CORS protocol of the Fetch standard). Knows nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_CORS_H
#define PIXBUS_GATEWAY_CORS_H

#include "base/text.h"

#define CORS_MAX_AGE_S "3600" /* that a browser may remember a preflight */
#define CORS_EXPOSED "Link, Retry-After, WWW-Authenticate, X-Request-Id"

/*
 * May pages of this origin call us? `origins` is the setting: origins separated by blanks, or * for every one. What is not
 * shaped like an origin (RFC 6454, section 7), or "null" unless every one may, may not. A yes also means that the value is
 * fit to be echoed in a header.
 */
bool cors_allows(const char *origins, struct text origin);

/*
 * The value of Access-Control-Allow-Headers: what the preflight asks for if that is a list of header names, else the
 * headers that our API knows.
 */
struct text cors_allowed_headers(struct text requested);

#endif
