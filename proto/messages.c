#include "proto/proto.h"

/* clang-format off: the rows below are read as tables */

/* The values of each enum. */
#define ENUM_BEGIN(enumeration, doc) static const struct proto_enum_value values_##enumeration[] = {
#define ENUM_VALUE(enumeration, constant, number, name) {number, name},
#define ENUM_END(enumeration) \
    }                         \
    ;
#include "proto/proto_read.h"

#define ENUM_BEGIN(enumeration, doc)                      \
    static const struct proto_enum enum_##enumeration = { \
        #enumeration, doc, sizeof values_##enumeration / sizeof *values_##enumeration, values_##enumeration};
#include "proto/proto_read.h"

/* The fields of each record. A closing row keeps the array of an empty record legal. */
#define PLACE(record, name) .offset = offsetof(struct record, name)
#define RECORD_BEGIN(record, doc) static const struct proto_field fields_##record[] = {
#define RECORD_END(record) \
    { .name = NULL }       \
    }                      \
    ;
#define FIELD_UINT(record, field, need, least, most, failure, text) \
    {.name = #field,                                                \
     .kind = PROTO_UINT,                                            \
     .presence = PROTO_##need,                                      \
     .minimum = least,                                              \
     .maximum = most,                                               \
     .error = ERROR_##failure,                                      \
     PLACE(record, field),                                          \
     .doc = text},
#define FIELD_BOOL(record, field, need, failure, text) \
    {.name = #field, .kind = PROTO_BOOL, .presence = PROTO_##need, .error = ERROR_##failure, PLACE(record, field), .doc = text},
#define FIELD_TIME(record, field, need, failure, text) \
    {.name = #field, .kind = PROTO_TIME, .presence = PROTO_##need, .error = ERROR_##failure, PLACE(record, field), .doc = text},
#define FIELD_TEXT(record, field, need, least, most, failure, text) \
    {.name = #field,                                                \
     .kind = PROTO_TEXT,                                            \
     .presence = PROTO_##need,                                      \
     .minimum = least,                                              \
     .maximum = most,                                               \
     .error = ERROR_##failure,                                      \
     PLACE(record, field),                                          \
     .doc = text},
#define FIELD_SECRET(record, field, need, least, most, failure, text) \
    {.name = #field,                                                  \
     .kind = PROTO_SECRET,                                            \
     .presence = PROTO_##need,                                        \
     .minimum = least,                                                \
     .maximum = most,                                                 \
     .error = ERROR_##failure,                                        \
     PLACE(record, field),                                            \
     .doc = text},
#define FIELD_ENUM(record, field, need, enumeration, failure, text) \
    {.name = #field,                                                \
     .kind = PROTO_ENUM,                                            \
     .presence = PROTO_##need,                                      \
     .error = ERROR_##failure,                                      \
     .values = &enum_##enumeration,                                 \
     PLACE(record, field),                                          \
     .doc = text},
#define FIELD_LIST(record, field, element, most, failure, text) \
    {.name = #field,                                            \
     .kind = PROTO_LIST,                                        \
     .presence = PROTO_REQUIRED,                                \
     .maximum = most,                                           \
     .error = ERROR_##failure,                                  \
     .item = &proto_record_##element,                           \
     PLACE(record, field),                                      \
     .count_offset = offsetof(struct record, field##_count),    \
     .doc = text},
#include "proto/proto_read.h"
#undef PLACE

#define RECORD_BEGIN(record, doc)                                                                                              \
    static_assert(sizeof fields_##record / sizeof *fields_##record - 1 <= LIMIT_RECORD_FIELDS, "too many fields in " #record); \
    const struct proto_record proto_record_##record = {#record, doc, sizeof(struct record),                                    \
                                                       sizeof fields_##record / sizeof *fields_##record - 1, fields_##record};
#include "proto/proto_read.h"

const struct proto_record *const proto_record_table[] = {
#define RECORD_BEGIN(record, doc) &proto_record_##record,
#include "proto/proto_read.h"
};
const size_t proto_record_count = sizeof proto_record_table / sizeof *proto_record_table;

const struct proto_message proto_message_table[] = {
#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) \
    {number,                                                                           \
     #name,                                                                            \
     {#service, sizeof #service - 1},                                                  \
     &proto_record_##request,                                                          \
     &proto_record_##reply,                                                            \
     PROTO_##safety,                                                                   \
     LANE_##lane,                                                                      \
     deadline_ms,                                                                      \
     doc},
#include "proto/proto_read.h"
};
const size_t proto_message_count = sizeof proto_message_table / sizeof *proto_message_table;

#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) \
    static_assert(deadline_ms <= LIMIT_DEADLINE_MS, "the deadline of " #name " is too long");
#include "proto/proto_read.h"

/* clang-format on */

const struct proto_message *proto_message_find(unsigned number) {
    size_t low = 0, high = proto_message_count; /* the table is sorted, which a test holds */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (proto_message_table[middle].number == number)
            return &proto_message_table[middle];
        if (proto_message_table[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct proto_message *proto_message_named(struct text name) {
    for (size_t i = 0; i < proto_message_count; i++)
        if (text_equal(name, text_from(proto_message_table[i].name)))
            return &proto_message_table[i];
    return NULL;
}

const struct proto_field *proto_field_named(const struct proto_record *record, struct text name) {
    for (size_t i = 0; i < record->field_count; i++)
        if (text_equal(name, text_from(record->fields[i].name)))
            return &record->fields[i];
    return NULL;
}
