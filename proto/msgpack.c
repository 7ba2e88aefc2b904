#include "proto/msgpack.h"

#include <msgpack/pack.h>

#include "base/limits.h"

static int append(void *data, const char *bytes, size_t size) {
    struct buffer *out = data;
    buffer_append(out, bytes, size);
    return buffer_ok(out) ? 0 : -1;
}

static msgpack_packer packer(struct buffer *out) {
    return (msgpack_packer){.data = out, .callback = append};
}

void msgpack_write_nil(struct buffer *out) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_nil(&pack);
}

void msgpack_write_bool(struct buffer *out, bool value) {
    msgpack_packer pack = packer(out);
    (void)(value ? msgpack_pack_true(&pack) : msgpack_pack_false(&pack));
}

void msgpack_write_uint(struct buffer *out, uint64_t value) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_uint64(&pack, value);
}

void msgpack_write_int(struct buffer *out, int64_t value) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_int64(&pack, value);
}

void msgpack_write_text(struct buffer *out, struct text text) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_str(&pack, text.size);
    buffer_append_text(out, text);
}

void msgpack_write_bytes(struct buffer *out, struct text bytes) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_bin(&pack, bytes.size);
    buffer_append_text(out, bytes);
}

void msgpack_write_array(struct buffer *out, size_t count) {
    msgpack_packer pack = packer(out);
    (void)msgpack_pack_array(&pack, count);
}

struct msgpack_reader msgpack_reader(struct text bytes) {
    const unsigned char *at = (const unsigned char *)(bytes.data != NULL ? bytes.data : "");
    return (struct msgpack_reader){.at = at, .end = at + bytes.size};
}

static size_t left(const struct msgpack_reader *reader) {
    return (size_t)(reader->end - reader->at);
}

static void fail(struct msgpack_reader *reader) {
    reader->failed = true;
    reader->at = reader->end;
}

