#include "actors/store/checksum.h"

#include <zlib.h>

uint32_t checksum_crc32(uint32_t checksum, const void *bytes, size_t size) {
    return (uint32_t)crc32_z(checksum, bytes, size);
}
