#include "json/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct json *json_parse(struct text document, char problem[JSON_PROBLEM_BYTES]) {
    json_error_t error;
    json_t *root = json_loadb(document.data != NULL ? document.data : "", document.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                              &error);
    if (root == NULL)
        (void)snprintf(problem, JSON_PROBLEM_BYTES, "%s in line %d, column %d", error.text, error.line, error.column);
    return (struct json *)root;
}

/* jansson takes values that are not const even where it only reads. */
static json_t *jansson(const struct json *value) {
    return (json_t *)(uintptr_t)value;
}

void json_free(struct json *document) {
    json_decref((json_t *)document);
}

enum json_kind json_kind(const struct json *value) {
    if (value == NULL)
        return JSON_KIND_NULL;
    switch (json_typeof(jansson(value))) {
    case JSON_OBJECT: return JSON_KIND_OBJECT;
    case JSON_ARRAY: return JSON_KIND_ARRAY;
    case JSON_STRING: return JSON_KIND_STRING;
    case JSON_INTEGER: return JSON_KIND_INTEGER;
    case JSON_REAL: return JSON_KIND_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return JSON_KIND_BOOL;
    case JSON_NULL: break;
    }
    return JSON_KIND_NULL;
}

const struct json *json_member(const struct json *value, const char *name) {
    return (const struct json *)json_object_get(jansson(value), name);
}

size_t json_count(const struct json *value) {
    return json_array_size(jansson(value));
}

const struct json *json_item(const struct json *value, size_t index) {
    return (const struct json *)json_array_get(jansson(value), index);
}

bool json_as_bool(const struct json *value) {
    return json_is_true(jansson(value));
}

int64_t json_as_integer(const struct json *value) {
    return json_integer_value(jansson(value));
}

struct text json_as_string(const struct json *value) {
    return (struct text){json_string_value(jansson(value)), json_string_length(jansson(value))};
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Has one of the eight bytes to be escaped: a control character, a quote or a backslash? May say so of others, too. */
static bool may_need_escape(uint64_t word) {
    uint64_t control = (word - EACH(0x20)) & ~word;
    uint64_t quote = (word ^ EACH('"')) - EACH(1), backslash = (word ^ EACH('\\')) - EACH(1);
    return ((control | (quote & ~(word ^ EACH('"'))) | (backslash & ~(word ^ EACH('\\')))) & EACH(0x80)) != 0;
}

static const char *end_of_plain(const char *at, const char *end) {
    uint64_t word;
    while ((size_t)(end - at) >= sizeof word) {
        memcpy(&word, at, sizeof word);
        if (may_need_escape(word))
            break;
        at += sizeof word;
    }
    while (at < end && (unsigned char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Write the escape of one byte; returns its length. */
static size_t escape(unsigned char c, char out[6]) {
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr("\"\"\\\\\nn\rr\tt", c); /* pairs of a byte and its letter */
    out[0] = '\\';
    if (at != NULL && c != '\0') {
        out[1] = at[1];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

void json_write_string(struct buffer *out, struct text string) {
    const char *at = string.data, *end = at + string.size;
    char escaped[6];
    buffer_append(out, "\"", 1);
    while (at < end) {
        const char *plain = at;
        at = end_of_plain(at, end);
        buffer_append(out, plain, (size_t)(at - plain));
        if (at < end)
            buffer_append(out, escaped, escape((unsigned char)*at++, escaped));
    }
    buffer_append(out, "\"", 1);
}
