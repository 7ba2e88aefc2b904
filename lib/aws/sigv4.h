/*
 * sigv4.h: AWS Signature Version 4 for S3: presigned URLs and signed headers made, and both verified.
 *
 * The signing key of a day is derived once and kept (a presigned URL then costs about a microsecond). A signer belongs to
 * one thread. S3's rules: the path is encoded once and never normalised, the payload of a presigned request is unsigned.
 */
#ifndef PIXBUS_AWS_SIGV4_H
#define PIXBUS_AWS_SIGV4_H

#include "base/buffer.h"
#include "crypto/crypto.h"

#define SIGV4_EXPIRES_MAX_S 604800
#define SIGV4_SKEW_MAX_S 900 /* how far the clocks of signer and verifier may be apart */
#define SIGV4_HEADERS_MAX 64
#define SIGV4_QUERY_MAX 64 /* parameters */
#define SIGV4_SIGNED_HEADERS_BYTES 512
#define SIGV4_PAYLOAD_BYTES 72
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_signer;

/* Copied; session_token may be NULL. */
struct sigv4_credentials {
    const char *region, *access_key_id, *secret_access_key, *session_token;
};

/* NULL when memory is exhausted or a text is longer than its setting may be (lib/base/settings.def). */
[[gnu::warn_unused_result]] struct sigv4_signer *sigv4_signer_new(const struct sigv4_credentials *credentials);
/* Wipes the keys. Takes NULL. */
void sigv4_signer_free(struct sigv4_signer *signer);

struct sigv4_header {
    struct text name, value;
};

/* ---- presigned URLs ---- */

struct sigv4_presign {
    struct text method;   /* GET, PUT, HEAD or DELETE */
    struct text endpoint; /* http[s]://host[:port], nothing behind it; as the client will reach it */
    struct text bucket;   /* path style; absent: the endpoint's host names the bucket already */
    struct text key;      /* decoded */
    unsigned expires_s;   /* 1 to SIGV4_EXPIRES_MAX_S, counted from now_us */
    int64_t now_us;       /* real time */
    /* Further headers that the client must send exactly so (content-type, content-length, if-none-match): lower-case
     * names, each once, without host. NULL: none. */
    const struct sigv4_header *headers;
    size_t header_count;
};

/* Append the URL. False if the endpoint is malformed, a limit is passed or `out` is full; `out` may then hold a part. */
[[gnu::warn_unused_result]] bool sigv4_presign(struct sigv4_signer *signer, const struct sigv4_presign *presign,
                                               struct buffer *out);

/* Append "/bucket/key" (or "/key" if the bucket is absent), percent-encoded as S3 signs it. */
void sigv4_append_path(struct buffer *out, struct text bucket, struct text key);

/* ---- requests with signed headers ---- */

struct sigv4_request {
    struct text method;
    struct text path;                   /* as it stands in the request line, percent-encoded, from the first '/' to the '?' */
    struct text query;                  /* as it stands there, without the '?'; absent: none */
    const struct sigv4_header *headers; /* in any order; a repeated name is joined by commas */
    size_t header_count;
};

/* The headers that a request needs beside its own. All NUL-terminated. */
struct sigv4_signature {
    char date[17];                         /* x-amz-date */
    char payload_sha256[SHA256_HEX_BYTES]; /* x-amz-content-sha256 */
    char authorization[1536];              /* authorization */
    const char *session_token;             /* x-amz-security-token, or NULL; lives as long as the signer */
};

/*
 * Sign a request that we send: all its headers, which have lower-case names and hold `host`. `payload_sha256` is lower-case hexadecimal, or
 * absent: the payload is not signed (proper over TLS or on one machine). False when a limit is passed or the path or query
 * is malformed.
 */
[[gnu::warn_unused_result]] bool sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request,
                                            struct text payload_sha256, int64_t now_us, struct sigv4_signature *ret_signature);

/* ---- verification ---- */

enum sigv4_result {
    SIGV4_OK,
    SIGV4_MISSING,       /* anonymous: neither an Authorization header nor a presigned query */
    SIGV4_MALFORMED,     /* both, incomplete, another algorithm, a wrong scope, an unsigned x-amz-* header, … */
    SIGV4_EXPIRED,       /* a presigned URL whose time is over */
    SIGV4_NOT_YET_VALID, /* the clocks are more than SIGV4_SKEW_MAX_S apart (for signed headers, either way) */
    SIGV4_UNKNOWN_KEY,   /* another access key id or session token */
    SIGV4_MISMATCH,      /* the signature is not that of this request */
};

struct sigv4_verified {
    bool presigned;
    /* What was signed as the payload: 64 lower-case hexadecimal digits to check the body against, UNSIGNED-PAYLOAD, or one
     * of the STREAMING-… forms. */
    char payload_sha256[SIGV4_PAYLOAD_BYTES];
    char signed_headers[SIGV4_SIGNED_HEADERS_BYTES]; /* "content-type;host;…" */
};

/*
 * Verify a request as it was received (header names in any case): signed headers or a presigned query. `ret_verified` (may be NULL) is filled only
 * with SIGV4_OK. The body is not looked at: compare it with payload_sha256.
 */
[[gnu::warn_unused_result]] enum sigv4_result sigv4_verify(struct sigv4_signer *signer, const struct sigv4_request *request,
                                                           int64_t now_us, struct sigv4_verified *ret_verified);

#endif
