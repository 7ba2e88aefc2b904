#include "bus/wire.h"

/* NULL: a verb that this version does not know. */
static const struct proto_record *header_of(unsigned verb) {
    switch (verb) {
    case WIRE_HELLO: return &proto_record_wire_hello;
    case WIRE_WELCOME: return &proto_record_wire_welcome;
    case WIRE_REFUSED: return &proto_record_wire_refused;
    case WIRE_HEARTBEAT: return &proto_record_wire_heartbeat;
    case WIRE_ASK: return &proto_record_wire_ask;
    case WIRE_REPLY: return &proto_record_wire_reply;
    case WIRE_CANCEL: return &proto_record_wire_cancel;
    case WIRE_STRANGER:
    case WIRE_PING:
    case WIRE_DRAIN:
    case WIRE_DRAINED:
    case WIRE_LEAVE: return &proto_record_wire_empty;
    default: return NULL;
    }
}

void wire_write(struct buffer *frame, enum wire_verb verb, const void *header, struct text body) {
    size_t before = frame->size;
    msgpack_write_array(frame, 3);
    msgpack_write_uint(frame, verb);
    proto_encode(header_of(verb), header, frame);
    msgpack_write_bytes(frame, body);
    if (!buffer_ok(frame))
        frame->size = before; /* never half an item */
}

bool wire_read(struct msgpack_reader *reader, struct wire_item *ret_item) {
    if (reader->failed || reader->at == reader->end)
        return false;
    size_t count = msgpack_read_array(reader);
    uint64_t verb = msgpack_read_uint(reader);
    const struct proto_record *record = verb <= UINT16_MAX ? header_of((unsigned)verb) : NULL;
    ret_item->verb = record != NULL ? (unsigned)verb : 0;
    if (count < 3) {
        reader->failed = true;
    } else if (record == NULL) {
        msgpack_skip(reader);
    } else if (proto_read(record, reader, NULL, &ret_item->hello, NULL) != OK) {
        reader->failed = true;
    }
    ret_item->body = msgpack_read_bytes(reader);
    for (; count > 3 && !reader->failed; count--)
        msgpack_skip(reader);
    return !reader->failed;
}
