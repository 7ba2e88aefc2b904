/*
 * percent.h: percent-encoding (RFC 3986, section 2.1), in the forms that S3 uses.
 */
#ifndef PIXBUS_STORE_PERCENT_H
#define PIXBUS_STORE_PERCENT_H

#include "base/buffer.h"

/* Which bytes stay as they are, beside letters and digits. */
enum percent_form {
    PERCENT_PATH, /* "-_.~/": a path, and the answers of ListObjectsV2 with encoding-type=url */
    PERCENT_NAME, /* "-_.": a file name, or one word of a line */
    PERCENT_FORM, /* "-_.* /", a blank as '+': the key in an event, as S3 writes it (HTML forms, but for the slash) */
};

void percent_encode(enum percent_form form, struct text bytes, struct buffer *out);

/*
 * Decode once into `out` of `capacity` bytes; '+' stays unless `plus_is_blank`. False for a bad escape, or if it does not
 * fit.
 */
[[gnu::warn_unused_result]] bool percent_decode(struct text encoded, bool plus_is_blank, char *out, size_t capacity,
                                                size_t *ret_size);

#endif
