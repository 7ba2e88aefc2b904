/*
 * limits.h: every limit of the system in one place, related to each other by static_assert.
 * Units stand last in the names. What happens at a limit is said beside it.
 */
#ifndef PIXBUS_LIMITS_H
#define PIXBUS_LIMITS_H

#include <assert.h>

/* Text that people write. Longer: the field's own error (proto/, the .def files). */
#define LIMIT_EMAIL_BYTES 254 /* RFC 5321, path limit less the brackets */
#define LIMIT_PASSWORD_BYTES 1024
#define LIMIT_CAPTION_BYTES 8192
#define LIMIT_TOKEN_BYTES 2048
#define LIMIT_URL_BYTES 2048
#define LIMIT_CURSOR_BYTES 64
#define LIMIT_IMAGE_ID_BYTES 64     /* ours are 32 hex digits; adopted rows may hold others */
#define LIMIT_OBJECT_KEY_BYTES 1024 /* S3 */
#define LIMIT_BUCKET_BYTES 255
#define LIMIT_REASON_BYTES 200

/* HTTP. Larger: 413, 414 or 431. */
#define LIMIT_HTTP_BODY_BYTES (64 * 1024)
#define LIMIT_HTTP_BODY_MS 10000       /* for a body to arrive; beyond: 408 */
#define LIMIT_TOKEN_CACHE_ENTRIES 1024 /* verified tokens a gateway worker remembers; more: the oldest is checked again */
#define LIMIT_TOKEN_CACHE_S 60

/* Pages. A larger limit= is served as this many items, and the Link leads on. */
#define LIMIT_PAGE_ITEMS 100
#define DEFAULT_PAGE_ITEMS 20

/* Messages. A larger body is refused where it is made, and by whoever receives it. */
#define LIMIT_MESSAGE_BYTES (2 * 1024 * 1024)
#define LIMIT_ENVELOPE_BYTES 1024
#define LIMIT_BATCH_BYTES (32 * 1024 * 1024) /* gathered for one peer; beyond: it is given up */
#define LIMIT_EVENT_BYTES (64 * 1024)        /* S3 event notification, as SQS limits it when S3 sends */
#define LIMIT_MSGPACK_DEPTH 16
#define LIMIT_RECORD_FIELDS 32

/* Memory that handling one message may take beside its body. Beyond: the error `internal`. */
#define LIMIT_ARENA_BYTES (16 * 1024 * 1024)

/* The bus. Beyond: `busy` at once. */
#define LIMIT_PEERS 1024
#define LIMIT_SERVICES 64
#define LIMIT_SERVICE_NAME_BYTES 32
#define LIMIT_INSTANCE_NAME_BYTES 64
#define LIMIT_DETAIL_BYTES 200
#define LIMIT_QUEUE_MESSAGES 4096
#define LIMIT_QUEUE_BYTES (16 * 1024 * 1024)
#define LIMIT_ASKS_IN_FLIGHT 16384 /* per client, and per broker */
#define LIMIT_DEADLINE_MS 60000
#define LIMIT_CREDIT 4096

/* The .env file. Larger, or longer: malformed. */
#define LIMIT_DOTENV_BYTES (64 * 1024)
#define LIMIT_DOTENV_NAME_BYTES 128

static_assert(LIMIT_MESSAGE_BYTES + LIMIT_ENVELOPE_BYTES <= LIMIT_BATCH_BYTES, "a batch holds at least one message");
static_assert(LIMIT_PAGE_ITEMS * (LIMIT_CAPTION_BYTES + LIMIT_URL_BYTES + 1024) <= LIMIT_MESSAGE_BYTES,
              "a page of the longest items fits a message");
static_assert(LIMIT_HTTP_BODY_BYTES <= LIMIT_MESSAGE_BYTES, "an HTTP body fits a message");
static_assert(LIMIT_CREDIT <= LIMIT_ASKS_IN_FLIGHT, "one instance cannot be owed more than a broker tracks");

#endif
