/*
 * authorize.h: who may do what. Everything needs a valid signature (SigV4, in the header or presigned), but that anybody
 * may read objects of the thumbnails bucket.
 */
#ifndef PIXBUS_STORE_AUTHORIZE_H
#define PIXBUS_STORE_AUTHORIZE_H

#include "actors/store/request.h"
#include "aws/sigv4.h"

struct authorization {
    bool anonymous;
    bool presigned;
    bool has_payload_sha256; /* the body must have this hash */
    uint8_t payload_sha256[SHA256_BYTES];
};

/*
 * `wire` is the request as it was received. S3_OK; AccessDenied, ExpiredToken, SignatureDoesNotMatch, InvalidAccessKeyId,
 * RequestTimeTooSkewed (all 403); NotImplemented for a payload signed piece by piece; InvalidArgument for a payload hash
 * that is none.
 */
[[gnu::warn_unused_result]] enum s3_error authorize(struct sigv4_signer *signer, const struct s3_request *request,
                                                    const struct sigv4_request *wire, struct text public_bucket, int64_t now_us,
                                                    struct authorization *ret_authorization);

#endif
