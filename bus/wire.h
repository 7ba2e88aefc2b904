/*
 * wire.h: frames of the bus protocol. One ZeroMQ message is one frame, a run of items; what is ready for the same peer at
 * the end of a turn travels in one frame. An item is the msgpack array [verb, header, body]; the headers are the records
 * of proto/wire.def. proto/PROTOCOL.md is the whole protocol.
 */
#ifndef PIXBUS_BUS_WIRE_H
#define PIXBUS_BUS_WIRE_H

#include "proto/codec.h"

#define WIRE_VERSION 1
#define WIRE_ID_BYTES 16         /* a routing id: random for each process life */
#define WIRE_HEARTBEATS_MISSED 3 /* so many make a peer dead, or wedged */

enum wire_verb {
    WIRE_HELLO = 1,     /* peer to broker */
    WIRE_WELCOME = 2,   /* broker to peer */
    WIRE_REFUSED = 3,   /* broker to peer */
    WIRE_STRANGER = 4,  /* broker to peer: I do not know you (any more), say hello; what I sent before is void */
    WIRE_PING = 5,      /* broker to peer */
    WIRE_HEARTBEAT = 6, /* peer to broker */
    WIRE_ASK = 7,
    WIRE_REPLY = 8,
    WIRE_CANCEL = 9,
    WIRE_DRAIN = 10,   /* instance to broker: no more work */
    WIRE_DRAINED = 11, /* broker to instance: nothing more will come */
    WIRE_LEAVE = 12,   /* peer to broker: I am gone */
};

struct wire_item {
    unsigned verb; /* 0: one that this version does not know, to be skipped */
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_refused refused;
        struct wire_heartbeat heartbeat;
        struct wire_ask ask;
        struct wire_reply reply;
        struct wire_cancel cancel;
    };
    struct text body; /* borrowed from the frame, like the texts of the header */
};

/* Append an item. `header` is the verb's record, NULL for verbs without one. */
void wire_write(struct buffer *frame, enum wire_verb verb, const void *header, struct text body);

/* Read the next item. False at the end of the frame, and where it is malformed: then reader->failed is set. */
[[gnu::warn_unused_result]] bool wire_read(struct msgpack_reader *reader, struct wire_item *ret_item);

#endif
