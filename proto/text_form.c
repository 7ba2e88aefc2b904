#include "base/clock.h"
#include "proto/proto.h"

/* What an OPTIONAL field would take for absent is malformed when it is given. */
static enum error set_enum(const struct proto_field *field, struct text text, void *value) {
    for (size_t i = 0; i < field->values->count; i++) {
        if (text_equal(text, text_from(field->values->values[i].name))) {
            *(unsigned *)proto_field_at(field, value) = field->values->values[i].number;
            return OK;
        }
    }
    return field->error;
}

enum error proto_set_from_text(const struct proto_field *field, struct text text, void *value) {
    void *place = proto_field_at(field, value);
    uint64_t number;
    int64_t time_us;
    switch (field->kind) {
    case PROTO_UINT:
        if (!text_to_u64(text, &number) || number < field->minimum || number > field->maximum)
            return field->error;
        *(uint64_t *)place = number;
        return OK;
    case PROTO_BOOL:
        if (!text_equal(text, TEXT("true")) && !text_equal(text, TEXT("false")))
            return field->error;
        *(bool *)place = text_equal(text, TEXT("true"));
        return OK;
    case PROTO_TIME:
        if (!rfc3339_parse(text, &time_us) || time_us == 0)
            return field->error;
        *(int64_t *)place = time_us;
        return OK;
    case PROTO_TEXT:
    case PROTO_SECRET:
        if (text.data == NULL || text.size < field->minimum || text.size > field->maximum || !text_is_utf8(text))
            return field->error;
        *(struct text *)place = text;
        return OK;
    case PROTO_ENUM: return set_enum(field, text, value);
    case PROTO_LIST: break;
    }
    return field->error;
}
