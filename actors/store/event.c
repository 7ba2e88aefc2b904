#include "actors/store/event.h"

#include "actors/store/percent.h"
#include "base/clock.h"

static const char *name_of(enum event_kind kind) {
    switch (kind) {
    case EVENT_PUT: return "ObjectCreated:Put";
    case EVENT_MULTIPART: return "ObjectCreated:CompleteMultipartUpload";
    case EVENT_DELETE: return "ObjectRemoved:Delete";
    }
    return "";
}

void event_write(const struct event *event, struct buffer *out) {
    char time[RFC3339_BYTES];
    rfc3339_format(event->time_us, time);
    buffer_printf(
        out,
        "{\"Records\":[{\"eventVersion\":\"2.1\",\"eventSource\":\"aws:s3\",\"awsRegion\":\"%.*s\",\"eventTime\":\"%.23sZ\","
        "\"eventName\":\"%s\",\"userIdentity\":{\"principalId\":\"pixbus\"},"
        "\"requestParameters\":{\"sourceIPAddress\":\"%.*s\"},\"responseElements\":{\"x-amz-request-id\":\"%.*s\"},"
        "\"s3\":{\"s3SchemaVersion\":\"1.0\",\"configurationId\":\"pixbus\","
        "\"bucket\":{\"name\":\"%.*s\",\"ownerIdentity\":{\"principalId\":\"pixbus\"},\"arn\":\"arn:aws:s3:::%.*s\"},"
        "\"object\":{\"key\":\"",
        TEXT_ARGUMENTS(event->region), time, name_of(event->kind), TEXT_ARGUMENTS(event->address),
        TEXT_ARGUMENTS(event->request_id), TEXT_ARGUMENTS(event->bucket), TEXT_ARGUMENTS(event->bucket));
    percent_encode(PERCENT_FORM, event->key, out);
    buffer_append_text(out, TEXT("\","));
    if (event->kind != EVENT_DELETE)
        buffer_printf(out, "\"size\":%llu,\"eTag\":\"%s\",", (unsigned long long)event->size_bytes, event->etag);
    buffer_printf(out, "\"sequencer\":\"%016llX\"}}}]}", (unsigned long long)event->sequencer);
}
