/*
 * One notification: its records one after the other.
 *
 *   created:  is it wanted? -> memory -> GET -> decode -> PUT -> tell feed ready -> HEAD original -> next record
 *                 |                       |       |                     |               | gone: DELETE thumbnail
 *                 |                       |       |                     |               | another by now: created, anew
 *                 |                       |       |                     | not wanted: created, anew
 *                 |                       |       | refused: tell feed rejected -> DELETE thumbnail -> HEAD original, as above
 *                 |                       | gone: as removed
 *                 | no: created, anew; of no item: DELETE thumbnail -> next record
 *   removed:  HEAD original; there again: created, anew. Gone: DELETE thumbnail, HEAD once more; there by now: created, anew.
 *
 * Anew means without regard to the order of events. The object is always taken as it is now, and looked at again after the
 * last thing that was written or told about it. So repeats, any order, several events on one key at the same time and
 * deliveries that fail half the way come to the same end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/imgproc/imgproc.h"
#include "aws/s3_event.h"
#include "base/clock.h"
#include "base/log.h"

#define FEED_TIMEOUT_US (5 * US_PER_S)
#define ROUNDS_MAX 6 /* beginnings anew on one record, when the object or the item keeps changing */
#define CACHE_CONTROL "public, max-age=86400"

struct event {
    struct imgproc *imgproc;
    struct ask *ask;
    struct s3_event notification;
    size_t at; /* the record that is worked on */
    struct imgproc_object_event_outcome outcome;
    unsigned rounds;
    struct text sequencer; /* of the record, or absent to decide by the state of things alone */
    struct memory_claim claim;
    struct buffer image;
    char etag[S3_ETAG_BYTES]; /* of the object that the thumbnail, or the rejection, is of */
    struct decode_result thumbnail;
    bool decoder_failed;
    struct pool_job job;
    struct event *next, **link;
};

static struct s3_event_record *record_of(const struct event *event) {
    return &event->notification.records[event->at];
}

static void release_image(struct event *event) {
    buffer_free(&event->image);
    memory_release(&event->imgproc->memory, &event->claim);
}

static void event_free(struct event *event) {
    release_image(event);
    decode_result_free(&event->thumbnail);
    *event->link = event->next;
    if (event->next != NULL)
        event->next->link = event->link;
    free(event);
}

void event_drop_all(struct imgproc *imgproc) {
    while (imgproc->events != NULL) {
        struct event *event = imgproc->events;
        /* Nothing may be granted to another while all of them go. */
        event->claim.held = event->claim.waiting = false;
        imgproc->memory = (struct memory){0};
        event_free(event);
    }
}

/* The whole event again, later. */
static void fail(struct event *event, enum error error, const char *detail) {
    struct ask *ask = event->ask;
    event_free(event);
    ask_fail(ask, error, detail);
}

static void fail_s3(struct event *event, const struct s3_result *result) {
    char detail[S3_DETAIL_BYTES + 32];
    (void)snprintf(detail, sizeof detail, "%s: %s", s3_outcome_name(result->outcome), result->detail);
    fail(event, ERROR_storage_unavailable, detail);
}

static struct s3_request request_to(struct event *event, struct text bucket, void (*done)(void *, struct s3_result *)) {
    return (struct s3_request){
        .bucket = bucket, .key = record_of(event)->key, .deadline_us = event->ask->deadline_us, .done = done, .context = event};
}

static void begun(struct event *event, const struct s3_operation *operation) {
    if (operation == NULL)
        fail(event, ERROR_busy, "too many S3 operations");
}

static void next_record(struct event *event);
static void make(struct event *event);

/* ---- the thumbnail goes ---- */

static void original_looked_at_again(void *context, struct s3_result *result) {
    struct event *event = context;
    if (result->outcome == S3_MISSING) {
        event->outcome.removed++;
        next_record(event);
    } else if (result->outcome == S3_OK) {
        event->sequencer = (struct text){0}; /* uploaded anew meanwhile: whoever made its thumbnail, we may have deleted it */
        make(event);
    } else {
        fail_s3(event, result);
    }
}

static void thumbnail_deleted(void *context, struct s3_result *result) {
    struct event *event = context;
    if (result->outcome != S3_OK) {
        fail_s3(event, result);
        return;
    }
    const struct s3_request request = request_to(event, event->imgproc->media_bucket, original_looked_at_again);
    begun(event, s3_head(event->imgproc->s3, &request));
}

static void delete_thumbnail(struct event *event, void (*done)(void *, struct s3_result *)) {
    const struct s3_request request = request_to(event, event->imgproc->thumbnails_bucket, done);
    begun(event, s3_delete(event->imgproc->s3, &request));
}

