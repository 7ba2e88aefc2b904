/*
 * proto_types.h: the enums and structs of the .def files. Included by proto.h only. To see what the preprocessor makes of
 * it: build the target `proto-types`.
 */

#define ENUM_BEGIN(enumeration, doc) enum enumeration {
#define ENUM_VALUE(enumeration, constant, number, name) constant = number,
#define ENUM_END(enumeration) };
#include "proto_read.h"

#define RECORD_BEGIN(record, doc) struct record {
#define RECORD_END(record) };
#define FIELD_UINT(record, name, presence, minimum, maximum, error, doc) uint64_t name;
#define FIELD_BOOL(record, name, presence, error, doc) bool name;
#define FIELD_TIME(record, name, presence, error, doc) int64_t name;
#define FIELD_TEXT(record, name, presence, minimum, maximum, error, doc) struct text name;
#define FIELD_SECRET(record, name, presence, minimum, maximum, error, doc) struct text name;
#define FIELD_ENUM(record, name, presence, enumeration, error, doc) enum enumeration name;
#define FIELD_LIST(record, name, item, maximum, error, doc) \
    const struct item *name;                                \
    size_t name##_count;
#include "proto_read.h"

#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) MESSAGE_##name = number,
enum message {
#include "proto_read.h"
};
