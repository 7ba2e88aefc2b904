/*
 * multipart.h: objects that arrive in parts (S3 user guide, "Multipart upload"), as the AWS CLI sends all that has more
 * than 8 MB. multipart/ID/begin holds what the object will be, multipart/ID/pNNNNN its parts, each in the form of object.h.
 * Everything here blocks.
 */
#ifndef PIXBUS_STORE_MULTIPART_H
#define PIXBUS_STORE_MULTIPART_H

#include "actors/store/request.h"
#include "actors/store/upload.h"

#define MULTIPART_XML_BYTES_MAX (2 * 1024 * 1024)       /* 10,000 parts */
#define MULTIPART_AGE_US (INT64_C(24) * 3600 * 1000000) /* older ones that were never completed go at the next start */

/* `object` has its key and headers. S3_OK, InsufficientStorage or InternalError. */
[[gnu::warn_unused_result]] enum s3_error multipart_create(struct store *store, struct text bucket, struct object *object,
                                                           char ret_id[S3_UPLOAD_ID_BYTES]);

/* Is there such an upload of this key? S3_OK, NoSuchUpload or InternalError. */
[[gnu::warn_unused_result]] enum s3_error multipart_check(const struct store *store, const struct s3_request *request);

/* A sealed upload becomes the part that the request names; a part of the same number is replaced. */
[[gnu::warn_unused_result]] enum s3_error multipart_put(struct store *store, const struct s3_request *request,
                                                        struct upload *upload);

/*
 * Make the object of the parts that the client's XML lists; *ret_object gets its ETag. S3_OK, NoSuchUpload, MalformedXML,
 * InvalidPart, InvalidPartOrder, EntityTooLarge, or as store_put().
 */
[[gnu::warn_unused_result]] enum s3_error multipart_complete(struct store *store, const struct s3_request *request,
                                                             struct text xml, bool only_if_absent,
                                                             const struct store_origin *origin, struct object *ret_object,
                                                             struct store_change *ret_change);

/* S3_OK or as multipart_check(). */
[[gnu::warn_unused_result]] enum s3_error multipart_abort(struct store *store, const struct s3_request *request);

/* Remove those that began before `time_us` (real time). */
void multipart_sweep(struct store *store, int64_t time_us);

/* One entry of the client's list. */
struct multipart_part {
    unsigned number;
    char etag[OBJECT_ETAG_BYTES];
};

/* Take the next <Part> off the front of the XML. False at the end or if it is malformed, which *ret_malformed tells. */
[[gnu::warn_unused_result]] bool multipart_next_part(struct text *xml, struct multipart_part *ret_part, bool *ret_malformed);

#endif
