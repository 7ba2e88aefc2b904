/*
 * put.h: what the headers of a PUT say: how the object is described, and what its body must be.
 */
#ifndef PIXBUS_STORE_PUT_H
#define PIXBUS_STORE_PUT_H

#include "actors/store/authorize.h"
#include "actors/store/upload.h"

struct put {
    bool only_if_absent; /* If-None-Match: * */
    struct upload_promise promise;
    struct object object; /* key and headers; the texts point into the request */
};

/* The headers that are kept with an object (also of CreateMultipartUpload). S3_OK or MetadataTooLarge. */
[[gnu::warn_unused_result]] enum s3_error put_headers(const struct sigv4_request *wire, struct object *object);

/*
 * S3_OK; InvalidDigest for a malformed checksum; MetadataTooLarge; NotImplemented for a copy, other conditions, an
 * aws-chunked body or a key of the client's for encryption.
 */
[[gnu::warn_unused_result]] enum s3_error put_parse(const struct sigv4_request *wire, const struct authorization *authorization,
                                                    struct text key, uint64_t body_bytes, struct put *ret_put);

#endif
