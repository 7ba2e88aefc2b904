/*
 * listing.h: a page of a bucket's keys in order (ListObjectsV2). It looks at every name of the bucket but keeps no more
 * than a page of them, so memory is bounded and a page of 100,000 objects costs a directory scan. Blocks.
 */
#ifndef PIXBUS_STORE_LISTING_H
#define PIXBUS_STORE_LISTING_H

#include "actors/store/request.h"
#include "actors/store/store.h"

/* Append the XML document that answers the request. S3_OK or InternalError. */
[[gnu::warn_unused_result]] enum s3_error listing_write(const struct store *store, const struct s3_request *request,
                                                        struct buffer *out);

/* Append the XML document of ListBuckets. */
void listing_write_buckets(const struct store *store, struct buffer *out);

#endif
