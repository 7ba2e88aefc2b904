/* Bytes that claim to be images, with limits that keep one of them cheap. */
#include "actors/imgproc/decode.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    struct decode_result result;
    if (!started && !decode_start("fuzz_decode"))
        abort();
    started = true;
    decode_thumbnail((struct text){(const char *)data, size},
                     &(struct decode_limits){.pixels_max = 1000000, .timeout_us = US_PER_S}, &result);
    assert(result.decoded == (result.jpeg != NULL) && result.decoded == (result.reason[0] == '\0'));
    assert(!result.decoded || (result.width > 0 && result.height > 0 && result.jpeg_bytes > 0));
    decode_result_free(&result);
    return 0;
}
