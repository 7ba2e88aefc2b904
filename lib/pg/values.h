/*
 * values.h: parameters in Postgres's binary form, for lib/pg only. Every integer is big-endian; a timestamp counts
 * microseconds from 2000-01-01; an array is a header, its bounds and its elements (PostgreSQL: src/backend/utils/adt,
 * the *recv functions).
 */
#ifndef PIXBUS_PG_VALUES_H
#define PIXBUS_PG_VALUES_H

#include "pg/pg.h"

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01T00:00:00Z in microseconds since 1970 */

/* Parameters of one query, as libpq takes them. Zero-initialised; owns `bytes`. */
struct pg_parameters {
    unsigned count;
    const char *values[PG_PARAMETERS_MAX]; /* into `bytes`, or NULL */
    int lengths[PG_PARAMETERS_MAX];
    struct buffer bytes;
};

/* Types of the values must be the statement's: asserted. False when memory is short or the values are too large. */
[[gnu::warn_unused_result]] bool pg_parameters_set(struct pg_parameters *parameters, const struct pg_statement *statement,
                                                   const struct pg_value *values, unsigned count);

/* Type number in Postgres's catalogue. */
unsigned pg_type_oid(enum pg_type type);

/* Between our clock and Postgres's, clamped to what a timestamp holds. */
int64_t pg_timestamp_from_us(int64_t time_us);
int64_t pg_timestamp_to_us(int64_t timestamp);

/* Big-endian integers. */
int32_t pg_read_int4(const void *bytes);
int64_t pg_read_int8(const void *bytes);

#endif
