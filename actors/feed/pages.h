/*
 * pages.h: pages of items. Readers that want the same page at the same time share one query, which begins after they
 * all arrived: nobody gets an answer that is older than the request. They share its encoded answer too, as far as it is
 * the same for them.
 */
#ifndef PIXBUS_FEED_PAGES_H
#define PIXBUS_FEED_PAGES_H

#include "actors/feed/cursor.h"
#include "actors/feed/urls.h"
#include "bus/actor.h"
#include "pg/pg.h"

struct pages;

/* All borrowed. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct pages *pages_new(struct loop *loop, struct pg *pg, struct urls *urls, struct cursors *cursors);
/* After the database was closed. Takes NULL. */
void pages_free(struct pages *pages);

/* Answer with the page; `thumbnails` says which URLs its items have. */
void pages_read(struct pages *pages, struct ask *ask, const struct feed_list_request *request, bool thumbnails);

#endif
