/*
 * sequencer.h: S3's order of the events on one key, in a form in which the order of texts is the order of events.
 */
#ifndef PIXBUS_FEED_SEQUENCER_H
#define PIXBUS_FEED_SEQUENCER_H

#include "base/text.h"

#define SEQUENCER_BYTES 64

/*
 * S3 compares two sequencers as hexadecimal texts after the shorter one was filled up with '0' on its right. '0' is the
 * smallest digit, so texts without the zeros at their end, in one case, compare the same way with no filling: a text is
 * smaller than another that it begins. An absent one stays absent. False if it is too long or not hexadecimal; `out` is
 * what *ret_normal points into.
 */
[[gnu::warn_unused_result]] bool sequencer_normalise(struct text sequencer, char out[SEQUENCER_BYTES], struct text *ret_normal);

#endif
