#include "actors/feed/lookups.h"

#include <stdlib.h>

#include "actors/feed/statements.h"
#include "base/clock.h"

#define BATCH_MAX 128 /* ids in one query */

struct lookup {
    struct ask *ask;
    int32_t id;
    bool thumbnail;
};

struct waiting {
    struct waiting *next;
    struct lookup lookup;
};

struct lookups {
    struct loop *loop;
    struct pg *pg;
    struct urls *urls;
    struct loop_timer begin; /* set for the end of the turn in which lookups came */
    struct waiting *first, **end;
    bool under_way;
    size_t count; /* of the batch under way */
    struct lookup batch[BATCH_MAX];
    struct buffer url;
};

static void answer(struct lookups *lookups, struct lookup *lookup, const struct item_row *row) {
    struct feed_item item = row->item;
    buffer_clear(&lookups->url);
    bool good = lookup->thumbnail ? urls_thumbnail(lookups->urls, row->image_id, &lookups->url)
                                  : urls_original(lookups->urls, row->image_id, clock_real_us(), &lookups->url);
    struct ask *ask = lookup->ask;
    lookup->ask = NULL;
    item.url = buffer_text(&lookups->url);
    item.editable = !lookup->thumbnail && ask->caller.user_id != 0 && item_row_owned_by(row, ask->caller.email);
    if (good)
        ask_reply(ask, &item);
    else
        ask_fail(ask, ERROR_internal, "the image has no URL");
}

static void begin(struct lookups *lookups);

static void batch_done(void *context, const struct pg_result *result) {
    struct lookups *lookups = context;
    enum error error = statement_error(result);
    for (size_t r = 0; error == OK && r < result->row_count; r++) {
        struct item_row row;
        item_row_read(result, r, &row);
        for (size_t i = 0; i < lookups->count; i++)
            if (lookups->batch[i].ask != NULL && (uint64_t)lookups->batch[i].id == row.item.id)
                answer(lookups, &lookups->batch[i], &row);
    }
    for (size_t i = 0; i < lookups->count; i++)
        if (lookups->batch[i].ask != NULL)
            ask_fail(lookups->batch[i].ask, error != OK ? error : ERROR_item_not_found, NULL);
    lookups->under_way = false;
    begin(lookups);
}

/* Ask for those that wait. While a query is under way they gather for the next one. */
static void begin(struct lookups *lookups) {
    int32_t ids[BATCH_MAX] = {0};
    int64_t deadline_us = 0;
    if (lookups->under_way || lookups->first == NULL)
        return;
    lookups->count = 0;
    while (lookups->first != NULL && lookups->count < BATCH_MAX) {
        const struct lookup *lookup = &lookups->first->lookup;
        if (lookup->ask->deadline_us > deadline_us)
            deadline_us = lookup->ask->deadline_us;
        ids[lookups->count] = lookup->id;
        lookups->batch[lookups->count++] = *lookup;
        lookups->first = lookups->first->next;
    }
    lookups->under_way = true;
    const struct pg_value values[] = {pg_array_value(ids, lookups->count)};
    pg_query(lookups->pg, STATEMENT_LOOKUP, values, 1, deadline_us, batch_done, lookups);
}

static void begin_due(struct loop_timer *timer) {
    begin(timer->context);
}

struct lookups *lookups_new(struct loop *loop, struct pg *pg, struct urls *urls) {
    struct lookups *lookups = calloc(1, sizeof *lookups);
    if (lookups == NULL)
        return NULL;
    lookups->loop = loop;
    lookups->pg = pg;
    lookups->urls = urls;
    lookups->begin = (struct loop_timer){.fire = begin_due, .context = lookups};
    return lookups;
}

void lookups_free(struct lookups *lookups) {
    if (lookups == NULL)
        return;
    loop_timer_clear(&lookups->begin);
    for (struct waiting *waiting = lookups->first, *after; waiting != NULL; waiting = after) {
        after = waiting->next; /* it is in its ask's arena */
        ask_fail(waiting->lookup.ask, ERROR_draining, NULL);
    }
    buffer_free(&lookups->url);
    free(lookups);
}

void lookups_get(struct lookups *lookups, struct ask *ask, const struct feed_get_request *request, bool thumbnail) {
    struct waiting *waiting = arena_alloc(&ask->arena, sizeof *waiting);
    if (request->id > INT32_MAX) { /* beyond the column's type, so nobody's */
        ask_fail(ask, ERROR_item_not_found, NULL);
        return;
    }
    if (waiting == NULL) {
        ask_fail(ask, ERROR_busy, "out of memory");
        return;
    }
    waiting->lookup = (struct lookup){ask, (int32_t)request->id, thumbnail};
    *(lookups->first != NULL ? lookups->end : &lookups->first) = waiting;
    lookups->end = &waiting->next;
    if (!lookups->under_way)
        loop_timer_set(lookups->loop, &lookups->begin, loop_now_us(lookups->loop));
}
