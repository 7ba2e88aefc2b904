#include "gateway/translate.h"

#include <assert.h>

#include "json/json.h"

/* ---- requests ---- */

/* Take the text up to `separator`, and the separator, off the front. */
static struct text take_until(struct text *rest, char separator) {
    const char *end = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    struct text taken = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size};
    size_t size = taken.size + (end != NULL);
    *rest = (struct text){rest->data + size, rest->size - size};
    return taken;
}

/* The field that a query's parameter sets, or NULL. The path's fields cannot be set again. */
static const struct proto_field *parameter_field(const struct route_match *match, const struct proto_record *record,
                                                 struct text name) {
    for (size_t i = 0; i < match->capture_count; i++)
        if (text_equal(name, match->captures[i].name))
            return NULL;
    return proto_field_named(record, name);
}

static enum error set_from_query(const struct route_match *match, const struct proto_record *record, struct text query,
                                 struct arena *arena, void *request, struct text *ret_detail) {
    uint32_t seen = 0;
    static_assert(LIMIT_RECORD_FIELDS <= 32, "`seen` has a bit for each field");
    while (query.size > 0) {
        struct text value = take_until(&query, '&'), name = take_until(&value, '=');
        if (!percent_decode(name, arena, &name))
            continue; /* no name of ours */
        const struct proto_field *field = parameter_field(match, record, name);
        if (field == NULL)
            continue;
        uint32_t bit = UINT32_C(1) << (field - record->fields);
        if ((seen & bit) != 0) {
            *ret_detail = TEXT("it is there twice");
            return field->error;
        }
        seen |= bit;
        if (!percent_decode(value, arena, &value) || value.size == 0)
            return field->error;
        enum error error = proto_set_from_text(field, value, request);
        if (error != OK)
            return error;
    }
    return OK;
}

enum error translate_request(const struct route_match *match, struct text query, struct text body, struct arena *arena,
                             void *ret_request, struct text *ret_detail) {
    const struct proto_record *record = proto_message_find(match->route->message)->request;
    enum error error = OK;
    assert(record->size <= TRANSLATE_REQUEST_BYTES_MAX);
    memset(ret_request, 0, record->size);
    if (match->route->input == INPUT_JSON)
        error = body.size == 0 ? ERROR_body_not_json : proto_from_json(record, body, arena, ret_request, ret_detail);
    else if (match->route->input == INPUT_QUERY)
        error = set_from_query(match, record, query, arena, ret_request, ret_detail);
    for (size_t i = 0; error == OK && i < match->capture_count; i++) {
        const struct proto_field *field = proto_field_named(record, match->captures[i].name);
        assert(field != NULL);
        error = proto_set_from_text(field, match->captures[i].value, ret_request);
    }
    return error != OK ? error : proto_check(record, ret_request, NULL);
}

/* ---- replies ---- */

/* Append what a URI reference may hold as it is, and the rest as %XX: the client's own query comes back in a header. */
static void append_query(struct text query, struct buffer *out) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%";
    for (size_t i = 0; i < query.size; i++) {
        if (query.data[i] != '\0' && strchr(plain, query.data[i]) != NULL)
            buffer_append(out, query.data + i, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned char)query.data[i]);
    }
}

static void append_link(const struct route *route, struct text query, struct text cursor, struct arena *arena,
                        struct buffer *link) {
    buffer_printf(link, "<%s?", route->pattern);
    while (query.size > 0) {
        struct text parameter = take_until(&query, '&'), value = parameter, name = take_until(&value, '=');
        if (parameter.size == 0 || !percent_decode(name, arena, &name) || text_equal(name, TEXT("cursor")))
            continue;
        append_query(parameter, link);
        buffer_append(link, "&", 1);
    }
    buffer_append_text(link, TEXT("cursor="));
    append_query(cursor, link);
    buffer_append_text(link, TEXT(">; rel=\"next\""));
}

enum error translate_reply(const struct route *route, struct text query, struct text reply, struct arena *arena,
                           struct buffer *json, struct buffer *link) {
    const struct proto_record *record = proto_message_find(route->message)->reply;
    void *value = arena_alloc(arena, record->size);
    if (value == NULL || proto_decode(record, reply, arena, value, NULL) != OK)
        return ERROR_internal;
    if (route->list == NULL) {
        proto_to_json(record, value, false, json);
    } else {
        const struct proto_field *next = proto_field_named(record, TEXT("next_cursor"));
        proto_field_to_json(proto_field_named(record, text_from(route->list)), value, false, json);
        const struct text *cursor = next != NULL ? proto_field_of(next, value) : NULL;
        if (cursor != NULL && cursor->data != NULL)
            append_link(route, query, *cursor, arena, link);
    }
    return buffer_ok(json) && buffer_ok(link) ? OK : ERROR_internal;
}

void translate_error(enum error error, struct text detail, struct buffer *json) {
    const struct error_description *description = error_describe(error);
    char message[512];
    struct text text = text_from(description->text);
    /* What went wrong inside is for the log; what the client did wrong, or should wait for, is for the client. */
    if (detail.size > 0 && description->http_status != 500 && text.size + 2 + detail.size <= sizeof message &&
        text_is_utf8(detail)) {
        memcpy(message, text.data, text.size);
        memcpy(message + text.size, ": ", 2);
        memcpy(message + text.size + 2, detail.data, detail.size);
        text = (struct text){message, text.size + 2 + detail.size};
    }
    buffer_printf(json, "{\"code\":%d,\"message\":", description->http_status);
    json_write_string(json, text);
    buffer_append(json, "}", 1);
}

/* ---- headers ---- */

static struct text trim(struct text text) {
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct text){text.data + 1, text.size - 1};
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

bool translate_is_json(struct text content_type) {
    struct text type = trim(take_until(&content_type, ';'));
    bool charset_seen = false;
    if (!text_equal_ignoring_case(type, TEXT("application/json")))
        return false;
    while (content_type.size > 0) {
        struct text value = trim(take_until(&content_type, ';')), name = take_until(&value, '=');
        if (name.size == 0 && value.size == 0)
            continue; /* RFC 9110 lets a parameter be empty */
        if (charset_seen || !text_equal_ignoring_case(name, TEXT("charset")))
            return false;
        if (!text_equal_ignoring_case(value, TEXT("utf-8")) && !text_equal_ignoring_case(value, TEXT("\"utf-8\"")))
            return false;
        charset_seen = true;
    }
    return true;
}

static bool is_lower_hex(struct text text) {
    bool zero = true;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        zero = zero && c == '0';
    }
    return !zero || text.size == 2; /* an id of zeros is invalid; a version or flags may be 00 */
}

bool translate_is_traceparent(struct text traceparent) {
    struct text rest = traceparent, version = take_until(&rest, '-'), trace = take_until(&rest, '-'),
                parent = take_until(&rest, '-');
    struct text flags = take_until(&rest, '-');
    if (version.size != 2 || trace.size != 32 || parent.size != 16 || flags.size != 2)
        return false;
    if (!is_lower_hex(version) || !is_lower_hex(trace) || !is_lower_hex(parent) || !is_lower_hex(flags))
        return false;
    /* Version 00 ends here; later ones may go on, ff is none. */
    return !text_equal(version, TEXT("ff")) && (traceparent.size == 55 || !text_equal(version, TEXT("00")));
}
