#include "actors/feed/statements.h"

#include "base/log.h"

/* The order is item_row_read()'s. Adopted captions have any length; what is sent is bounded. */
#define ITEM_COLUMNS                                                          \
    "id, left(caption, 8192), created_by, image_id, created_at, updated_at, " \
    "case state when 'pending' then 1 when 'ready' then 2 else 3 end, left(reject_reason, 200), width, height, owner_exact"

static_assert(LIMIT_CAPTION_BYTES == 8192 && LIMIT_REASON_BYTES == 200, "the item columns are cut at the limits");
static_assert(ITEM_PENDING == 1 && ITEM_READY == 2 && ITEM_REJECTED == 3, "the item columns number the states like the protocol");

/* Is the item the caller's, whose email is this parameter? item_row_owned_by() says the same in C. */
#define OWNED_BY(email) "(created_by = " email " or (not owner_exact and lower(created_by) = lower(" email ")))"

#define NOW "(now() at time zone 'utc')"

/* One range of one index, from the place behind the last item of the page before. */
#define PAGE(condition)                                                                      \
    "select " ITEM_COLUMNS " from feeditems where " condition "(updated_at, id) < ($1, $2) " \
    "order by updated_at desc, id desc limit $3"
#define PAGE_PARAMETERS .parameter_count = 3, .parameters = {PG_TIMESTAMP, PG_INT4, PG_INT8}

/*
 * The items that have image $1, locked, with whether an event of sequencer $2 is at least as new as their last one. An
 * event without a sequencer cannot be ordered, and counts.
 */
#define IMAGE_ITEMS                                                                            \
    "with target as (select id, $2 is null or sequencer is null or $2 >= sequencer as newest " \
    "from feeditems where image_id = $1 for update), "
#define IMAGE_ITEMS_END                                                                            \
    "sequencer = coalesce($2, f.sequencer) from target where f.id = target.id and target.newest) " \
    "select count(*)::int4 from target"

const struct pg_statement feed_statements[STATEMENT_COUNT] = {
    [STATEMENT_PAGE_ALL] = {.name = "feed_page_all", .sql = PAGE(""), PAGE_PARAMETERS},
    [STATEMENT_PAGE_READY] = {.name = "feed_page_ready", .sql = PAGE("state = 'ready' and "), PAGE_PARAMETERS},
    [STATEMENT_PAGE_PENDING] = {.name = "feed_page_pending", .sql = PAGE("state = 'pending' and "), PAGE_PARAMETERS},
    [STATEMENT_LOOKUP] = {.name = "feed_lookup",
                          .sql = "select " ITEM_COLUMNS " from feeditems where id = any($1)",
                          .parameter_count = 1,
                          .parameters = {PG_INT4_ARRAY}},
    [STATEMENT_CREATE] = {.name = "feed_create",
                          .sql = "insert into feeditems (created_by, image_id, caption, owner_exact) values ($1, $2, $3, "
                                 "exists (select from users where lower(email) = lower($1) and case_variant)) "
                                 "returning " ITEM_COLUMNS,
                          .parameter_count = 3,
                          .parameters = {PG_TEXT, PG_TEXT, PG_TEXT}},
    /* Two changes within a microsecond, or a clock that was set back, still move updated_at forward. */
    [STATEMENT_UPDATE] = {.name = "feed_update",
                          .sql = "update feeditems set caption = $3, "
                                 "updated_at = greatest(" NOW ", updated_at + interval '1 microsecond') "
                                 "where id = $1 and " OWNED_BY("$2") " returning " ITEM_COLUMNS,
                          .parameter_count = 3,
                          .parameters = {PG_INT4, PG_TEXT, PG_TEXT}},
    /* Adopted items may share an image: the last one takes it along. */
    [STATEMENT_DELETE] = {.name = "feed_delete",
                          .sql = "with gone as (delete from feeditems where id = $1 and " OWNED_BY(
                              "$2") " returning id, image_id), "
                                    "queued as (insert into object_deletions (bucket, object_key) "
                                    "select bucket, gone.image_id from gone cross join (values ($3), ($4)) as objects (bucket) "
                                    "where not exists (select from feeditems other "
                                    "where other.image_id = gone.image_id and other.id <> gone.id)) "
                                    "select id from gone",
                          .parameter_count = 4,
                          .parameters = {PG_INT4, PG_TEXT, PG_TEXT, PG_TEXT}},
    [STATEMENT_SIGN] = {.name = "feed_sign",
                        .sql = "select image_id from feeditems where image_id = $1 and state = 'pending' and " OWNED_BY(
                            "$2") " limit 1",
                        .parameter_count = 2,
                        .parameters = {PG_TEXT, PG_TEXT}},
    [STATEMENT_IMAGE_STATUS] = {.name = "feed_image_status",
                                .sql = "select coalesce(bool_or($2 is null or sequencer is null or $2 >= sequencer), false) "
                                       "from feeditems where image_id = $1",
                                .parameter_count = 2,
                                .parameters = {PG_TEXT, PG_TEXT}},
    [STATEMENT_IMAGE_READY] = {.name = "feed_image_ready",
                               .sql = IMAGE_ITEMS "changed as (update feeditems f set state = 'ready', reject_reason = null, "
                                                  "width = $3, height = $4, " IMAGE_ITEMS_END,
                               .parameter_count = 4,
                               .parameters = {PG_TEXT, PG_TEXT, PG_INT4, PG_INT4}},
    [STATEMENT_IMAGE_REJECTED] = {.name = "feed_image_rejected",
                                  .sql = IMAGE_ITEMS "changed as (update feeditems f set state = 'rejected', reject_reason = $3, "
                                                     "width = null, height = null, " IMAGE_ITEMS_END,
                                  .parameter_count = 3,
                                  .parameters = {PG_TEXT, PG_TEXT, PG_TEXT}},
    /*
     * A claim pushes due_at beyond the time that a deletion may take, so other instances leave the row alone; an instance
     * that dies with claims only delays them. Materialized, because a plan may run a plain subquery once for each row, and
     * every run then passes over what the one before took: more rows than asked for.
     */
    [STATEMENT_OUTBOX_CLAIM] = {.name = "feed_outbox_claim",
                                .sql = "with due as materialized (select id from object_deletions where due_at <= " NOW " "
                                       "order by due_at limit $1 for update skip locked) "
                                       "update object_deletions d set attempts = attempts + 1, due_at = " NOW
                                       " + interval '60 seconds' from due where d.id = due.id "
                                       "returning d.id, d.bucket, d.object_key",
                                .parameter_count = 1,
                                .parameters = {PG_INT8}},
    [STATEMENT_OUTBOX_DONE] = {.name = "feed_outbox_done",
                               .sql = "delete from object_deletions where id = $1",
                               .parameter_count = 1,
                               .parameters = {PG_INT8}},
    /* 1 s, 2 s, 4 s … up to about 10 minutes, each give or take a quarter. */
    [STATEMENT_OUTBOX_FAILED] =
        {.name = "feed_outbox_failed",
         .sql = "update object_deletions set last_error = $2, due_at = " NOW " + "
                "interval '1 second' * (least(power(2, least(attempts, 10) - 1), 600) * (0.75 + random() / 2)) "
                "where id = $1",
         .parameter_count = 2,
         .parameters = {PG_INT8, PG_TEXT}},
};

