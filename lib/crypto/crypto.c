#include "crypto/crypto.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

/* The algorithms are fetched once: an implicit fetch in each call costs three times what hashing a short text does. */
struct digest {
    EVP_MD *algorithm;
    EVP_MD_CTX *context;
};

struct hmac {
    EVP_MAC *algorithm;
    EVP_MAC_CTX *context;
};

static void must(int result) {
    if (result != 1)
        abort();
}

struct digest *digest_new(enum digest_kind kind) {
    struct digest *digest = calloc(1, sizeof *digest);
    if (digest == NULL)
        return NULL;
    digest->algorithm = EVP_MD_fetch(NULL, kind == DIGEST_SHA256 ? "SHA256" : "MD5", NULL);
    digest->context = EVP_MD_CTX_new();
    if (digest->algorithm == NULL || digest->context == NULL ||
        EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL) != 1) {
        digest_free(digest);
        return NULL;
    }
    return digest;
}

void digest_update(struct digest *digest, const void *bytes, size_t size) {
    if (size > 0)
        must(EVP_DigestUpdate(digest->context, bytes, size));
}

void digest_finish(struct digest *digest, uint8_t *ret_bytes) {
    must(EVP_DigestFinal_ex(digest->context, ret_bytes, NULL));
    digest_reset(digest);
}

void digest_reset(struct digest *digest) {
    must(EVP_DigestInit_ex2(digest->context, NULL, NULL));
}

void digest_free(struct digest *digest) {
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->algorithm);
    free(digest);
}

struct hmac *hmac_new(void) {
    struct hmac *hmac = calloc(1, sizeof *hmac);
    if (hmac == NULL)
        return NULL;
    char name[] = "SHA256";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                     OSSL_PARAM_construct_end()};
    hmac->algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    hmac->context = hmac->algorithm != NULL ? EVP_MAC_CTX_new(hmac->algorithm) : NULL;
    if (hmac->context == NULL || EVP_MAC_CTX_set_params(hmac->context, parameters) != 1) {
        hmac_free(hmac);
        return NULL;
    }
    return hmac;
}

void hmac_key(struct hmac *hmac, const void *key, size_t size) {
    assert(size > 0);
    must(EVP_MAC_init(hmac->context, key, size, NULL));
}

/* Init without a key takes the state that the key was hashed into already. */
void hmac_compute(struct hmac *hmac, const void *bytes, size_t size, uint8_t ret_bytes[SHA256_BYTES]) {
    size_t written = 0;
    must(EVP_MAC_init(hmac->context, NULL, 0, NULL));
    must(EVP_MAC_update(hmac->context, bytes, size));
    must(EVP_MAC_final(hmac->context, ret_bytes, &written, SHA256_BYTES));
    assert(written == SHA256_BYTES);
}

void hmac_free(struct hmac *hmac) {
    if (hmac == NULL)
        return;
    EVP_MAC_CTX_free(hmac->context);
    EVP_MAC_free(hmac->algorithm);
    free(hmac);
}

bool crypto_equal(const void *a, const void *b, size_t size) {
    return CRYPTO_memcmp(a, b, size) == 0;
}
