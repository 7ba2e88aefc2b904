#include <inttypes.h>

#include "base/clock.h"
#include "proto/proto.h"
#include "json/json.h"

#define OF(type, field, value) (*(const type *)proto_field_of(field, value))

static enum error object_to_record(const struct proto_record *record, const struct json *object, struct arena *arena,
                                   void *value);

static enum error set_list(const struct proto_field *field, const struct json *member, struct arena *arena, void *value) {
    size_t count = json_count(member);
    if (json_kind(member) != JSON_KIND_ARRAY || count > field->maximum)
        return field->error;
    char *items = arena_array(arena, count, field->item->size);
    if (items == NULL)
        return ERROR_internal;
    for (size_t i = 0; i < count; i++) {
        if (json_kind(json_item(member, i)) != JSON_KIND_OBJECT)
            return field->error;
        enum error error = object_to_record(field->item, json_item(member, i), arena, items + i * field->item->size);
        if (error != OK)
            return error;
    }
    *(char **)proto_field_at(field, value) = items;
    *(size_t *)(void *)((char *)value + field->count_offset) = count;
    return OK;
}

static enum error set_member(const struct proto_field *field, const struct json *member, struct arena *arena, void *value) {
    switch (field->kind) {
    case PROTO_UINT: {
        int64_t number = json_as_integer(member);
        if (json_kind(member) != JSON_KIND_INTEGER || number < 0 || (uint64_t)number < field->minimum ||
            (uint64_t)number > field->maximum)
            return field->error;
        *(uint64_t *)proto_field_at(field, value) = (uint64_t)number;
        return OK;
    }
    case PROTO_BOOL:
        if (json_kind(member) != JSON_KIND_BOOL)
            return field->error;
        *(bool *)proto_field_at(field, value) = json_as_bool(member);
        return OK;
    case PROTO_TIME:
    case PROTO_ENUM:
        return json_kind(member) == JSON_KIND_STRING ? proto_set_from_text(field, json_as_string(member), value) : field->error;
    case PROTO_TEXT:
    case PROTO_SECRET: {
        if (json_kind(member) != JSON_KIND_STRING)
            return field->error;
        struct text copy = arena_copy(arena, json_as_string(member));
        return copy.data == NULL ? ERROR_internal : proto_set_from_text(field, copy, value);
    }
    case PROTO_LIST: return set_list(field, member, arena, value);
    }
    return field->error;
}

static enum error object_to_record(const struct proto_record *record, const struct json *object, struct arena *arena,
                                   void *value) {
    for (const struct proto_field *field = record->fields; field->name != NULL; field++) {
        const struct json *member = json_member(object, field->name);
        if (json_kind(member) == JSON_KIND_NULL)
            continue;
        enum error error = set_member(field, member, arena, value);
        if (error != OK)
            return error;
    }
    return OK;
}

enum error proto_from_json(const struct proto_record *record, struct text json, struct arena *arena, void *value,
                           struct text *ret_detail) {
    char problem[JSON_PROBLEM_BYTES] = "it is not an object";
    struct json *document = json_parse(json, problem);
    enum error error = ERROR_body_not_json;
    if (json_kind(document) == JSON_KIND_OBJECT)
        error = object_to_record(record, document, arena, value);
    else
        *ret_detail = arena_copy(arena, text_from(problem));
    json_free(document);
    return error;
}

static const char *enum_name(const struct proto_enum *values, unsigned number) {
    for (size_t i = 0; i < values->count; i++)
        if (values->values[i].number == number)
            return values->values[i].name;
    return "";
}

static void write_number(struct buffer *out, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    buffer_append(out, digits + at, sizeof digits - at);
}

static void write_time(struct buffer *out, int64_t time_us) {
    char quoted[RFC3339_BYTES + 1];
    quoted[0] = '"';
    rfc3339_format(time_us, quoted + 1);
    quoted[RFC3339_BYTES] = '"'; /* in place of the NUL */
    buffer_append(out, quoted, sizeof quoted);
}

void proto_field_to_json(const struct proto_field *field, const void *value, bool masked, struct buffer *out) {
    switch (field->kind) {
    case PROTO_UINT: write_number(out, OF(uint64_t, field, value)); break;
    case PROTO_BOOL: buffer_append_text(out, OF(bool, field, value) ? TEXT("true") : TEXT("false")); break;
    case PROTO_TIME: write_time(out, OF(int64_t, field, value)); break;
    case PROTO_TEXT: json_write_string(out, OF(struct text, field, value)); break;
    case PROTO_SECRET: json_write_string(out, masked ? TEXT("***") : OF(struct text, field, value)); break;
    case PROTO_ENUM: json_write_string(out, text_from(enum_name(field->values, OF(unsigned, field, value)))); break;
    case PROTO_LIST:
        buffer_append_text(out, TEXT("["));
        for (size_t i = 0; i < proto_list_count(field, value); i++) {
            if (i > 0)
                buffer_append_text(out, TEXT(","));
            proto_to_json(field->item, proto_list_item(field, value, i), masked, out);
        }
        buffer_append_text(out, TEXT("]"));
        break;
    }
}

void proto_to_json(const struct proto_record *record, const void *value, bool masked, struct buffer *out) {
    struct text before = TEXT("{\"");
    for (const struct proto_field *field = record->fields; field->name != NULL; field++) {
        if (!proto_is_present(field, value))
            continue;
        buffer_append_text(out, before);
        buffer_append_text(out, text_from(field->name));
        buffer_append_text(out, TEXT("\":"));
        proto_field_to_json(field, value, masked, out);
        before = TEXT(",\"");
    }
    buffer_append_text(out, before.data[0] == '{' ? TEXT("{}") : TEXT("}"));
}
