/*
 * codec.h: records within a longer msgpack stream; the bus's frames are made of these.
 */
#ifndef PIXBUS_PROTO_CODEC_H
#define PIXBUS_PROTO_CODEC_H

#include "proto/msgpack.h"
#include "proto/proto.h"

/* Read one record from the stream into the struct at `ret_value`. As proto_decode(), but more may follow. */
enum error proto_read(const struct proto_record *record, struct msgpack_reader *reader, struct arena *arena, void *ret_value,
                      const char **ret_field);

#endif