static void original_looked_at(void *context, struct s3_result *result) {
    struct event *event = context;
    if (result->outcome == S3_MISSING) {
        delete_thumbnail(event, thumbnail_deleted);
    } else if (result->outcome == S3_OK) {
        event->sequencer = (struct text){
            0}; /* uploaded again after this removal, whose first delivery may have gone half the way */
        make(event);
    } else {
        fail_s3(event, result);
    }
}

static void remove_record(struct event *event) {
    const struct s3_request request = request_to(event, event->imgproc->media_bucket, original_looked_at);
    begun(event, s3_head(event->imgproc->s3, &request));
}

/* ---- the thumbnail comes ---- */

/* Is the object still the one that was looked at? If it changed since, another event's work may have been overwritten. */
static void looked_again(struct event *event, struct s3_result *result, uint64_t *count) {
    if (result->outcome == S3_MISSING) {
        delete_thumbnail(event, thumbnail_deleted);
    } else if (result->outcome != S3_OK) {
        fail_s3(event, result);
    } else if (strcmp(result->etag, event->etag) != 0) {
        event->sequencer = (struct text){0};
        make(event);
    } else {
        ++*count;
        next_record(event);
    }
}

static void looked_after_ready(void *context, struct s3_result *result) {
    struct event *event = context;
    looked_again(event, result, &event->outcome.ready);
}

static void looked_after_rejected(void *context, struct s3_result *result) {
    struct event *event = context;
    looked_again(event, result, &event->outcome.rejected);
}

static void look_again(struct event *event, void (*done)(void *, struct s3_result *)) {
    const struct s3_request request = request_to(event, event->imgproc->media_bucket, done);
    begun(event, s3_head(event->imgproc->s3, &request));
}

/* The item went while its thumbnail was made. */
static void orphan_deleted(void *context, struct s3_result *result) {
    struct event *event = context;
    if (result->outcome != S3_OK) {
        fail_s3(event, result);
        return;
    }
    event->outcome.ignored++;
    next_record(event);
}

static void ready_told(void *context, enum error error, const void *reply) {
    struct event *event = context;
    const struct feed_image_status *status = reply;
    if (error != OK) {
        fail(event, error, "feed_image_ready");
    } else if (status->wanted) {
        look_again(event, looked_after_ready);
    } else if (event->sequencer.data != NULL) {
        /* The item is gone, or a later event on this object was faster and we overwrote its thumbnail: find out. */
        event->sequencer = (struct text){0};
        make(event);
    } else {
        delete_thumbnail(event, orphan_deleted);
    }
}

static void tell_ready(struct event *event) {
    const struct feed_image_ready_request request = {.image_id = record_of(event)->key,
                                                     .sequencer = event->sequencer,
                                                     .width = event->thumbnail.width,
                                                     .height = event->thumbnail.height};
    actor_ask(event->imgproc->actor, event->ask, MESSAGE_feed_image_ready, &request, FEED_TIMEOUT_US, ready_told, event);
}

static void rejected_deleted(void *context, struct s3_result *result) {
    struct event *event = context;
    if (result->outcome != S3_OK) {
        fail_s3(event, result);
        return;
    }
    look_again(event, looked_after_rejected);
}

static void rejected_told(void *context, enum error error, const void *reply) {
    struct event *event = context;
    const struct feed_image_status *status = reply;
    if (error != OK) {
        fail(event, error, "feed_image_rejected");
    } else if (status->wanted) {
        delete_thumbnail(event, rejected_deleted); /* of an earlier upload under this key */
    } else {
        event->outcome.ignored++;
        next_record(event);
    }
}

static void reject(struct event *event, const char *reason) {
    const struct feed_image_rejected_request request = {
        .image_id = record_of(event)->key, .sequencer = event->sequencer, .reason = text_from(reason)};
    actor_ask(event->imgproc->actor, event->ask, MESSAGE_feed_image_rejected, &request, FEED_TIMEOUT_US, rejected_told, event);
}

static void thumbnail_put(void *context, struct s3_result *result) {
    struct event *event = context;
    decode_result_free(&event->thumbnail);
    if (result->outcome != S3_OK)
        fail_s3(event, result);
    else
        tell_ready(event);
}

/* In a thread of the pool. */
static void decode_work(struct pool_job *job) {
    struct event *event = job->context;
    event->decoder_failed = !decoders_decode(event->imgproc->decoders, buffer_text(&event->image), &event->thumbnail);
}

static void decode_done(struct pool_job *job) {
    struct event *event = job->context;
    release_image(event);
    if (event->decoder_failed) {
        fail(event, ERROR_unavailable, "no decoder could be started");
        return;
    }
    if (!event->thumbnail.decoded) {
        reject(event, event->thumbnail.reason);
        return;
    }
    const struct s3_request request = request_to(event, event->imgproc->thumbnails_bucket, thumbnail_put);
    begun(event,
          s3_put(event->imgproc->s3, &request, (struct text){(const char *)event->thumbnail.jpeg, event->thumbnail.jpeg_bytes},
                 TEXT("image/jpeg"), TEXT(CACHE_CONTROL)));
}

