/* The end of an object's file, its seal made right, so that what is behind it is reached too. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/store/checksum.h"
#include "actors/store/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct object object;
    char *tail = malloc(size + 25);
    if (size > OBJECT_TRAILER_BYTES_MAX || tail == NULL) {
        free(tail);
        return 0;
    }
    if (size > 0)
        memcpy(tail, data, size);
    (void)!object_read_trailer((struct text){tail, size}, size, &object);
    (void)snprintf(tail + size, 25, "%08zx%08xPIXBUS1\n", size, checksum_crc32(0, tail, size));
    if (object_read_trailer((struct text){tail, size + 24}, size + 24, &object)) {
        struct buffer again = {0};
        object_write_trailer(&object, &again);
        assert(buffer_ok(&again) && object.key.size > 0);
        buffer_free(&again);
    }
    free(tail);
    return 0;
}
