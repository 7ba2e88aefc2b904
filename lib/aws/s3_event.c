#include "aws/s3_event.h"

#include <stdarg.h>
#include <stdio.h>

#include "json/json.h"

[[gnu::format(printf, 2, 3)]] static bool fail(char *problem, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem, S3_EVENT_PROBLEM_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* '+' first, then the escapes, once. The result is never longer than what came. */
struct text s3_event_key(struct text encoded, struct arena *arena) {
    if (encoded.size == 0 || encoded.size > 3 * LIMIT_OBJECT_KEY_BYTES)
        return (struct text){0};
    char *key = arena_alloc(arena, encoded.size + 1);
    size_t size = 0;
    if (key == NULL)
        return (struct text){0};
    for (size_t i = 0; i < encoded.size; i++) {
        uint8_t byte = (uint8_t)encoded.data[i];
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            if (encoded.size - i < 3 || !hex_decode((struct text){encoded.data + i + 1, 2}, &byte, 1))
                return (struct text){0};
            i += 2;
        }
        key[size++] = (char)byte;
    }
    struct text decoded = {key, size};
    return size <= LIMIT_OBJECT_KEY_BYTES && text_is_utf8(decoded) ? decoded : (struct text){0};
}

/*
 * S3 says: compare as strings after padding the shorter on the right with zeroes. Without the zeroes at the end that is the
 * plain order of strings, whatever their lengths.
 */
static struct text decode_sequencer(struct text sequencer, struct arena *arena) {
    while (sequencer.size > 1 && sequencer.data[sequencer.size - 1] == '0')
        sequencer.size--;
    if (sequencer.size == 0 || sequencer.size > S3_SEQUENCER_BYTES_MAX)
        return (struct text){0};
    char *out = arena_alloc(arena, sequencer.size + 1);
    for (size_t i = 0; out != NULL && i < sequencer.size; i++) {
        char c = sequencer.data[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return (struct text){0};
        out[i] = c;
    }
    return out != NULL ? (struct text){out, sequencer.size} : (struct text){0};
}

static struct text without_prefix(struct text text, struct text prefix) {
    return text_starts_with(text, prefix) ? (struct text){text.data + prefix.size, text.size - prefix.size} : text;
}

static enum s3_event_kind kind_of(struct text name) {
    if (text_starts_with(name, TEXT("ObjectCreated:")))
        return S3_EVENT_CREATED;
    if (text_starts_with(name, TEXT("ObjectRemoved:")) || text_starts_with(name, TEXT("LifecycleExpiration:")))
        return S3_EVENT_REMOVED;
    return S3_EVENT_OTHER;
}

/* Another service's events, or a later generation of these, may mean anything: they are none of ours. */
static bool is_known_shape(const struct json *record) {
    struct text source = json_as_string(json_member(record, "eventSource"));
    struct text version = json_as_string(json_member(record, "eventVersion"));
    return (source.data == NULL || text_equal(source, TEXT("aws:s3")) || text_equal(source, TEXT("minio:s3"))) &&
           (version.data == NULL || text_starts_with(version, TEXT("2.")));
}

/* versitygw sends the ETag in its quotes; an empty one (ministack, of deletions) is none. */
static struct text decode_etag(struct text etag) {
    if (etag.size >= 2 && etag.data[0] == '"' && etag.data[etag.size - 1] == '"')
        etag = (struct text){etag.data + 1, etag.size - 2};
    return etag.size > 0 ? etag : (struct text){0};
}

/* A text that the document does not outlive. */
static struct text keep(struct text text, struct arena *arena, bool *complete) {
    struct text copy = arena_copy(arena, text);
    *complete &= text.data == NULL || copy.data != NULL;
    return copy;
}

static bool decode_record(const struct json *json, size_t number, struct arena *arena, struct s3_event_record *ret_record,
                          char *problem) {
    const struct json *s3 = json_member(json, "s3"), *object = json_member(s3, "object"), *size = json_member(object, "size");
    struct text name = json_as_string(json_member(json, "eventName"));
    struct text bucket = json_as_string(json_member(json_member(s3, "bucket"), "name"));
    struct text key = json_as_string(json_member(object, "key"));
    bool complete = true;
    if (name.size == 0 || bucket.size == 0 || key.data == NULL)
        return fail(problem, "record %zu has no %s", number,
                    name.size == 0     ? "eventName"
                    : bucket.size == 0 ? "s3.bucket.name"
                                       : "s3.object.key");
    if (bucket.size > LIMIT_BUCKET_BYTES)
        return fail(problem, "record %zu has a bucket name of more than %d bytes", number, LIMIT_BUCKET_BYTES);
    name = without_prefix(name, TEXT("s3:"));
    *ret_record = (struct s3_event_record){
        .kind = is_known_shape(json) ? kind_of(name) : S3_EVENT_OTHER,
        .name = keep(name, arena, &complete),
        .bucket = keep(bucket, arena, &complete),
        .key = s3_event_key(key, arena),
        .etag = keep(decode_etag(json_as_string(json_member(object, "eTag"))), arena, &complete),
        .version_id = keep(json_as_string(json_member(object, "versionId")), arena, &complete),
        .sequencer = decode_sequencer(json_as_string(json_member(object, "sequencer")), arena),
    };
    if (json_kind(size) == JSON_KIND_INTEGER && json_as_integer(size) >= 0) {
        ret_record->has_size = true;
        ret_record->size = (uint64_t)json_as_integer(size);
    }
    if (ret_record->key.data == NULL)
        ret_record->kind = S3_EVENT_OTHER;
    return complete || fail(problem, "no memory for the records");
}

static bool decode_document(const struct json *document, struct arena *arena, struct s3_event *ret_event, char *problem) {
    const struct json *records = json_member(document, "Records");
    struct s3_event event = {.count = json_count(records)};
    if (json_kind(document) != JSON_KIND_OBJECT)
        return fail(problem, "the notification is not a JSON object");
    if (records == NULL && text_equal(json_as_string(json_member(document, "Event")), TEXT("s3:TestEvent"))) {
        *ret_event = (struct s3_event){0};
        return true;
    }
    if (json_kind(records) != JSON_KIND_ARRAY)
        return fail(problem, "the notification has no array Records");
    if (event.count > S3_EVENT_RECORDS_MAX)
        return fail(problem, "the notification has more than %d records", S3_EVENT_RECORDS_MAX);
    event.records = arena_array(arena, event.count > 0 ? event.count : 1, sizeof *event.records);
    if (event.records == NULL)
        return fail(problem, "no memory for the records");
    for (size_t i = 0; i < event.count; i++)
        if (!decode_record(json_item(records, i), i + 1, arena, &event.records[i], problem))
            return false;
    *ret_event = event;
    return true;
}

bool s3_event_decode(struct text notification, struct arena *arena, struct s3_event *ret_event,
                     char problem[S3_EVENT_PROBLEM_BYTES]) {
    char syntax[JSON_PROBLEM_BYTES];
    if (notification.size > LIMIT_EVENT_BYTES)
        return fail(problem, "the notification has more than %d bytes", LIMIT_EVENT_BYTES);
    struct json *document = json_parse(notification, syntax);
    if (document == NULL)
        return fail(problem, "the notification is not JSON: %s", syntax);
    bool decoded = decode_document(document, arena, ret_event, problem);
    json_free(document);
    return decoded;
}
