/*
 * checksum.h: CRC-32 as zlib and S3's x-amz-checksum-crc32 have it.
 */
#ifndef PIXBUS_STORE_CHECKSUM_H
#define PIXBUS_STORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Begin with 0; the checksum so far goes in, the one of all bytes comes out. */
uint32_t checksum_crc32(uint32_t checksum, const void *bytes, size_t size);

#endif
