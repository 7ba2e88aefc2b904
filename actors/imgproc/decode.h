/*
 * decode.h: bytes in, thumbnail or reason out. The one door to libvips.
 *
 * JPEG, PNG, WebP and GIF (its first frame), recognised by content. The thumbnail is a JPEG that fits within the box,
 * never enlarged, upright, in sRGB, on white where the original was transparent, without metadata. The header is read and
 * checked before anything is decoded; what is damaged or cut off is refused.
 */
#ifndef PIXBUS_IMGPROC_DECODE_H
#define PIXBUS_IMGPROC_DECODE_H

#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"

#define THUMBNAIL_WIDTH 300
#define THUMBNAIL_HEIGHT 240
#define THUMBNAIL_QUALITY 80
#define THUMBNAIL_BYTES_MAX (1024 * 1024) /* what a box of noise comes to, and much more */

struct decode_limits {
    uint64_t pixels_max; /* of the original */
    int64_t timeout_us;  /* for all of it */
};

struct decode_result {
    bool decoded;
    uint8_t *jpeg; /* decoded: the thumbnail; free with decode_result_free() */
    size_t jpeg_bytes;
    uint32_t width, height;              /* decoded: of the upright original */
    char reason[LIMIT_REASON_BYTES + 1]; /* not decoded: a sentence for the owner of the image */
};

/* Once, before the process has other threads. False with a reason on standard error if libvips does not start. */
[[gnu::warn_unused_result]] bool decode_start(const char *program);
void decode_end(void);

/* In the thread that called decode_start(). */
void decode_thumbnail(struct text image, const struct decode_limits *limits, struct decode_result *ret_result);

/* Takes a zeroed result. */
static inline void decode_result_free(struct decode_result *result) {
    free(result->jpeg);
    result->jpeg = NULL;
}

#endif
