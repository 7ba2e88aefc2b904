/*
 * journal.h: what happened to objects of the media bucket, kept on disk until somebody has dealt with it.
 *
 * An event is prepared (durably, in the work directory) before the object changes, and published (a rename into
 * events/new/) after it has: a process that dies in between leaves an event whose object may or may not have changed, and
 * recovery publishes it. So no change goes without its event; an event too many is harmless. The answer to the client
 * comes after all of it.
 *
 * A file is named after its sequencer and the key's hash, so the order of all events, and which of them concern the same
 * key, can be told from a directory listing.
 */
#ifndef PIXBUS_STORE_JOURNAL_H
#define PIXBUS_STORE_JOURNAL_H

#include "actors/store/workspace.h"
#include "base/buffer.h"

struct event_id {
    uint64_t sequencer;
    uint64_t key_hash;
};

struct journal {
    struct workspace *workspace;
    void *page;                   /* the file `sequencer`, mapped: shared by all processes of the store */
    _Atomic(uint64_t) *sequencer; /* in it */
};

/* Open the sequencer and recover what dead processes left. False with errno set. */
[[gnu::warn_unused_result]] bool journal_open(struct journal *journal, struct workspace *workspace);
/* Takes a zeroed one. */
void journal_close(struct journal *journal);

/*
 * The next sequencer: above all that this store ever gave, and not below the real time in microseconds, so that a store
 * that lost its disk still goes on above what others remember of it. Any thread.
 */
uint64_t journal_next(struct journal *journal);

/* Any thread; false with errno set. */
[[gnu::warn_unused_result]] bool journal_prepare(struct journal *journal, struct event_id id, struct text notification);
[[gnu::warn_unused_result]] bool journal_publish(struct journal *journal, struct event_id id);
/* The object did not change after all. */
void journal_discard(struct journal *journal, struct event_id id);

/*
 * The `capacity` earliest published events in ascending order; *ret_all: there are no others. Memory does not grow with
 * their number. False with errno set.
 */
[[gnu::warn_unused_result]] bool journal_scan(struct journal *journal, struct event_id *ret_ids, size_t capacity,
                                              size_t *ret_count, bool *ret_all);

enum journal_reading { JOURNAL_READ, JOURNAL_GONE, JOURNAL_DAMAGED, JOURNAL_UNREADABLE };

/* Append a published event's notification. */
[[gnu::warn_unused_result]] enum journal_reading journal_read(struct journal *journal, struct event_id id, struct buffer *out);

/* It has been dealt with. True also if it is gone already. */
[[gnu::warn_unused_result]] bool journal_remove(struct journal *journal, struct event_id id);
/* Nobody can use it: move it to events/dead/. */
[[gnu::warn_unused_result]] bool journal_bury(struct journal *journal, struct event_id id);

#endif