static const unsigned char *take(struct msgpack_reader *reader, size_t size) {
    const unsigned char *bytes = reader->at;
    if (reader->failed || left(reader) < size) {
        fail(reader);
        return NULL;
    }
    reader->at += size;
    return bytes;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static uint64_t number(struct msgpack_reader *reader, size_t size) {
    const unsigned char *bytes = take(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

static unsigned char tag(struct msgpack_reader *reader) {
    const unsigned char *byte = take(reader, 1);
    return byte != NULL ? *byte : 0xc1; /* "never used" */
}

bool msgpack_read_nil(struct msgpack_reader *reader) {
    if (reader->failed || left(reader) == 0 || *reader->at != 0xc0)
        return false;
    reader->at++;
    return true;
}

bool msgpack_read_bool(struct msgpack_reader *reader) {
    unsigned char kind = tag(reader);
    if (kind != 0xc2 && kind != 0xc3)
        fail(reader);
    return kind == 0xc3;
}

/* True: a number from 0 on is in *ret_value; false: a negative one, in two's complement. */
static bool integer(struct msgpack_reader *reader, uint64_t *ret_value) {
    unsigned char kind = tag(reader);
    uint64_t value = kind;
    bool is_signed = false;
    if (kind >= 0xe0) {
        value = (uint64_t)(int64_t)(int8_t)kind;
        is_signed = true;
    } else if (kind >= 0xcc && kind <= 0xcf) {
        value = number(reader, (size_t)1 << (kind - 0xcc));
    } else if (kind >= 0xd0 && kind <= 0xd3) {
        size_t size = (size_t)1 << (kind - 0xd0);
        unsigned shift = (unsigned)(64 - 8 * size);
        value = (uint64_t)((int64_t)(number(reader, size) << shift) >> shift);
        is_signed = true;
    } else if (kind > 0x7f) {
        fail(reader);
    }
    *ret_value = reader->failed ? 0 : value;
    return !is_signed || (int64_t)value >= 0;
}

uint64_t msgpack_read_uint(struct msgpack_reader *reader) {
    uint64_t value;
    if (!integer(reader, &value))
        fail(reader);
    return reader->failed ? 0 : value;
}

int64_t msgpack_read_int(struct msgpack_reader *reader) {
    uint64_t value;
    if (integer(reader, &value) && value > INT64_MAX)
        fail(reader);
    return reader->failed ? 0 : (int64_t)value;
}

static struct text run(struct msgpack_reader *reader, uint64_t size) {
    const unsigned char *bytes = size <= left(reader) ? take(reader, (size_t)size) : NULL;
    if (bytes == NULL) {
        fail(reader);
        return (struct text){0};
    }
    return (struct text){(const char *)bytes, (size_t)size};
}

struct text msgpack_read_text(struct msgpack_reader *reader) {
    unsigned char kind = tag(reader);
    if ((kind & 0xe0) == 0xa0)
        return run(reader, kind & 0x1f);
    if (kind >= 0xd9 && kind <= 0xdb)
        return run(reader, number(reader, (size_t)1 << (kind - 0xd9)));
    fail(reader);
    return (struct text){0};
}

struct text msgpack_read_bytes(struct msgpack_reader *reader) {
    unsigned char kind = tag(reader);
    if (kind >= 0xc4 && kind <= 0xc6)
        return run(reader, number(reader, (size_t)1 << (kind - 0xc4)));
    fail(reader);
    return (struct text){0};
}

size_t msgpack_read_array(struct msgpack_reader *reader) {
    unsigned char kind = tag(reader);
    uint64_t count = kind & 0x0f;
    if (kind == 0xdc || kind == 0xdd)
        count = number(reader, kind == 0xdc ? 2 : 4);
    else if ((kind & 0xf0) != 0x90)
        fail(reader);
    if (count > left(reader)) /* every value takes a byte at least */
        fail(reader);
    return reader->failed ? 0 : (size_t)count;
}

static void skip(struct msgpack_reader *reader, unsigned depth) {
    unsigned char kind = tag(reader);
    uint64_t bytes = 0, values = 0;
    if ((kind & 0xf0) == 0x80)
        values = 2 * (uint64_t)(kind & 0x0f);
    else if ((kind & 0xf0) == 0x90)
        values = kind & 0x0f;
    else if ((kind & 0xe0) == 0xa0)
        bytes = kind & 0x1f;
    else if (kind == 0xc1)
        fail(reader);
    else if (kind >= 0xc4 && kind <= 0xc6) /* bin */
        bytes = number(reader, (size_t)1 << (kind - 0xc4));
    else if (kind >= 0xc7 && kind <= 0xc9) /* ext: a byte of type follows its size */
        bytes = number(reader, (size_t)1 << (kind - 0xc7)) + 1;
    else if (kind == 0xca || kind == 0xcb) /* float */
        bytes = kind == 0xca ? 4 : 8;
    else if (kind >= 0xcc && kind <= 0xcf)
        bytes = (uint64_t)1 << (kind - 0xcc);
    else if (kind >= 0xd0 && kind <= 0xd3)
        bytes = (uint64_t)1 << (kind - 0xd0);
    else if (kind >= 0xd4 && kind <= 0xd8) /* fixext */
        bytes = ((uint64_t)1 << (kind - 0xd4)) + 1;
    else if (kind >= 0xd9 && kind <= 0xdb) /* str */
        bytes = number(reader, (size_t)1 << (kind - 0xd9));
    else if (kind >= 0xdc && kind <= 0xdf) /* array, map */
        values = number(reader, kind % 2 == 0 ? 2 : 4) * (kind >= 0xde ? 2 : 1);
    (void)run(reader, bytes);
    if (values > left(reader) || (values > 0 && depth == 0))
        fail(reader);
    for (; values > 0 && !reader->failed; values--)
        skip(reader, depth - 1);
}

void msgpack_skip(struct msgpack_reader *reader) {
    skip(reader, LIMIT_MSGPACK_DEPTH);
}
