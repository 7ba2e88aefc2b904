#include "proto/codec.h"

#define AT(type, field, value) (*(type *)proto_field_at(field, value))
#define OF(type, field, value) (*(const type *)proto_field_of(field, value))

static bool enum_has(const struct proto_enum *values, unsigned number) {
    for (size_t i = 0; i < values->count; i++)
        if (values->values[i].number == number)
            return true;
    return false;
}

bool proto_is_present(const struct proto_field *field, const void *value) {
    if (field->presence == PROTO_REQUIRED)
        return true;
    switch (field->kind) {
    case PROTO_UINT: return OF(uint64_t, field, value) != 0;
    case PROTO_TIME: return OF(int64_t, field, value) != 0;
    case PROTO_TEXT:
    case PROTO_SECRET: return OF(struct text, field, value).data != NULL;
    case PROTO_ENUM: return OF(unsigned, field, value) != 0;
    case PROTO_BOOL:
    case PROTO_LIST: break;
    }
    return true;
}

static bool within(const struct proto_field *field, uint64_t size) {
    return size >= field->minimum && size <= field->maximum;
}

/* Is the value within its limits? Texts are not looked into. */
static bool fits(const struct proto_field *field, const void *value) {
    if (!proto_is_present(field, value))
        return true;
    switch (field->kind) {
    case PROTO_UINT: return within(field, OF(uint64_t, field, value));
    case PROTO_TEXT:
    case PROTO_SECRET: return OF(struct text, field, value).data != NULL && within(field, OF(struct text, field, value).size);
    case PROTO_ENUM: return enum_has(field->values, OF(unsigned, field, value));
    case PROTO_LIST: return proto_list_count(field, value) <= field->maximum;
    case PROTO_BOOL:
    case PROTO_TIME: break;
    }
    return true;
}

static bool is_text(const struct proto_field *field) {
    return field->kind == PROTO_TEXT || field->kind == PROTO_SECRET;
}

enum error proto_check(const struct proto_record *record, const void *value, const char **ret_field) {
    for (const struct proto_field *field = record->fields; field->name != NULL; field++) {
        enum error error = OK;
        if (!fits(field, value) || (is_text(field) && !text_is_utf8(OF(struct text, field, value))))
            error = field->error;
        if (field->kind == PROTO_LIST) {
            for (size_t i = 0; error == OK && i < proto_list_count(field, value); i++)
                error = proto_check(field->item, proto_list_item(field, value, i), NULL);
        }
        if (error != OK) {
            if (ret_field != NULL)
                *ret_field = field->name;
            return error;
        }
    }
    return OK;
}

static void encode_field(const struct proto_field *field, const void *value, struct buffer *out) {
    if (!fits(field, value)) {
        out->failed = true;
        return;
    }
    if (!proto_is_present(field, value)) {
        msgpack_write_nil(out);
        return;
    }
    switch (field->kind) {
    case PROTO_UINT: msgpack_write_uint(out, OF(uint64_t, field, value)); break;
    case PROTO_BOOL: msgpack_write_bool(out, OF(bool, field, value)); break;
    case PROTO_TIME: msgpack_write_int(out, OF(int64_t, field, value)); break;
    case PROTO_TEXT:
    case PROTO_SECRET: msgpack_write_text(out, OF(struct text, field, value)); break;
    case PROTO_ENUM: msgpack_write_uint(out, OF(unsigned, field, value)); break;
    case PROTO_LIST:
        msgpack_write_array(out, proto_list_count(field, value));
        for (size_t i = 0; i < proto_list_count(field, value); i++)
            proto_encode(field->item, proto_list_item(field, value, i), out);
        break;
    }
}

void proto_encode(const struct proto_record *record, const void *value, struct buffer *out) {
    msgpack_write_array(out, record->field_count);
    for (const struct proto_field *field = record->fields; field->name != NULL; field++)
        encode_field(field, value, out);
}

static enum error read_list(const struct proto_field *field, struct msgpack_reader *reader, struct arena *arena, void *value) {
    size_t count = msgpack_read_array(reader);
    if (reader->failed)
        return ERROR_malformed_message;
    if (count > field->maximum)
        return field->error;
    char *items = arena_array(arena, count, field->item->size);
    if (items == NULL)
        return ERROR_internal;
    for (size_t i = 0; i < count; i++) {
        enum error error = proto_read(field->item, reader, arena, items + i * field->item->size, NULL);
        if (error != OK)
            return error;
    }
    AT(char *, field, value) = items;
    *(size_t *)(void *)((char *)value + field->count_offset) = count;
    return OK;
}

static enum error read_field(const struct proto_field *field, struct msgpack_reader *reader, struct arena *arena, void *value) {
    uint64_t number;
    if (msgpack_read_nil(reader))
        return field->presence == PROTO_OPTIONAL ? OK : field->error;
    switch (field->kind) {
    case PROTO_UINT: AT(uint64_t, field, value) = msgpack_read_uint(reader); break;
    case PROTO_BOOL: AT(bool, field, value) = msgpack_read_bool(reader); break;
    case PROTO_TIME: AT(int64_t, field, value) = msgpack_read_int(reader); break;
    case PROTO_TEXT:
    case PROTO_SECRET: AT(struct text, field, value) = msgpack_read_text(reader); break;
    case PROTO_ENUM:
        number = msgpack_read_uint(reader);
        AT(unsigned, field, value) = number > UINT16_MAX ? UINT16_MAX : (unsigned)number;
        break;
    case PROTO_LIST: return read_list(field, reader, arena, value);
    }
    if (reader->failed)
        return ERROR_malformed_message;
    if (!fits(field, value) || (is_text(field) && !text_is_utf8(AT(struct text, field, value))))
        return field->error;
    return OK;
}

enum error proto_read(const struct proto_record *record, struct msgpack_reader *reader, struct arena *arena, void *ret_value,
                      const char **ret_field) {
    size_t count = msgpack_read_array(reader);
    const char *at = record->name;
    enum error error = reader->failed ? ERROR_malformed_message : OK;
    memset(ret_value, 0, record->size);
    for (const struct proto_field *field = record->fields; error == OK && field->name != NULL; field++) {
        at = field->name;
        if (count > 0) {
            error = read_field(field, reader, arena, ret_value);
            count--;
        } else if (field->presence == PROTO_REQUIRED) {
            error = field->error;
        }
    }
    for (; error == OK && count > 0; count--)
        msgpack_skip(reader);
    if (error == OK && reader->failed)
        error = ERROR_malformed_message;
    if (error != OK && ret_field != NULL)
        *ret_field = at;
    return error;
}

enum error proto_decode(const struct proto_record *record, struct text bytes, struct arena *arena, void *ret_value,
                        const char **ret_field) {
    struct msgpack_reader reader = msgpack_reader(bytes);
    enum error error = proto_read(record, &reader, arena, ret_value, ret_field);
    if (error == OK && reader.at != reader.end) {
        if (ret_field != NULL)
            *ret_field = record->name;
        return ERROR_malformed_message;
    }
    return error;
}
