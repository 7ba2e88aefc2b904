/*
 * request.h: what a request wants, from its method and target alone. Path style: /, /bucket, /bucket/key.
 */
#ifndef PIXBUS_STORE_REQUEST_H
#define PIXBUS_STORE_REQUEST_H

#include "actors/store/s3_error.h"
#include "base/limits.h"

enum s3_operation {
    S3_OPERATION_LIST_BUCKETS,
    S3_OPERATION_HEAD_BUCKET,
    S3_OPERATION_CREATE_BUCKET,
    S3_OPERATION_BUCKET_LOCATION,
    S3_OPERATION_LIST_OBJECTS, /* version 2 */
    S3_OPERATION_GET_OBJECT,
    S3_OPERATION_HEAD_OBJECT,
    S3_OPERATION_PUT_OBJECT,
    S3_OPERATION_DELETE_OBJECT,
    S3_OPERATION_CREATE_UPLOAD, /* multipart */
    S3_OPERATION_UPLOAD_PART,
    S3_OPERATION_COMPLETE_UPLOAD,
    S3_OPERATION_ABORT_UPLOAD,
    S3_OPERATION_PREFLIGHT, /* OPTIONS, of browsers */
};

#define S3_UPLOAD_ID_BYTES 33
#define S3_PARTS_MAX 10000
#define S3_LIST_MAX 1000

struct s3_request {
    enum s3_operation operation;
    struct text path, query; /* as they stand in the request; query absent: none */
    struct text bucket, key; /* decoded; absent: none. They point into `text` */
    /* Multipart. */
    char upload_id[S3_UPLOAD_ID_BYTES];
    unsigned part;
    /* ListObjectsV2; the texts point into `text`, absent or empty: none. */
    struct text prefix, after, delimiter;
    unsigned max_keys;
    bool encode_keys;
    /* Headers that a signed GET asks for: response-content-type, -disposition, -cache-control. Absent: as stored. */
    struct text response_type, response_disposition, response_cache_control;
    size_t text_bytes;
    char text[8192];
};

/*
 * Parse a request. Everything is percent-decoded once; a key is 1 to 1024 bytes of UTF-8. S3_OK, InvalidURI,
 * InvalidArgument, KeyTooLongError, MethodNotAllowed, or NotImplemented for what S3 has and the store has not. On failure
 * path, bucket and key are what could be read so far.
 */
[[gnu::warn_unused_result]] enum s3_error s3_request_parse(struct text method, struct text target,
                                                           struct s3_request *ret_request);

/* The value of a query parameter as it stands in the query, undecoded. False if it is not there. */
bool s3_query_find(struct text query, struct text name, struct text *ret_value);

#endif
