#include "actors/feed/items.h"

#include "actors/feed/statements.h"
#include "base/clock.h"
#include "base/random.h"

#define IMAGE_ID_BYTES 16 /* random, so 32 hexadecimal digits that nobody guesses */

/* Only people with an account change anything. False: the ask is answered. */
static bool require_caller(struct ask *ask) {
    if (caller_known(ask))
        return true;
    ask_fail(ask, ERROR_unauthorized, NULL);
    return false;
}

/* Is there a first row? False: the ask is answered, with `missing` if Postgres has none. */
static bool first_row(struct ask *ask, const struct pg_result *result, enum error missing) {
    enum error error = statement_error(result);
    if (error == OK && result->row_count == 0)
        error = missing;
    if (error != OK)
        ask_fail(ask, error, NULL);
    return error == OK;
}

/* Answer with the caller's own item of the first row. */
static void reply_own_item(struct ask *ask, const struct pg_result *result, bool upload) {
    struct feed *feed = actor_application(ask->actor);
    struct buffer url = {0};
    struct item_row row;
    item_row_read(result, 0, &row);
    bool good = upload ? urls_upload(feed->urls, row.image_id, clock_real_us(), &url)
                       : urls_original(feed->urls, row.image_id, clock_real_us(), &url);
    row.item.editable = true;
    row.item.url = buffer_text(&url);
    if (good)
        ask_reply(ask, &row.item);
    else
        ask_fail(ask, ERROR_internal, "the image has no URL");
    buffer_free(&url);
}

static void created(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    if (first_row(ask, result, ERROR_internal))
        reply_own_item(ask, result, true);
}

void items_create(struct feed *feed, struct ask *ask, const struct feed_create_request *request) {
    uint8_t random[IMAGE_ID_BYTES];
    char image_id[2 * IMAGE_ID_BYTES + 1];
    if (!require_caller(ask))
        return;
    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, image_id);
    const struct pg_value values[] = {pg_text_value(ask->caller.email), pg_text_value(text_from(image_id)),
                                      pg_text_value(request->caption)};
    pg_query(feed->pg, STATEMENT_CREATE, values, 3, ask->deadline_us, created, ask);
}

static void updated(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    if (first_row(ask, result, ERROR_item_not_editable))
        reply_own_item(ask, result, false);
}

void items_update(struct feed *feed, struct ask *ask, const struct feed_update_request *request) {
    if (!require_caller(ask))
        return;
    if (request->id > INT32_MAX) { /* beyond the column's type, so nobody's */
        ask_fail(ask, ERROR_item_not_editable, NULL);
        return;
    }
    const struct pg_value values[] = {pg_int4_value((int32_t)request->id), pg_text_value(ask->caller.email),
                                      pg_text_value(request->caption)};
    pg_query(feed->pg, STATEMENT_UPDATE, values, 3, ask->deadline_us, updated, ask);
}

static void deleted(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    struct feed *feed = actor_application(ask->actor);
    if (!first_row(ask, result, ERROR_item_not_editable))
        return;
    struct feed_deleted reply = {.id = (uint64_t)pg_int4(result, 0, 0)};
    ask_reply(ask, &reply);
    outbox_wake(feed->outbox);
}

void items_delete(struct feed *feed, struct ask *ask, const struct feed_delete_request *request) {
    if (!require_caller(ask))
        return;
    if (request->id > INT32_MAX) {
        ask_fail(ask, ERROR_item_not_editable, NULL);
        return;
    }
    const struct pg_value values[] = {pg_int4_value((int32_t)request->id), pg_text_value(ask->caller.email),
                                      pg_text_value(feed->media_bucket), pg_text_value(feed->thumbnails_bucket)};
    pg_query(feed->pg, STATEMENT_DELETE, values, 4, ask->deadline_us, deleted, ask);
}

static void signable(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    struct feed *feed = actor_application(ask->actor);
    struct buffer url = {0};
    if (!first_row(ask, result, ERROR_image_not_found))
        return;
    bool good = urls_upload(feed->urls, pg_text(result, 0, 0), clock_real_us(), &url);
    struct feed_signed_url reply = {.url = buffer_text(&url)};
    if (good)
        ask_reply(ask, &reply);
    else
        ask_fail(ask, ERROR_internal, "the image has no URL");
    buffer_free(&url);
}

void items_sign(struct feed *feed, struct ask *ask, const struct feed_sign_request *request) {
    if (!require_caller(ask))
        return;
    const struct pg_value values[] = {pg_text_value(request->image_id), pg_text_value(ask->caller.email)};
    pg_query(feed->pg, STATEMENT_SIGN, values, 2, ask->deadline_us, signable, ask);
}