enum error statement_error(const struct pg_result *result) {
    switch (result->outcome) {
    case PG_OK: return OK;
    case PG_UNAVAILABLE:
    case PG_TIMEOUT: return ERROR_database_unavailable;
    case PG_BUSY: return ERROR_busy;
    case PG_REFUSED: break;
    }
    log_event(LOG_LEVEL_ERROR, "query_refused", "sqlstate", result->sqlstate, "reason", result->message, NULL);
    return ERROR_internal;
}

/* Cut to `size_max` bytes and to well-formed UTF-8, which a database of another encoding may not hold. */
static struct text presentable(struct text text, size_t size_max) {
    if (text.size > size_max) {
        text.size = size_max;
        while (text.size > 0 && ((unsigned char)text.data[text.size] & 0xC0) == 0x80)
            text.size--;
    }
    return text_is_utf8(text) ? text : (struct text){"", 0};
}

static uint64_t number(const struct pg_result *result, size_t row, unsigned column) {
    return pg_is_null(result, row, column) ? 0 : (uint64_t)pg_int4(result, row, column);
}

void item_row_read(const struct pg_result *result, size_t row, struct item_row *ret_row) {
    struct text caption = pg_text(result, row, 1), reason = pg_text(result, row, 7);
    *ret_row = (struct item_row){
        .item = {.id = (uint64_t)pg_int4(result, row, 0),
                 .caption = presentable(caption.data != NULL ? caption : TEXT(""), LIMIT_CAPTION_BYTES),
                 .created_at = pg_time_us(result, row, 4),
                 .updated_at = pg_time_us(result, row, 5),
                 .state = (enum item_state)pg_int4(result, row, 6),
                 .width = number(result, row, 8),
                 .height = number(result, row, 9)},
        .created_by = pg_text(result, row, 2),
        .image_id = pg_text(result, row, 3),
        .owner_exact = pg_bool(result, row, 10),
    };
    if (reason.size > 0)
        reason = presentable(reason, LIMIT_REASON_BYTES);
    ret_row->item.reject_reason = reason.size > 0 ? reason : (struct text){0};
}

bool item_row_owned_by(const struct item_row *row, struct text email) {
    if (email.size == 0)
        return false;
    return row->owner_exact ? text_equal(row->created_by, email) : text_equal_ignoring_case(row->created_by, email);
}
