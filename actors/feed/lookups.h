/*
 * lookups.h: single items by their number. All that are wanted at the same time share one query, which begins after they
 * were asked for.
 */
#ifndef PIXBUS_FEED_LOOKUPS_H
#define PIXBUS_FEED_LOOKUPS_H

#include "actors/feed/urls.h"
#include "bus/actor.h"
#include "pg/pg.h"

struct lookups;

/* All borrowed. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct lookups *lookups_new(struct loop *loop, struct pg *pg, struct urls *urls);
/* After the database was closed. Takes NULL. */
void lookups_free(struct lookups *lookups);

/* Answer with the item, with its thumbnail's URL or a presigned GET of the original. */
void lookups_get(struct lookups *lookups, struct ask *ask, const struct feed_get_request *request, bool thumbnail);

#endif
