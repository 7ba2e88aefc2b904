#include "actors/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

bool store_open(struct store *store, const struct store_options *options) {
    store->buckets[0] = options->media_bucket;
    store->buckets[1] = options->thumbnails_bucket;
    store->region = options->region;
    store->object_bytes_max = options->object_bytes_max;
    store->disk.root_fd = -1;
    return disk_open(&store->disk, options->directory) &&
           workspace_open(&store->workspace, &store->disk, store->buckets, STORE_BUCKETS) &&
           journal_open(&store->journal, &store->workspace);
}

void store_close(struct store *store) {
    journal_close(&store->journal);
    if (store->workspace.disk != NULL)
        workspace_close(&store->workspace);
    disk_close(&store->disk);
}

bool store_has_bucket(const struct store *store, struct text bucket) {
    for (size_t i = 0; i < STORE_BUCKETS; i++)
        if (text_equal(store->buckets[i], bucket))
            return true;
    return false;
}

enum s3_error store_error_of_errno(void) {
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? S3_InsufficientStorage : S3_InternalError;
}

static bool exists(const struct store *store, const char *path) {
    struct stat status;
    return fstatat(store->disk.root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Prepare the event of a change, if the bucket has events. */
static bool prepare(struct store *store, const struct event *event, uint64_t key_hash, struct store_change *ret_change) {
    struct buffer notification = {.limit_bytes = LIMIT_EVENT_BYTES};
    struct event numbered = *event;
    *ret_change = (struct store_change){.has_event = text_equal(event->bucket, store->buckets[0])};
    if (!ret_change->has_event)
        return true;
    numbered.sequencer = journal_next(&store->journal);
    ret_change->event = (struct event_id){numbered.sequencer, key_hash};
    event_write(&numbered, &notification);
    errno = ENOMEM;
    bool prepared = buffer_ok(&notification) && journal_prepare(&store->journal, ret_change->event, buffer_text(&notification));
    int error = errno;
    buffer_free(&notification);
    errno = error;
    return prepared;
}

/* The object has changed: make the names durable, let the event go out. */
static bool finish(struct store *store, const char *path, const struct store_change *change) {
    char directory[DISK_PATH_BYTES];
    (void)snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    bool durable = disk_sync_directory(&store->disk, directory);
    /* Published even if that failed: the change can be seen. */
    bool published = !change->has_event || journal_publish(&store->journal, change->event);
    return durable && published;
}

static enum s3_error put_locked(struct store *store, const char *from, const char *to, bool only_if_absent,
                                const struct event *event, uint64_t key_hash, struct store_change *ret_change) {
    if (only_if_absent && exists(store, to))
        return S3_PreconditionFailed;
    if (!prepare(store, event, key_hash, ret_change))
        return store_error_of_errno();
    if (!(only_if_absent ? disk_link(&store->disk, from, to) : disk_rename(&store->disk, from, to))) {
        enum s3_error error = store_error_of_errno();
        if (ret_change->has_event)
            journal_discard(&store->journal, ret_change->event);
        return error;
    }
    return finish(store, to, ret_change) ? S3_OK : S3_InternalError;
}

enum s3_error store_put(struct store *store, const char *path, struct text bucket, const struct object *object,
                        bool only_if_absent, enum event_kind kind, const struct store_origin *origin,
                        struct store_change *ret_change) {
    char to[DISK_PATH_BYTES];
    uint64_t key_hash;
    struct store_change change = {0};
    const struct event event = {.kind = kind,
                                .region = store->region,
                                .bucket = bucket,
                                .key = object->key,
                                .address = origin->address,
                                .request_id = origin->request_id,
                                .time_us = object->modified_us,
                                .size_bytes = object->size_bytes,
                                .etag = object->etag};
    if (!object_path(bucket, object->key, to, &key_hash))
        return S3_InternalError;
    workspace_lock(&store->workspace, key_hash);
    enum s3_error error = put_locked(store, path, to, only_if_absent, &event, key_hash, &change);
    workspace_unlock(&store->workspace, key_hash);
    if (error == S3_OK)
        *ret_change = change;
    return error;
}

static enum s3_error delete_locked(struct store *store, const char *path, const struct event *event, uint64_t key_hash,
                                   struct store_change *ret_change) {
    if (!exists(store, path))
        return S3_OK;
    if (!prepare(store, event, key_hash, ret_change))
        return store_error_of_errno();
    if (!disk_remove(&store->disk, path)) {
        if (ret_change->has_event)
            journal_discard(&store->journal, ret_change->event);
        return S3_InternalError;
    }
    return finish(store, path, ret_change) ? S3_OK : S3_InternalError;
}

enum s3_error store_delete(struct store *store, struct text bucket, struct text key, const struct store_origin *origin,
                           struct store_change *ret_change) {
    char path[DISK_PATH_BYTES];
    uint64_t key_hash;
    struct store_change change = {0};
    const struct event event = {.kind = EVENT_DELETE,
                                .region = store->region,
                                .bucket = bucket,
                                .key = key,
                                .address = origin->address,
                                .request_id = origin->request_id,
                                .time_us = clock_real_us()};
    if (!object_path(bucket, key, path, &key_hash))
        return S3_InternalError;
    workspace_lock(&store->workspace, key_hash);
    enum s3_error error = delete_locked(store, path, &event, key_hash, &change);
    workspace_unlock(&store->workspace, key_hash);
    if (error == S3_OK)
        *ret_change = change;
    return error;
}

int store_get(const struct store *store, struct text bucket, struct text key, struct object *ret_object,
              enum s3_error *ret_error) {
    char path[DISK_PATH_BYTES];
    *ret_error = S3_InternalError;
    if (!object_path(bucket, key, path, NULL))
        return -1;
    int fd = object_open(&store->disk, path, ret_object);
    if (fd < 0)
        *ret_error = errno == ENOENT ? S3_NoSuchKey : S3_InternalError;
    return fd;
}
