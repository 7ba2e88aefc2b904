/*
 * siphash.h: SipHash-2-4 with 128 bits of output (Aumasson and Bernstein): a keyed hash. With a key that nobody knows,
 * nobody can find two inputs with one hash, or an input with a given hash.
 */
#ifndef PIXBUS_GATEWAY_SIPHASH_H
#define PIXBUS_GATEWAY_SIPHASH_H

#include "base/text.h"

#define SIPHASH_KEY_BYTES 16

struct siphash {
    uint64_t low, high;
};

struct siphash siphash_compute(const uint8_t key[SIPHASH_KEY_BYTES], struct text text);

#endif
