/*
 * upload.h: an object on its way in: written to a temporary file and hashed as it arrives, checked against what the client
 * promised, and made durable. One thread at a time works on it; everything but upload_new() blocks.
 */
#ifndef PIXBUS_STORE_UPLOAD_H
#define PIXBUS_STORE_UPLOAD_H

#include "actors/store/store.h"
#include "crypto/crypto.h"

/* What the body must be. */
struct upload_promise {
    uint64_t size_bytes;
    bool has_md5, has_sha256, has_checksum_sha256, has_checksum_crc32;
    uint8_t md5[MD5_BYTES];                /* Content-MD5 */
    uint8_t sha256[SHA256_BYTES];          /* x-amz-content-sha256, part of the signature */
    uint8_t checksum_sha256[SHA256_BYTES]; /* x-amz-checksum-sha256 */
    uint32_t checksum_crc32;               /* x-amz-checksum-crc32 */
};

struct upload;

/* NULL when memory is exhausted. Touches no disk. */
[[gnu::warn_unused_result]] struct upload *upload_new(struct store *store, const struct upload_promise *promise);

/* S3_OK, InsufficientStorage, InternalError, IncompleteBody when it is more than was promised. */
[[gnu::warn_unused_result]] enum s3_error upload_write(struct upload *upload, const void *bytes, size_t size);

/*
 * The body has ended: compare it with the promise, write the trailer (`object` gets its size, time and, unless it has one,
 * the ETag), sync.
 * S3_OK, BadDigest, XAmzContentSHA256Mismatch, IncompleteBody or as upload_write().
 */
[[gnu::warn_unused_result]] enum s3_error upload_seal(struct upload *upload, struct object *object);

/* The sealed file, in the work directory. */
const char *upload_path(const struct upload *upload);

/* The file has been moved away: upload_free() leaves it alone. */
void upload_moved(struct upload *upload);

/* Removes the file. Takes NULL. */
void upload_free(struct upload *upload);

#endif
