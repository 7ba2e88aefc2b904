/*
 * replies.h: translate_reply() with a memory of the last few pages.
 *
 * Readers of the first page get the same bytes from feed, and turning them into JSON is most of what such a request costs
 * here. The same query and the same bytes have the same JSON, whoever asks and however much later: comparing them is the
 * whole rule, so nothing can be stale and nothing expires.
 */
#ifndef PIXBUS_GATEWAY_REPLIES_H
#define PIXBUS_GATEWAY_REPLIES_H

#include "gateway/translate.h"

#define REPLIES_REMEMBERED 4          /* the feed's first page for nobody and for somebody, its thumbnails, and one more */
#define REPLIES_BYTES_MAX (64 * 1024) /* of a page and of its JSON; a longer one is not remembered */

struct replies;

/* NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct replies *replies_new(void);
/* Takes NULL. */
void replies_free(struct replies *replies);

/* As translate_reply(). */
enum error replies_translate(struct replies *replies, const struct route *route, struct text query, struct text reply,
                             struct arena *arena, struct buffer *json, struct buffer *link);

#endif
