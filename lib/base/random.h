/*
 * random.h: random bytes from the kernel, for identities and keys.
 */
#ifndef PIXBUS_RANDOM_H
#define PIXBUS_RANDOM_H

#include <stddef.h>

/* Fill `out`. Does not fail: the process ends if the kernel has no randomness to give. */
void random_bytes(void *out, size_t size);

#endif
