/* Whatever somebody puts into a queue: decoded within its promises or refused with a sentence. */
#include "aws/s3_event.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct s3_event event;
    char problem[S3_EVENT_PROBLEM_BYTES] = "";
    arena_init(&arena, 1024 * 1024);
    if (s3_event_decode((struct text){(const char *)data, size}, &arena, &event, problem)) {
        for (size_t i = 0; i < event.count; i++) {
            const struct s3_event_record *record = &event.records[i];
            assert(record->bucket.size > 0 && record->name.data != NULL);
            assert(record->kind == S3_EVENT_OTHER || (record->key.size > 0 && record->key.size <= LIMIT_OBJECT_KEY_BYTES));
            assert(record->key.data == NULL || text_is_utf8(record->key));
            assert(record->sequencer.data == NULL || record->sequencer.size <= S3_SEQUENCER_BYTES_MAX);
        }
    } else {
        assert(problem[0] != '\0');
    }
    arena_free(&arena);
    return 0;
}
