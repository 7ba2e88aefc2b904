/*
 * crypto.h: SHA-256, MD5 and HMAC-SHA256 with contexts that are made once and used many times. The one door to OpenSSL.
 *
 * A context belongs to one thread. What cannot fail once the context exists (hashing bytes in memory) ends the process if
 * it fails nevertheless: a wrong signature or checksum would be worse.
 */
#ifndef PIXBUS_CRYPTO_H
#define PIXBUS_CRYPTO_H

#include "base/text.h"

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES (2 * SHA256_BYTES + 1)
#define MD5_BYTES 16
#define DIGEST_BYTES_MAX SHA256_BYTES

enum digest_kind { DIGEST_SHA256, DIGEST_MD5 };

struct digest;

/* NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct digest *digest_new(enum digest_kind kind);
void digest_update(struct digest *digest, const void *bytes, size_t size);
/* Write SHA256_BYTES or MD5_BYTES and begin anew. */
void digest_finish(struct digest *digest, uint8_t *ret_bytes);
/* Forget what was hashed since the last digest_finish(). */
void digest_reset(struct digest *digest);
/* Takes NULL. */
void digest_free(struct digest *digest);

/* HMAC-SHA256 (RFC 2104). */
struct hmac;

/* NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct hmac *hmac_new(void);
/* Set the key for all that follows; it is copied. */
void hmac_key(struct hmac *hmac, const void *key, size_t size);
void hmac_compute(struct hmac *hmac, const void *bytes, size_t size, uint8_t ret_bytes[SHA256_BYTES]);
/* Wipes the key. Takes NULL. */
void hmac_free(struct hmac *hmac);

/* Compare in a time that depends on `size` alone. */
[[gnu::warn_unused_result]] bool crypto_equal(const void *a, const void *b, size_t size);

#endif
