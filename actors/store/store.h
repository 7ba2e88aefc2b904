/*
 * store.h: the store as a whole, without HTTP: changes of objects together with their events. Everything here blocks
 * and may be called by any thread, but for opening and closing.
 */
#ifndef PIXBUS_STORE_STORE_H
#define PIXBUS_STORE_STORE_H

#include "actors/store/event.h"
#include "actors/store/journal.h"
#include "actors/store/object.h"
#include "actors/store/s3_error.h"

#define STORE_BUCKETS 2

struct store_options {
    const char *directory;
    struct text media_bucket;      /* its changes are events */
    struct text thumbnails_bucket; /* may be the same */
    struct text region;
    uint64_t object_bytes_max;
};

/* Must stay in place while it is open. */
struct store {
    struct disk disk; /* step and context may be set before store_open(), by tests */
    struct workspace workspace;
    struct journal journal;
    struct text buckets[STORE_BUCKETS]; /* media first */
    struct text region;
    uint64_t object_bytes_max;
};

/* Open the directory and recover what was left by a crash. The texts must outlive the store. False with errno set. */
[[gnu::warn_unused_result]] bool store_open(struct store *store, const struct store_options *options);
/* Takes a half-open one. */
void store_close(struct store *store);

bool store_has_bucket(const struct store *store, struct text bucket);

/* Who asked for a change: for its event. */
struct store_origin {
    struct text address, request_id;
};

/* What a change came to. */
struct store_change {
    bool has_event; /* false: of a bucket without events, or nothing changed */
    struct event_id event;
};

/*
 * Give the finished file at `path` its place as an object, and publish its event. The file is gone from `path`
 * afterwards unless it failed, or `only_if_absent`: then the caller removes it. S3_OK, PreconditionFailed if it exists
 * and should not, InsufficientStorage or InternalError.
 */
[[gnu::warn_unused_result]] enum s3_error store_put(struct store *store, const char *path, struct text bucket,
                                                    const struct object *object, bool only_if_absent, enum event_kind kind,
                                                    const struct store_origin *origin, struct store_change *ret_change);

/* S3_OK also if there is no such object. */
[[gnu::warn_unused_result]] enum s3_error store_delete(struct store *store, struct text bucket, struct text key,
                                                       const struct store_origin *origin, struct store_change *ret_change);

/* A descriptor at the object's first byte, or -1 with *ret_error: NoSuchKey or InternalError. */
[[gnu::warn_unused_result]] int store_get(const struct store *store, struct text bucket, struct text key,
                                          struct object *ret_object, enum s3_error *ret_error);

/* The error that errno stands for. */
enum s3_error store_error_of_errno(void);

#endif
