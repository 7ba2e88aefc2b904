#include "pg/values.h"

#include <assert.h>
#include <endian.h>

/* 4714-11-24 BC, where Postgres's calendar begins, and the end of year 294276, both from 2000-01-01. */
#define TIMESTAMP_MIN INT64_C(-211813488000000000)
#define TIMESTAMP_END INT64_C(9223371331200000000)

#define OID_INT4 23u

unsigned pg_type_oid(enum pg_type type) {
    static const unsigned oids[] = {
        [PG_INT4] = OID_INT4, [PG_INT8] = 20, [PG_TEXT] = 25, [PG_TIMESTAMP] = 1114, [PG_BOOL] = 16, [PG_INT4_ARRAY] = 1007};
    return oids[type];
}

int64_t pg_timestamp_from_us(int64_t time_us) {
    if (time_us == PG_TIME_INFINITY)
        return INT64_MAX; /* Postgres's own infinity */
    if (time_us < TIMESTAMP_MIN + PG_EPOCH_US)
        return TIMESTAMP_MIN;
    return time_us - PG_EPOCH_US;
}

int64_t pg_timestamp_to_us(int64_t timestamp) {
    if (timestamp > INT64_MAX - PG_EPOCH_US)
        return PG_TIME_INFINITY;
    return timestamp + PG_EPOCH_US;
}

int32_t pg_read_int4(const void *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return (int32_t)be32toh(value);
}

int64_t pg_read_int8(const void *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return (int64_t)be64toh(value);
}

static void put_int4(struct buffer *out, int32_t value) {
    uint32_t bytes = htobe32((uint32_t)value);
    buffer_append(out, &bytes, sizeof bytes);
}

static void put_int8(struct buffer *out, int64_t value) {
    uint64_t bytes = htobe64((uint64_t)value);
    buffer_append(out, &bytes, sizeof bytes);
}

static void put_int4_array(struct buffer *out, const int32_t *values, size_t count) {
    put_int4(out, count > 0 ? 1 : 0); /* dimensions */
    put_int4(out, 0);                 /* no NULLs in it */
    put_int4(out, (int32_t)OID_INT4);
    if (count == 0)
        return;
    put_int4(out, (int32_t)count);
    put_int4(out, 1); /* the first index */
    for (size_t i = 0; i < count; i++) {
        put_int4(out, sizeof(int32_t));
        put_int4(out, values[i]);
    }
}

static void put_value(struct buffer *out, const struct pg_value *value) {
    switch (value->type) {
    case PG_INT4:
        assert(value->number >= INT32_MIN && value->number <= INT32_MAX);
        put_int4(out, (int32_t)value->number);
        break;
    case PG_INT8: put_int8(out, value->number); break;
    case PG_TIMESTAMP: {
        int64_t timestamp = pg_timestamp_from_us(value->number);
        put_int8(out, timestamp < TIMESTAMP_END || timestamp == INT64_MAX ? timestamp : INT64_MAX);
        break;
    }
    case PG_BOOL: buffer_append(out, value->number != 0 ? "\1" : "\0", 1); break;
    case PG_TEXT: buffer_append_text(out, value->text); break;
    case PG_INT4_ARRAY: put_int4_array(out, value->array.values, value->array.count); break;
    }
}

bool pg_parameters_set(struct pg_parameters *parameters, const struct pg_statement *statement, const struct pg_value *values,
                       unsigned count) {
    size_t ends[PG_PARAMETERS_MAX] = {0};
    assert(count == statement->parameter_count && count <= PG_PARAMETERS_MAX);
    buffer_clear(&parameters->bytes);
    parameters->count = count;
    for (unsigned i = 0; i < count; i++) {
        assert(values[i].type == statement->parameters[i]);
        if (!values[i].null)
            put_value(&parameters->bytes, &values[i]);
        ends[i] = parameters->bytes.size;
    }
    if (!buffer_ok(&parameters->bytes))
        return false;
    const char *bytes = buffer_text(&parameters->bytes).data; /* which stays where it is from now on */
    for (unsigned i = 0; i < count; i++) {
        size_t begin = i == 0 ? 0 : ends[i - 1];
        parameters->values[i] = values[i].null ? NULL : bytes + begin;
        parameters->lengths[i] = (int)(ends[i] - begin);
    }
    return true;
}