static void image_here(void *context, struct s3_result *result) {
    struct event *event = context;
    memcpy(event->etag, result->etag, sizeof event->etag);
    if (result->outcome == S3_OK) {
        event->image = result->body;
        result->body = (struct buffer){0};
        event->job = (struct pool_job){.work = decode_work, .done = decode_done, .context = event};
        if (!pool_submit(event->imgproc->pool, &event->job))
            fail(event, ERROR_busy, "too many images wait to be decoded");
        return;
    }
    release_image(event);
    if (result->outcome == S3_MISSING) {
        remove_record(event);
    } else if (result->outcome == S3_TOO_LARGE) {
        char reason[LIMIT_REASON_BYTES + 1];
        (void)snprintf(reason, sizeof reason, "The file is too large; at most %zu kB are accepted.",
                       event->imgproc->image_bytes_max / 1000);
        reject(event, reason);
    } else {
        fail_s3(event, result);
    }
}

static void memory_granted(struct memory_claim *claim) {
    struct event *event = (struct event *)((char *)claim - offsetof(struct event, claim));
    const struct s3_request request = request_to(event, event->imgproc->media_bucket, image_here);
    begun(event, s3_get(event->imgproc->s3, &request, event->imgproc->image_bytes_max, (struct text){0}));
}

static void status_known(void *context, enum error error, const void *reply) {
    struct event *event = context;
    const struct feed_image_status *status = reply;
    const struct s3_event_record *record = record_of(event);
    if (error != OK) {
        fail(event, error, "feed_image_status");
    } else if (status->wanted) {
        uint64_t bytes = event->imgproc->image_bytes_max;
        if (record->has_size && record->size < bytes)
            bytes = record->size; /* an object that was replaced by a larger one since may take more, up to the limit */
        event->claim = (struct memory_claim){.bytes = bytes, .granted = memory_granted};
        memory_take(&event->imgproc->memory, &event->claim);
    } else if (event->sequencer.data != NULL) {
        /*
         * Old, or of no item. An earlier delivery of it may have gone half the way, overwritten or deleted a newer thumbnail
         * and failed then; so things are set right as they are now.
         */
        event->sequencer = (struct text){0};
        make(event);
    } else {
        delete_thumbnail(event, orphan_deleted);
    }
}

static void make(struct event *event) {
    if (++event->rounds > ROUNDS_MAX) {
        fail(event, ERROR_busy, "the object keeps changing");
        return;
    }
    const struct feed_image_request request = {.image_id = record_of(event)->key, .sequencer = event->sequencer};
    actor_ask(event->imgproc->actor, event->ask, MESSAGE_feed_image_status, &request, FEED_TIMEOUT_US, status_known, event);
}

/* ---- one record after the other ---- */

static bool is_ours(const struct event *event, const struct s3_event_record *record) {
    return record->kind != S3_EVENT_OTHER && text_equal(record->bucket, event->imgproc->media_bucket) &&
           !text_equal(record->bucket, event->imgproc->thumbnails_bucket);
}

static void work_on(struct event *event) {
    while (event->at < event->notification.count && !is_ours(event, record_of(event))) {
        event->outcome.ignored++;
        event->at++;
    }
    if (event->at == event->notification.count) {
        struct ask *ask = event->ask;
        struct imgproc_object_event_outcome outcome = event->outcome;
        event_free(event);
        ask_reply(ask, &outcome);
        return;
    }
    event->rounds = 0;
    event->sequencer = record_of(event)->sequencer;
    if (record_of(event)->kind == S3_EVENT_CREATED)
        make(event);
    else
        remove_record(event);
}

static void next_record(struct event *event) {
    event->at++;
    work_on(event);
}

void event_begin(struct imgproc *imgproc, struct ask *ask, struct text notification) {
    char problem[S3_EVENT_PROBLEM_BYTES];
    struct event *event = calloc(1, sizeof *event);
    if (event == NULL) {
        ask_fail(ask, ERROR_internal, "out of memory");
        return;
    }
    event->imgproc = imgproc;
    event->ask = ask;
    if (!s3_event_decode(notification, &ask->arena, &event->notification, problem)) {
        free(event);
        ask_fail(ask, ERROR_event_malformed, problem);
        return;
    }
    event->next = imgproc->events;
    event->link = &imgproc->events;
    if (event->next != NULL)
        event->next->link = &event->next;
    imgproc->events = event;
    work_on(event);
}
