/*
 * images.h: what events say of images. At least once and in any order they come to the same end: an event that is older
 * than the last one of its image changes nothing. None of this moves updated_at, so the feed's order is its owners' doing.
 */
#ifndef PIXBUS_FEED_IMAGES_H
#define PIXBUS_FEED_IMAGES_H

#include "actors/feed/feed.h"

/* Wanted: an item has the image, and the event is not older than the newest one that was taken. */
void images_status(struct feed *feed, struct ask *ask, const struct feed_image_request *request);

/*
 * Wanted: an item has the image. It is said of an older event too, which changes nothing: the thumbnail that was written
 * shows what the storage held later than that event, so it must not be taken away.
 */
void images_ready(struct feed *feed, struct ask *ask, const struct feed_image_ready_request *request);
void images_rejected(struct feed *feed, struct ask *ask, const struct feed_image_rejected_request *request);

#endif
