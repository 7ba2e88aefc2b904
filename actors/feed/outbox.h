/*
 * outbox.h: carries out the deletions of objects that stand in the table object_deletions. Any number of instances share
 * the work; a deletion is repeated, with growing pauses, until the storage has confirmed it.
 */
#ifndef PIXBUS_FEED_OUTBOX_H
#define PIXBUS_FEED_OUTBOX_H

#include "aws/s3.h"
#include "base/loop.h"
#include "pg/pg.h"

struct outbox;

/* Borrowed. Looks into the table at once and then from time to time. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct outbox *outbox_new(struct loop *loop, struct pg *pg, struct s3_client *s3);
/* After the database and the storage's client were closed. Takes NULL. */
void outbox_free(struct outbox *outbox);

/* There is something to do: look now. */
void outbox_wake(struct outbox *outbox);

#endif
