/*
 * statements.h: every statement that feed asks Postgres for, and what their outcomes mean to a caller. The schema is in
 * sql/. Times are UTC.
 */
#ifndef PIXBUS_FEED_STATEMENTS_H
#define PIXBUS_FEED_STATEMENTS_H

#include "pg/pg.h"
#include "proto/proto.h"

enum statement {
    STATEMENT_PAGE_ALL, /* $1 updated_at and $2 id of the place behind which it begins, $3 number of rows; item rows */
    STATEMENT_PAGE_READY,
    STATEMENT_PAGE_PENDING,
    STATEMENT_LOOKUP,         /* $1 ids; item rows in any order */
    STATEMENT_CREATE,         /* $1 email, $2 image id, $3 caption; item row */
    STATEMENT_UPDATE,         /* $1 id, $2 email, $3 caption; item row if it is the caller's */
    STATEMENT_DELETE,         /* $1 id, $2 email, $3 and $4 buckets; id if it was the caller's */
    STATEMENT_SIGN,           /* $1 image id, $2 email; image id of a pending item of the caller's */
    STATEMENT_IMAGE_STATUS,   /* $1 image id, $2 sequencer; is it wanted? */
    STATEMENT_IMAGE_READY,    /* $1 image id, $2 sequencer, $3 width, $4 height; number of items that have it */
    STATEMENT_IMAGE_REJECTED, /* $1 image id, $2 sequencer, $3 reason; the same */
    STATEMENT_OUTBOX_CLAIM,   /* $1 number of rows; id, bucket, object_key */
    STATEMENT_OUTBOX_DONE,    /* $1 id */
    STATEMENT_OUTBOX_FAILED,  /* $1 id, $2 reason */
    STATEMENT_COUNT
};

extern const struct pg_statement feed_statements[STATEMENT_COUNT];

/* What to answer when a query ended so; OK for PG_OK. What Postgres refused is logged: it is our mistake. */
enum error statement_error(const struct pg_result *result);

/* One item as it stands in the table. Texts point into the result. */
struct item_row {
    struct feed_item item; /* without url, not editable */
    struct text created_by, image_id;
    bool owner_exact; /* sql/README.md */
};

/* Read a row of the item columns. Captions and reasons of any origin are cut to what a message takes, at a character. */
void item_row_read(const struct pg_result *result, size_t row, struct item_row *ret_row);

/* Does the item belong to the caller with this email? Never to nobody. */
bool item_row_owned_by(const struct item_row *row, struct text email);

#endif
