#include "actors/feed/outbox.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/feed/statements.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/random.h"

#define AT_A_TIME 16                       /* deletions under way */
#define OBJECT_DEADLINE_US (20 * US_PER_S) /* well within the time of a claim, see STATEMENT_OUTBOX_CLAIM */
#define LOOK_AGAIN_US (10 * US_PER_S)      /* give or take a fifth: for retries that are due, and for what others left */

struct deletion {
    struct outbox *outbox;
    bool in_use;
    int64_t id;
};

struct outbox {
    struct loop *loop;
    struct pg *pg;
    struct s3_client *s3;
    struct loop_timer look;
    bool claiming;    /* a claim is under way */
    bool look_again;  /* there may be more than was claimed */
    size_t under_way; /* deletions */
    struct deletion deletions[AT_A_TIME];
};

static void look(struct loop_timer *timer);

static void look_later(struct outbox *outbox) {
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    int64_t delay_us = LOOK_AGAIN_US * 4 / 5 + (int64_t)(dice % (uint32_t)(LOOK_AGAIN_US * 2 / 5));
    loop_timer_set(outbox->loop, &outbox->look, loop_now_us(outbox->loop) + delay_us);
}

static void recorded(void *context, const struct pg_result *result) {
    (void)context;
    (void)statement_error(result); /* not recorded: the claim runs out, and the deletion is done once more */
}

/* The row goes, or says why not and waits. */
static void deletion_end(struct deletion *deletion, bool good, struct text reason) {
    struct outbox *outbox = deletion->outbox;
    const struct pg_value values[] = {pg_int8_value(deletion->id), pg_text_value(reason)};
    deletion->in_use = false;
    outbox->under_way--;
    pg_query(outbox->pg, good ? STATEMENT_OUTBOX_DONE : STATEMENT_OUTBOX_FAILED, values, good ? 1 : 2, INT64_MAX, recorded, NULL);
    if (outbox->under_way == 0 && outbox->look_again)
        outbox_wake(outbox);
}

static void object_deleted(void *context, struct s3_result *result) {
    struct deletion *deletion = context;
    bool good = result->outcome == S3_OK || result->outcome == S3_MISSING;
    struct text reason = text_from(result->detail);
    if (!good)
        log_event(LOG_LEVEL_WARN, "object_not_deleted", "outcome", s3_outcome_name(result->outcome), "reason", result->detail,
                  NULL);
    deletion_end(deletion, good, text_is_utf8(reason) ? reason : text_from(s3_outcome_name(result->outcome)));
}

static struct deletion *free_deletion(struct outbox *outbox) {
    for (size_t i = 0; i < AT_A_TIME; i++)
        if (!outbox->deletions[i].in_use)
            return &outbox->deletions[i];
    assert(0 && "no more rows are claimed than there are free places");
    return NULL;
}

static void claimed(void *context, const struct pg_result *result) {
    struct outbox *outbox = context;
    outbox->claiming = false;
    if (statement_error(result) != OK)
        return;
    outbox->look_again = outbox->look_again || result->row_count == AT_A_TIME;
    for (size_t i = 0; i < result->row_count; i++) {
        struct deletion *deletion = free_deletion(outbox);
        struct s3_request request = {.bucket = pg_text(result, i, 1),
                                     .key = pg_text(result, i, 2),
                                     .deadline_us = loop_now_us(outbox->loop) + OBJECT_DEADLINE_US,
                                     .done = object_deleted,
                                     .context = deletion};
        *deletion = (struct deletion){.outbox = outbox, .in_use = true, .id = pg_int8(result, i, 0)};
        outbox->under_way++;
        if (s3_delete(outbox->s3, &request) == NULL)
            deletion_end(deletion, false, TEXT("the client of the storage takes no more"));
    }
    if (result->row_count == 0 && outbox->look_again)
        outbox_wake(outbox);
}

/* One batch at a time: the next one is claimed when this one is through. */
static void look(struct loop_timer *timer) {
    struct outbox *outbox = timer->context;
    const struct pg_value values[] = {pg_int8_value(AT_A_TIME)};
    look_later(outbox);
    if (outbox->claiming || outbox->under_way > 0) {
        outbox->look_again = true;
        return;
    }
    outbox->claiming = true;
    outbox->look_again = false;
    pg_query(outbox->pg, STATEMENT_OUTBOX_CLAIM, values, 1, INT64_MAX, claimed, outbox);
}

struct outbox *outbox_new(struct loop *loop, struct pg *pg, struct s3_client *s3) {
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL)
        return NULL;
    outbox->loop = loop;
    outbox->pg = pg;
    outbox->s3 = s3;
    outbox->look = (struct loop_timer){.fire = look, .context = outbox};
    outbox_wake(outbox);
    return outbox;
}

void outbox_free(struct outbox *outbox) {
    if (outbox == NULL)
        return;
    loop_timer_clear(&outbox->look);
    free(outbox);
}

void outbox_wake(struct outbox *outbox) {
    loop_timer_set(outbox->loop, &outbox->look, loop_now_us(outbox->loop));
}
