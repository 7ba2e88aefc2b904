/*
 * Every record's decoder: the first byte chooses the record, the rest is its msgpack form. What decodes must encode, and
 * decode again to the same bytes; and msgpack-c must find one value there, too.
 */
#include <assert.h>
#include <msgpack.h>
#include <stdlib.h>

#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_with_msgpack_c(struct text bytes) {
    msgpack_unpacked result;
    size_t at = 0;
    msgpack_unpacked_init(&result);
    assert(msgpack_unpack_next(&result, bytes.data, bytes.size, &at) == MSGPACK_UNPACK_SUCCESS && at == bytes.size);
    msgpack_unpacked_destroy(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct buffer first = {0}, second = {0}, json = {0};
    if (size < 1)
        return 0;
    const struct proto_record *record = proto_record_table[data[0] % proto_record_count];
    struct text bytes = {(const char *)data + 1, size - 1};
    void *value = calloc(1, record->size + 1), *again = calloc(1, record->size + 1);
    arena_init(&arena, LIMIT_ARENA_BYTES);
    if (value != NULL && again != NULL && proto_decode(record, bytes, &arena, value, NULL) == OK) {
        check_with_msgpack_c(bytes);
        assert(proto_check(record, value, NULL) == OK);
        proto_encode(record, value, &first);
        assert(buffer_ok(&first));
        assert(proto_decode(record, buffer_text(&first), &arena, again, NULL) == OK);
        proto_encode(record, again, &second);
        assert(text_equal(buffer_text(&first), buffer_text(&second)));
        proto_to_json(record, value, false, &json);
    }
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&json);
    arena_free(&arena);
    free(value);
    free(again);
    return 0;
}
