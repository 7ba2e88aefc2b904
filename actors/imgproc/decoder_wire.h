/*
 * decoder_wire.h: what imgproc and its decoder process say to each other, over a socket of their own (descriptor 3). The image
 * lies in memory that both have mapped (descriptor 4). Both programs come from one build, which the magic number holds.
 */
#ifndef PIXBUS_IMGPROC_DECODER_WIRE_H
#define PIXBUS_IMGPROC_DECODER_WIRE_H

#include "actors/imgproc/decode.h"

#define DECODER_SOCKET_FD 3
#define DECODER_IMAGE_FD 4
#define DECODER_MAGIC 0x50424401u

struct decoder_job {
    uint32_t magic;
    uint32_t reserved;
    uint64_t image_bytes, pixels_max;
    int64_t timeout_us;
};

/* What the decoder sends first of all is DECODER_MAGIC, a uint32_t. To each job it answers this; the thumbnail's bytes follow. */
struct decoder_answer {
    uint32_t magic;
    uint32_t decoded;
    uint32_t width, height;
    uint32_t jpeg_bytes;
    char reason[LIMIT_REASON_BYTES + 1];
};

#endif
