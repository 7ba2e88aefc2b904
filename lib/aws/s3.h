/*
 * s3.h: what we do with objects: get, put, look, delete. Path style, signed headers, any S3-compatible endpoint.
 *
 * What may be a passing trouble (no connection, 5xx, SlowDown, time-outs) is tried again, with growing random pauses,
 * until the operation's deadline. All in the loop's thread.
 */
#ifndef PIXBUS_AWS_S3_H
#define PIXBUS_AWS_S3_H

#include "aws/sigv4.h"
#include "base/loop.h"

#define S3_ETAG_BYTES 128
#define S3_DETAIL_BYTES 200
#define S3_ENDPOINT_BYTES 128

struct s3_client;
struct s3_operation; /* one under way */

struct s3_client_options {
    struct loop *loop;
    const char *endpoint; /* http[s]://host[:port]; NULL: Amazon's own of the region */
    struct sigv4_credentials credentials;
    size_t in_flight_max; /* operations at a time */
    size_t queue_max;     /* operations that wait; beyond: refused */
};

/* Before the process starts its threads. NULL when memory is exhausted or the credentials are too long. */
[[gnu::warn_unused_result]] struct s3_client *s3_client_open(const struct s3_client_options *options);

/* Operations under way end with S3_UNAVAILABLE first. Takes NULL. Not from within a `done`. */
void s3_client_close(struct s3_client *client);

/* Amazon's endpoint of a region, path style. False if it does not fit. */
[[gnu::warn_unused_result]] bool s3_endpoint_of_region(const char *region, char out[S3_ENDPOINT_BYTES]);

enum s3_outcome {
    S3_OK,
    S3_MISSING,             /* no such object */
    S3_DENIED,              /* key, policy, bucket, clock, region: trying again will not help */
    S3_TOO_LARGE,           /* than bytes_max; nothing was downloaded if the server announced it */
    S3_PRECONDITION_FAILED, /* If-Match */
    S3_UNAVAILABLE,         /* nothing helped until the deadline */
};

/* The name, for logs. */
const char *s3_outcome_name(enum s3_outcome outcome);

struct s3_result {
    enum s3_outcome outcome;
    struct buffer body;           /* of a get; may be taken: zero it then */
    uint64_t size;                /* of the object, as the server announced it (get and head) */
    char etag[S3_ETAG_BYTES];     /* without quotes; "" if none came */
    char detail[S3_DETAIL_BYTES]; /* what the server or the network said, for people; "" for S3_OK */
};

struct s3_request {
    struct text bucket, key; /* the key decoded */
    int64_t deadline_us;     /* monotonic */
    /* Called once, never before the function that begins returns. The result lives for the time of the call. */
    void (*done)(void *context, struct s3_result *result);
    void *context;
};

/*
 * Begin. NULL when too many operations wait or memory is exhausted: `done` will not be called.
 * Texts are copied but for the body of s3_put(), which is borrowed until `done`.
 */
[[gnu::warn_unused_result]] struct s3_operation *s3_get(struct s3_client *client, const struct s3_request *request,
                                                        size_t bytes_max, struct text if_match);
[[gnu::warn_unused_result]] struct s3_operation *s3_put(struct s3_client *client, const struct s3_request *request,
                                                        struct text body, struct text content_type, struct text cache_control);
[[gnu::warn_unused_result]] struct s3_operation *s3_head(struct s3_client *client, const struct s3_request *request);
/* An object that is not there is S3_OK, too. */
[[gnu::warn_unused_result]] struct s3_operation *s3_delete(struct s3_client *client, const struct s3_request *request);

/* Give up: `done` will not be called. Not from within its own `done`. */
void s3_cancel(struct s3_operation *operation);

#endif
