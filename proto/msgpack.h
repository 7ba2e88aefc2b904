/*
 * msgpack.h: the msgpack form of values. Writing is msgpack-c's; reading is a cursor over the bytes that allocates nothing,
 * since msgpack-c builds a tree and allocates before it has looked at the counts.
 */
#ifndef PIXBUS_MSGPACK_H
#define PIXBUS_MSGPACK_H

#include "base/buffer.h"

void msgpack_write_nil(struct buffer *out);
void msgpack_write_bool(struct buffer *out, bool value);
void msgpack_write_uint(struct buffer *out, uint64_t value);
void msgpack_write_int(struct buffer *out, int64_t value);
void msgpack_write_text(struct buffer *out, struct text text);
void msgpack_write_bytes(struct buffer *out, struct text bytes);
void msgpack_write_array(struct buffer *out, size_t count);

/* Reading is sticky: after a failure every read returns nothing. Check `failed` at the end. */
struct msgpack_reader {
    const unsigned char *at, *end;
    bool failed;
};

struct msgpack_reader msgpack_reader(struct text bytes);

/* Is the next value nil? It is then taken. */
bool msgpack_read_nil(struct msgpack_reader *reader);
bool msgpack_read_bool(struct msgpack_reader *reader);
/* Any integer from 0 on, in any of its encodings. */
uint64_t msgpack_read_uint(struct msgpack_reader *reader);
int64_t msgpack_read_int(struct msgpack_reader *reader);
/* A str; borrowed from the bytes. */
struct text msgpack_read_text(struct msgpack_reader *reader);
/* A bin; borrowed from the bytes. */
struct text msgpack_read_bytes(struct msgpack_reader *reader);
/* The number of values in the array that begins here; fails if there cannot be as many bytes. */
size_t msgpack_read_array(struct msgpack_reader *reader);
/* Skip one value of any kind, to LIMIT_MSGPACK_DEPTH. */
void msgpack_skip(struct msgpack_reader *reader);

#endif
