/* Cursors and sequencers come from outside: whatever is taken must be what we would have written. */
#include <assert.h>
#include <stdint.h>

#include "actors/feed/cursor.h"
#include "actors/feed/sequencer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct cursors *cursors;
    struct text text = {size > 0 ? (const char *)data : "", size};
    struct cursor cursor;
    char encoded[LIMIT_CURSOR_BYTES + 1], bytes[SEQUENCER_BYTES], again_bytes[SEQUENCER_BYTES];
    struct text normal, again;
    if (cursors == NULL)
        cursors = cursors_new(TEXT("secret"));
    assert(cursors != NULL);
    if (cursor_decode(cursors, text, &cursor))
        assert(text_equal((struct text){encoded, cursor_encode(cursors, &cursor, encoded)}, text));
    if (sequencer_normalise(text, bytes, &normal)) {
        assert(normal.size <= size);
        assert(sequencer_normalise(normal, again_bytes, &again) && text_equal(normal, again));
    }
    return 0;
}
