/*
 * event.h: the notification of a change, in S3's own JSON shape (S3 user guide, "Event message structure", version 2.1).
 */
#ifndef PIXBUS_STORE_EVENT_H
#define PIXBUS_STORE_EVENT_H

#include "base/buffer.h"

enum event_kind { EVENT_PUT, EVENT_MULTIPART, EVENT_DELETE };

struct event {
    enum event_kind kind;
    struct text region, bucket, key; /* the key decoded */
    struct text address;             /* of the client; printable ASCII */
    struct text request_id;
    int64_t time_us;     /* real time */
    uint64_t size_bytes; /* not of a deletion */
    const char *etag;    /* not of a deletion */
    uint64_t sequencer;
};

/* Append the document. */
void event_write(const struct event *event, struct buffer *out);

#endif
