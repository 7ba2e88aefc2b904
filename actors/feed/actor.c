/* The feed actor: items, pages, upload URLs and the state of images. Handlers and their table. */
#include "actors/feed/actor.h"

#include "actors/feed/feed.h"
#include "actors/feed/images.h"
#include "actors/feed/items.h"
#include "actors/feed/open.h"

/* Asks at the same time. Reads gather while a query is under way, so many of them cost little more than one. */
#define FEED_CREDIT 256

static struct feed *feed_of(const struct ask *ask) {
    return actor_application(ask->actor);
}

static void handle_feed_list(struct ask *ask, const void *request) {
    pages_read(feed_of(ask)->pages, ask, request, false);
}

static void handle_feed_thumbnails(struct ask *ask, const void *request) {
    pages_read(feed_of(ask)->pages, ask, request, true);
}

static void handle_feed_get(struct ask *ask, const void *request) {
    if (caller_known(ask))
        lookups_get(feed_of(ask)->lookups, ask, request, false);
    else
        ask_fail(ask, ERROR_unauthorized, NULL);
}

static void handle_feed_thumbnail(struct ask *ask, const void *request) {
    lookups_get(feed_of(ask)->lookups, ask, request, true);
}

static void handle_feed_create(struct ask *ask, const void *request) {
    items_create(feed_of(ask), ask, request);
}

static void handle_feed_update(struct ask *ask, const void *request) {
    items_update(feed_of(ask), ask, request);
}

static void handle_feed_delete(struct ask *ask, const void *request) {
    items_delete(feed_of(ask), ask, request);
}

static void handle_feed_sign(struct ask *ask, const void *request) {
    items_sign(feed_of(ask), ask, request);
}

static void handle_feed_image_status(struct ask *ask, const void *request) {
    images_status(feed_of(ask), ask, request);
}

static void handle_feed_image_ready(struct ask *ask, const void *request) {
    images_ready(feed_of(ask), ask, request);
}

static void handle_feed_image_rejected(struct ask *ask, const void *request) {
    images_rejected(feed_of(ask), ask, request);
}

static const struct actor_handler handlers[] = {
#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) {MESSAGE_##name, handle_##name},
#define PROTO_READ "proto/feed.def"
#include "proto/proto_read.h"
};

const struct actor_description feed_actor = {
    .program = "pixbus-feed",
    .service = "feed",
    .help = "Items of the feed: posts, lists, edits and deletes them, signs the URLs of their images, and keeps their state.",
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
    .credit = FEED_CREDIT,
    .open = feed_open,
    .close = feed_close,
};
