/*
 * proto.h: every message of the system, made by the preprocessor from the tables in the .def files.
 *
 * The language of the .def files:
 *   RECORD_BEGIN(record, "doc") … fields … RECORD_END(record)      struct record, proto_record_<record>
 *   FIELD_UINT(record, name, presence, min, max, error, "doc")     uint64_t; OPTIONAL: 0 is absent
 *   FIELD_BOOL(record, name, presence, error, "doc")               bool
 *   FIELD_TIME(record, name, presence, error, "doc")               int64_t, microseconds since 1970 UTC; OPTIONAL: 0 is absent
 *   FIELD_TEXT(record, name, presence, min, max, error, "doc")     struct text of min to max bytes of UTF-8; OPTIONAL: absent
 *   FIELD_SECRET(…)                                                the same, never shown in a log or a dump
 *   FIELD_ENUM(record, name, presence, enum, error, "doc")         enum; OPTIONAL: 0 is absent
 *   FIELD_LIST(record, name, item, max, error, "doc")              const struct item *name; size_t name_count
 *   ENUM_BEGIN(enum, "doc") ENUM_VALUE(enum, constant, number, "name") … ENUM_END(enum)
 *   MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, "doc")
 *     safety: IDEMPOTENT may be sent again after a failure; AT_MOST_ONCE may not.
 *     lane:   CONTROL, INTERACTIVE or BACKGROUND: who goes first in the broker.
 *
 * On the wire a record is a msgpack array of its fields in order. Fields are only ever appended: a reader takes missing
 * ones at the end as absent and skips further ones. Numbers of messages, errors and enum values are never reused.
 * `error` is what a request with that field missing or malformed is answered with.
 */
#ifndef PIXBUS_PROTO_H
#define PIXBUS_PROTO_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/limits.h"

/* Errors: ERROR_internal …; OK is 0. */
enum error {
    OK = 0,
#define ERROR(name, number, http_status, text) ERROR_##name = number,
#include "errors.def"
#undef ERROR
};

struct error_description {
    enum error error;
    const char *name;
    int http_status;
    const char *text;
};

/* Never NULL: unknown numbers are described as `internal`. */
const struct error_description *error_describe(enum error error);

/* All of them, for documentation and tests. */
extern const struct error_description error_table[];
extern const size_t error_count;

/* Enums, structs and message numbers: MESSAGE_feed_list …  */
#include "proto_types.h"

enum proto_kind { PROTO_UINT, PROTO_BOOL, PROTO_TIME, PROTO_TEXT, PROTO_SECRET, PROTO_ENUM, PROTO_LIST };
enum proto_presence { PROTO_REQUIRED, PROTO_OPTIONAL };
enum proto_safety { PROTO_IDEMPOTENT, PROTO_AT_MOST_ONCE };
enum proto_lane { LANE_CONTROL, LANE_INTERACTIVE, LANE_BACKGROUND };
#define LANE_COUNT 3

struct proto_enum_value {
    unsigned number;
    const char *name;
};

struct proto_enum {
    const char *name, *doc;
    size_t count;
    const struct proto_enum_value *values;
};

struct proto_field {
    const char *name;
    enum proto_kind kind;
    enum proto_presence presence;
    uint64_t minimum, maximum; /* a value (UINT), bytes (TEXT, SECRET) or items (LIST) */
    enum error error;
    const struct proto_enum *values; /* ENUM */
    const struct proto_record *item; /* LIST */
    size_t offset, count_offset;     /* in the record's struct */
    const char *doc;
};

struct proto_record {
    const char *name, *doc;
    size_t size; /* of the struct */
    size_t field_count;
    const struct proto_field *fields;
};

struct proto_message {
    unsigned number;
    const char *name;
    struct text service;
    const struct proto_record *request, *reply;
    enum proto_safety safety;
    enum proto_lane lane;
    int64_t deadline_ms;
    const char *doc;
};

/* Each record by name: proto_record_feed_item … */
#define RECORD_BEGIN(record, doc) extern const struct proto_record proto_record_##record;
#include "proto_read.h"

extern const struct proto_message proto_message_table[];
extern const size_t proto_message_count;
extern const struct proto_record *const proto_record_table[];
extern const size_t proto_record_count;

/* NULL if there is no such message. */
const struct proto_message *proto_message_find(unsigned number);
const struct proto_message *proto_message_named(struct text name);

/* NULL if the record has no such field. */
const struct proto_field *proto_field_named(const struct proto_record *record, struct text name);

/* The place of a field in its struct. Kind tells the type behind it. */
static inline void *proto_field_at(const struct proto_field *field, void *value) {
    return (char *)value + field->offset;
}
static inline const void *proto_field_of(const struct proto_field *field, const void *value) {
    return (const char *)value + field->offset;
}

/* The items of a LIST field. */
static inline size_t proto_list_count(const struct proto_field *field, const void *value) {
    return *(const size_t *)(const void *)((const char *)value + field->count_offset);
}
static inline const void *proto_list_item(const struct proto_field *field, const void *value, size_t index) {
    return *(const char *const *)proto_field_of(field, value) + index * field->item->size;
}

/* Does an OPTIONAL field hold a value? True for a REQUIRED one. */
bool proto_is_present(const struct proto_field *field, const void *value);

/*
 * Is this value within the record's limits? OK, or the error of the first field that is not, whose name is then in
 * *ret_field (may be NULL). Used before encoding, after decoding and by whoever builds a record from text.
 */
enum error proto_check(const struct proto_record *record, const void *value, const char **ret_field);

/* Append the msgpack form. A value outside its limits makes the buffer fail: check with buffer_ok(). */
void proto_encode(const struct proto_record *record, const void *value, struct buffer *out);

/*
 * Decode the msgpack form into the struct at `ret_value` (record->size bytes). Texts point into `bytes`; lists are in the
 * arena. OK; malformed_message for what is not this record at all, including bytes behind it; the field's own error for
 * a value outside its limits. *ret_field (may be NULL) names the field where it stopped.
 */
enum error proto_decode(const struct proto_record *record, struct text bytes, struct arena *arena, void *ret_value,
                        const char **ret_field);

/*
 * Set one field of the struct at `value` from text as it stands in a URL: numbers in decimal, times in RFC 3339, enums by
 * name, booleans true and false. OK or the field's error. Texts are borrowed.
 */
enum error proto_set_from_text(const struct proto_field *field, struct text text, void *value);

/*
 * Fill the struct at `value` from a JSON object: members by field name, unknown ones skipped, null like absent. Fields
 * that the object lacks are left as they are (run proto_check() at the end). Texts are copied into the arena. OK,
 * body_not_json (why is then in *ret_detail, in the arena), or the field's error.
 */
enum error proto_from_json(const struct proto_record *record, struct text json, struct arena *arena, void *value,
                           struct text *ret_detail);

/* Append the JSON form (RFC 8259): an object with the present fields in order. Secrets as "***" when `masked`. */
void proto_to_json(const struct proto_record *record, const void *value, bool masked, struct buffer *out);

/* Append one field's JSON form alone, without its name. */
void proto_field_to_json(const struct proto_field *field, const void *value, bool masked, struct buffer *out);

#endif
