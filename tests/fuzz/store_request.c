/* A request's method, target, range, dates and list of parts: one a line. */
#include <assert.h>

#include "actors/store/condition.h"
#include "actors/store/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct text line(struct text *rest) {
    const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    struct text found = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size};
    rest->data += found.size + (end != NULL);
    rest->size -= found.size + (end != NULL);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct text rest = {size > 0 ? (const char *)data : "", size};
    struct s3_request request;
    struct multipart_part part;
    uint64_t first, last;
    int64_t time_us;
    bool malformed;
    struct text method = line(&rest);
    if (s3_request_parse(method, line(&rest), &request) == S3_OK) {
        assert(request.key.data == NULL || (request.key.size >= 1 && request.key.size <= LIMIT_OBJECT_KEY_BYTES));
        assert(request.text_bytes <= sizeof request.text && request.max_keys <= S3_LIST_MAX);
    }
    if (range_parse(line(&rest), 1000, &first, &last) == RANGE_GIVEN)
        assert(first <= last && last < 1000);
    struct conditions conditions = {.if_match = line(&rest)};
    (void)conditions_check(&conditions, TEXT("etag"), 0);
    conditions = (struct conditions){.if_none_match = conditions.if_match, .if_range = line(&rest)};
    (void)conditions_check(&conditions, TEXT("etag"), 0);
    (void)conditions_allow_range(&conditions, TEXT("etag"), 0);
    if (http_date_parse(conditions.if_range, &time_us)) {
        char again[HTTP_DATE_BYTES];
        http_date_format(time_us, again);
    }
    while (multipart_next_part(&rest, &part, &malformed))
        assert(part.number >= 1 && part.number <= S3_PARTS_MAX);
    return 0;
}
