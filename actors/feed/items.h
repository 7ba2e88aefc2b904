/*
 * items.h: what changes a person's own items: post, edit, delete, and another upload URL.
 */
#ifndef PIXBUS_FEED_ITEMS_H
#define PIXBUS_FEED_ITEMS_H

#include "actors/feed/feed.h"

void items_create(struct feed *feed, struct ask *ask, const struct feed_create_request *request);
void items_update(struct feed *feed, struct ask *ask, const struct feed_update_request *request);
void items_delete(struct feed *feed, struct ask *ask, const struct feed_delete_request *request);
void items_sign(struct feed *feed, struct ask *ask, const struct feed_sign_request *request);

#endif
