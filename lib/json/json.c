#include "json/json.h"

#include <jansson.h>
#include <stdio.h>

struct json *json_parse(struct text document, char problem[JSON_PROBLEM_BYTES]) {
    json_error_t error;
    json_t *root = json_loadb(document.data != NULL ? document.data : "", document.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
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

void json_write_string(struct buffer *out, struct text string) {
    static const char digits[] = "0123456789abcdef";
    const char *at = string.data, *end = at + string.size;
    buffer_append(out, "\"", 1);
    while (at < end) {
        const char *plain = at;
        while (at < end && (unsigned char)*at >= ' ' && *at != '"' && *at != '\\')
            at++;
        if (at > plain)
            buffer_append(out, plain, (size_t)(at - plain));
        if (at == end)
            break;
        unsigned char c = (unsigned char)*at++;
        char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        size_t size = 2;
        switch (c) {
        case '"':
        case '\\': escape[1] = (char)c; break;
        case '\n': escape[1] = 'n'; break;
        case '\r': escape[1] = 'r'; break;
        case '\t': escape[1] = 't'; break;
        default: size = sizeof escape;
        }
        buffer_append(out, escape, size);
    }
    buffer_append(out, "\"", 1);
}
