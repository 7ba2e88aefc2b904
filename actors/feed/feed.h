/*
 * feed.h: what the parts of the feed actor share. Each part is a struct with its own header; they meet here only.
 */
#ifndef PIXBUS_FEED_FEED_H
#define PIXBUS_FEED_FEED_H

#include "actors/feed/cursor.h"
#include "actors/feed/lookups.h"
#include "actors/feed/outbox.h"
#include "actors/feed/pages.h"
#include "actors/feed/urls.h"
#include "pg/pg.h"

struct feed {
    struct loop *loop;
    struct pg *pg;
    struct urls *urls;
    struct cursors *cursors;
    struct pages *pages;
    struct lookups *lookups;
    struct outbox *outbox;
    struct s3_client *s3;
    struct text media_bucket, thumbnails_bucket; /* of the settings */
};

/* Is somebody in particular asking? */
static inline bool caller_known(const struct ask *ask) {
    return ask->caller.user_id != 0 && ask->caller.email.size > 0;
}

#endif
