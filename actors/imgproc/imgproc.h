/*
 * imgproc.h: what the files of the actor share.
 */
#ifndef PIXBUS_IMGPROC_H
#define PIXBUS_IMGPROC_H

#include "actors/imgproc/decoders.h"
#include "actors/imgproc/memory.h"
#include "aws/s3.h"
#include "base/pool.h"
#include "bus/actor.h"

struct event;

struct imgproc {
    struct actor *actor;
    struct loop *loop;
    struct s3_client *s3;
    struct decoders *decoders;
    struct pool *pool;
    struct memory memory;
    struct loop_timer rest; /* ends decoders that have nothing to do */
    struct event *events;   /* in hand */
    struct text media_bucket, thumbnails_bucket;
    size_t image_bytes_max;
};

/* False: it has logged why. */
[[gnu::warn_unused_result]] bool imgproc_open(struct actor *actor, void **ret_application);
void imgproc_close(void *application);

/* Deal with each record of a notification, one after the other, then answer. An error: deliver it again. */
void event_begin(struct imgproc *imgproc, struct ask *ask, struct text notification);
/* Free what was in hand, unanswered. */
void event_drop_all(struct imgproc *imgproc);

#endif
