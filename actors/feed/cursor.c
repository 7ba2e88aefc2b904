#include "actors/feed/cursor.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "crypto/crypto.h"

/* A version, the time, the id, big-endian; then as much of the MAC as makes the whole a multiple of three bytes. */
#define VERSION 1
#define VALUE_BYTES (1 + 8 + 4)
#define MAC_BYTES 11
#define CURSOR_BYTES (VALUE_BYTES + MAC_BYTES)

static_assert(4 * ((CURSOR_BYTES + 2) / 3) <= LIMIT_CURSOR_BYTES, "a cursor fits its field");

struct cursors {
    struct hmac *hmac;
};

struct cursors *cursors_new(struct text secret) {
    static const char purpose[] = "pixbus feed cursor";
    uint8_t key[SHA256_BYTES];
    struct cursors *cursors = calloc(1, sizeof *cursors);
    if (cursors != NULL)
        cursors->hmac = hmac_new();
    if (cursors == NULL || cursors->hmac == NULL) {
        cursors_free(cursors);
        return NULL;
    }
    hmac_key(cursors->hmac, secret.data, secret.size);
    hmac_compute(cursors->hmac, purpose, sizeof purpose - 1, key);
    hmac_key(cursors->hmac, key, sizeof key);
    explicit_bzero(key, sizeof key);
    return cursors;
}

void cursors_free(struct cursors *cursors) {
    if (cursors == NULL)
        return;
    hmac_free(cursors->hmac);
    free(cursors);
}

size_t cursor_encode(struct cursors *cursors, const struct cursor *cursor, char out[LIMIT_CURSOR_BYTES + 1]) {
    uint8_t bytes[CURSOR_BYTES] = {VERSION}, mac[SHA256_BYTES];
    uint64_t time = htobe64((uint64_t)cursor->updated_at_us);
    uint32_t id = htobe32((uint32_t)cursor->id);
    memcpy(bytes + 1, &time, sizeof time);
    memcpy(bytes + 9, &id, sizeof id);
    hmac_compute(cursors->hmac, bytes, VALUE_BYTES, mac);
    memcpy(bytes + VALUE_BYTES, mac, MAC_BYTES);
    return base64url_encode(bytes, sizeof bytes, out);
}

bool cursor_decode(struct cursors *cursors, struct text encoded, struct cursor *ret_cursor) {
    uint8_t bytes[CURSOR_BYTES], mac[SHA256_BYTES];
    uint64_t time;
    uint32_t id;
    size_t size;
    if (!base64url_decode(encoded, bytes, sizeof bytes, &size) || size != sizeof bytes || bytes[0] != VERSION)
        return false;
    hmac_compute(cursors->hmac, bytes, VALUE_BYTES, mac);
    if (!crypto_equal(mac, bytes + VALUE_BYTES, MAC_BYTES))
        return false;
    memcpy(&time, bytes + 1, sizeof time);
    memcpy(&id, bytes + 9, sizeof id);
    *ret_cursor = (struct cursor){(int64_t)be64toh(time), (int32_t)be32toh(id)};
    return true;
}
