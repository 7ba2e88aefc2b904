/*
 * s3_error.h: the errors of the S3 protocol that the store gives, and their XML form.
 */
#ifndef PIXBUS_STORE_S3_ERROR_H
#define PIXBUS_STORE_S3_ERROR_H

#include "base/buffer.h"

enum s3_error {
    S3_OK = 0,
#define S3_ERROR(name, status, text) S3_##name,
#include "actors/store/s3_error.def"
#undef S3_ERROR
};

int s3_error_status(enum s3_error error);
/* NoSuchKey, … "OK" for S3_OK. */
const char *s3_error_name(enum s3_error error);

/* The error that stands for an HTTP status that nginx itself came to. */
enum s3_error s3_error_of_status(int status);

/* Append the XML document. `resource` is the request's path, decoded or not; absent: none. */
void s3_error_write(enum s3_error error, struct text resource, struct text request_id, struct buffer *out);

/* Append text of an XML element or attribute (XML 1.0): what it cannot hold becomes U+FFFD. */
void xml_write_text(struct text text, struct buffer *out);

#endif
