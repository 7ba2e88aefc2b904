/*
 * workspace.h: the store's directory.
 *
 *   objects/BUCKET/XX/NAME   finished objects (object.h)
 *   events/new/, dead/       events that wait, and those that nobody could use (journal.h)
 *   work/NONCE/              what one process has begun: uploads (u-…), parts, prepared events; locked while it lives
 *   multipart/ID/            parts of multipart uploads
 *   sequencer                the last sequencer given (journal.h)
 *   lock                     its bytes are locks: one for all writes of one key, one for the process that delivers events
 *
 * A process takes a work directory of its own and holds its lock; the kernel lets go of it when the process ends, however
 * that happens. Whoever opens the store next clears the work directories that nobody holds: unfinished uploads go,
 * prepared events are made deliverable.
 */
#ifndef PIXBUS_STORE_WORKSPACE_H
#define PIXBUS_STORE_WORKSPACE_H

#include <pthread.h>
#include <stdatomic.h>

#include "actors/store/disk.h"
#include "base/text.h"

#define WORKSPACE_STRIPES 64 /* keys whose writes may go on at the same time */
#define WORKSPACE_NAME_BYTES 80

struct workspace {
    struct disk *disk;
    char directory[32]; /* work/NONCE */
    int directory_fd;   /* holds its lock */
    int lock_fd;
    _Atomic(uint64_t) names;
    pthread_mutex_t stripes[WORKSPACE_STRIPES];
};

/* Make the tree for these buckets and a work directory. False with errno set. */
[[gnu::warn_unused_result]] bool workspace_open(struct workspace *workspace, struct disk *disk, const struct text *buckets,
                                                size_t bucket_count);
/* Removes the work directory if it is empty. */
void workspace_close(struct workspace *workspace);

/* A path for a new file in the work directory. Any thread. */
void workspace_name(struct workspace *workspace, const char *prefix, char path[WORKSPACE_NAME_BYTES]);

/*
 * Clear the work directories of processes that are gone: files that begin with 'e' are renamed into events/new if `keep`
 * says so, all others are removed. False with errno set if something could not be done; the rest is done nevertheless.
 */
[[gnu::warn_unused_result]] bool workspace_recover(struct workspace *workspace,
                                                   bool (*keep)(struct workspace *workspace, const char *path, const char *name));

/* One writer at a time for all keys of the same stripe, across threads and processes. */
void workspace_lock(struct workspace *workspace, uint64_t key_hash);
void workspace_unlock(struct workspace *workspace, uint64_t key_hash);

/* Try to become the process that delivers events. Held until the end of the process. */
[[gnu::warn_unused_result]] bool workspace_try_deliver(struct workspace *workspace);

#endif
