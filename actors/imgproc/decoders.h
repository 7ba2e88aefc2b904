/*
 * decoders.h: decoder processes, one for each image that is decoded at the same time.
 *
 * Images come from strangers and decoders have bugs: a crash must cost one image, a time limit must hold even where the
 * library does not look at the clock, and the memory must go back. So pixbus-decoder does the work: started when there is
 * some, ended when there was none for a while. This process never loads the image libraries.
 */
#ifndef PIXBUS_IMGPROC_DECODERS_H
#define PIXBUS_IMGPROC_DECODERS_H

#include "actors/imgproc/decode.h"

struct decoders;

/*
 * `program` is the path of pixbus-decoder; NULL: it stands beside this program. At most `count` run at a time. NULL when
 * memory is exhausted.
 */
[[gnu::warn_unused_result]] struct decoders *decoders_new(const char *program, size_t count, const struct decode_limits *limits);

/* Ends the processes. No thread may be decoding. Takes NULL. */
void decoders_free(struct decoders *decoders);

/*
 * Decode in another process, and wait for it: call it from one of at most `count` threads. As decode_thumbnail(), but it
 * returns false when no decoder could be started or fed (memory, descriptors): nothing is known of the image then.
 */
[[gnu::warn_unused_result]] bool decoders_decode(struct decoders *decoders, struct text image, struct decode_result *ret_result);

/* End the processes that have had nothing to do since before monotonic time `before_us`. From any thread. */
void decoders_rest(struct decoders *decoders, int64_t before_us);

/* How many processes there are. */
size_t decoders_count(struct decoders *decoders);

#endif
