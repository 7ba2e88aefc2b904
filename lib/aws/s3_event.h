/*
 * s3_event.h: S3 event notifications decoded, as Amazon and its imitators send them.
 *
 * Required of a record are only eventName, bucket.name and object.key; the name with or without "s3:" before it. The key
 * arrives as a form encodes it: '+' becomes a space, then %XX is decoded once. A TestEvent is a notification without
 * records.
 */
#ifndef PIXBUS_AWS_S3_EVENT_H
#define PIXBUS_AWS_S3_EVENT_H

#include "base/arena.h"
#include "base/limits.h"

#define S3_SEQUENCER_BYTES_MAX 64
#define S3_EVENT_RECORDS_MAX 1000 /* more make the notification malformed */
#define S3_EVENT_PROBLEM_BYTES 240

enum s3_event_kind {
    S3_EVENT_CREATED, /* ObjectCreated:* */
    S3_EVENT_REMOVED, /* ObjectRemoved:* and LifecycleExpiration:* */
    S3_EVENT_OTHER,   /* tags, restores, replication, …; and keys that no object of ours can have */
};

struct s3_event_record {
    enum s3_event_kind kind;
    struct text name; /* of the event, without "s3:" */
    struct text bucket;
    struct text key; /* decoded: UTF-8 without NUL, 1 to 1024 bytes; absent with S3_EVENT_OTHER if it is none */
    bool has_size;
    uint64_t size;
    struct text etag;       /* without quotes; absent if unknown */
    struct text version_id; /* absent if the bucket has no versions */
    /*
     * Later events on one key have greater ones, compared as plain strings (in SQL: collate "C"): lower-case hexadecimal
     * without the zeroes at its end. Absent if the server sent none, or something else.
     */
    struct text sequencer;
};

struct s3_event {
    struct s3_event_record *records; /* in the arena, as all their texts are */
    size_t count;
};

/*
 * Decode a notification of at most LIMIT_EVENT_BYTES. False if it is malformed, with a sentence in `problem`, or memory is
 * exhausted. A single record whose key is malformed does not spoil the others: it becomes S3_EVENT_OTHER.
 */
[[gnu::warn_unused_result]] bool s3_event_decode(struct text notification, struct arena *arena, struct s3_event *ret_event,
                                                 char problem[S3_EVENT_PROBLEM_BYTES]);

/* Decode an object's key as events carry it. Absent if it is malformed, empty, too long, or memory is exhausted. */
struct text s3_event_key(struct text encoded, struct arena *arena);

#endif
