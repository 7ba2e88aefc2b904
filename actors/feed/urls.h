/*
 * urls.h: the URLs of images. Presigned ones are at the endpoint that clients reach.
 */
#ifndef PIXBUS_FEED_URLS_H
#define PIXBUS_FEED_URLS_H

#include "base/buffer.h"
#include "base/setting.h"

struct urls;

/* NULL with *ret_problem (static text) when a setting is missing or does not fit. */
[[gnu::warn_unused_result]] struct urls *urls_new(const struct settings *settings, const char **ret_problem);
/* Takes NULL. */
void urls_free(struct urls *urls);

/*
 * Append a presigned GET of the original. It is the same text for some time, so that browsers find it in their cache, and
 * is valid for presign_seconds at least, counted from `real_us`. False if the URL would be longer than LIMIT_URL_BYTES.
 */
[[gnu::warn_unused_result]] bool urls_original(struct urls *urls, struct text image_id, int64_t real_us, struct buffer *out);

/* Append a presigned PUT of the original, valid for presign_seconds. */
[[gnu::warn_unused_result]] bool urls_upload(struct urls *urls, struct text image_id, int64_t real_us, struct buffer *out);

/* Append the thumbnail's public URL. */
[[gnu::warn_unused_result]] bool urls_thumbnail(struct urls *urls, struct text image_id, struct buffer *out);

#endif
