#include "actors/store/authorize.h"

static bool has_header(const struct sigv4_request *wire, struct text name) {
    for (size_t i = 0; i < wire->header_count; i++)
        if (text_equal_ignoring_case(wire->headers[i].name, name))
            return true;
    return false;
}

/* A header that was signed as empty could be left out without changing the signature: it must be there. */
static bool has_signed_headers(const struct sigv4_request *wire, struct text names) {
    while (names.size > 0) {
        const char *end = memchr(names.data, ';', names.size);
        struct text name = {names.data, end != NULL ? (size_t)(end - names.data) : names.size};
        names.data += name.size + (end != NULL);
        names.size -= name.size + (end != NULL);
        if (!has_header(wire, name))
            return false;
    }
    return true;
}

static bool is_public(const struct s3_request *request, struct text public_bucket) {
    return (request->operation == S3_OPERATION_GET_OBJECT || request->operation == S3_OPERATION_HEAD_OBJECT) &&
           text_equal(request->bucket, public_bucket) && request->response_type.data == NULL &&
           request->response_disposition.data == NULL && request->response_cache_control.data == NULL;
}

static enum s3_error check_payload(const struct sigv4_verified *verified, struct authorization *authorization) {
    struct text payload = text_from(verified->payload_sha256);
    authorization->presigned = verified->presigned;
    if (verified->presigned || text_equal(payload, TEXT(SIGV4_UNSIGNED_PAYLOAD)))
        return S3_OK;
    if (text_starts_with(payload, TEXT("STREAMING-")))
        return S3_NotImplemented;
    if (!hex_decode(payload, authorization->payload_sha256, SHA256_BYTES))
        return S3_InvalidArgument;
    authorization->has_payload_sha256 = true;
    return S3_OK;
}

enum s3_error authorize(struct sigv4_signer *signer, const struct s3_request *request, const struct sigv4_request *wire,
                        struct text public_bucket, int64_t now_us, struct authorization *ret_authorization) {
    struct sigv4_verified verified = {0};
    *ret_authorization = (struct authorization){0};
    switch (sigv4_verify(signer, wire, now_us, &verified)) {
    case SIGV4_OK:
        return has_signed_headers(wire, text_from(verified.signed_headers)) ? check_payload(&verified, ret_authorization)
                                                                            : S3_AccessDenied;
    case SIGV4_MISSING: ret_authorization->anonymous = true; return is_public(request, public_bucket) ? S3_OK : S3_AccessDenied;
    case SIGV4_MALFORMED: return S3_AccessDenied;
    case SIGV4_EXPIRED: return S3_ExpiredToken;
    case SIGV4_NOT_YET_VALID: return S3_RequestTimeTooSkewed;
    case SIGV4_UNKNOWN_KEY: return S3_InvalidAccessKeyId;
    case SIGV4_MISMATCH: return S3_SignatureDoesNotMatch;
    }
    return S3_AccessDenied;
}
