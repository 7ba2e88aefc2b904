/*
 * json.h: reading JSON (RFC 8259) documents, by jansson, and writing its strings. Strict: UTF-8 only, no duplicate
 * members, no NUL in strings, nothing behind the document, integers within 64 bits.
 */
#ifndef PIXBUS_JSON_H
#define PIXBUS_JSON_H

#include "base/buffer.h"

/* A value within a document. Borrowed from it. */
struct json;

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_INTEGER,
    JSON_KIND_REAL,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

#define JSON_PROBLEM_BYTES 200

/*
 * Parse a document of any kind. The caller frees it with json_free(). NULL if it is malformed; `problem` then says what
 * and where, in a sentence without a full stop.
 */
[[gnu::warn_unused_result]] struct json *json_parse(struct text document, char problem[JSON_PROBLEM_BYTES]);

/* Takes NULL. Only for what json_parse() returned. */
void json_free(struct json *document);

/* JSON_KIND_NULL for NULL. */
enum json_kind json_kind(const struct json *value);

/* A member of an object. NULL if there is none, or if `value` is no object (or NULL). */
const struct json *json_member(const struct json *value, const char *name);

/* Items of an array; 0 for anything else. */
size_t json_count(const struct json *value);
const struct json *json_item(const struct json *value, size_t index);

/* Values of the right kind; false, 0 or an absent text for any other kind. */
bool json_as_bool(const struct json *value);
int64_t json_as_integer(const struct json *value);
struct text json_as_string(const struct json *value);

/* Append a string in quotes, escaped. Bytes from 0x80 are passed on as they are. */
void json_write_string(struct buffer *out, struct text string);

#endif
