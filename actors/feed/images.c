#include "actors/feed/images.h"

#include "actors/feed/sequencer.h"
#include "actors/feed/statements.h"

/* False: the ask is answered. */
static bool read_sequencer(struct ask *ask, struct text sequencer, char out[SEQUENCER_BYTES], struct text *ret_normal) {
    if (sequencer_normalise(sequencer, out, ret_normal))
        return true;
    ask_fail(ask, ERROR_malformed_message, "the sequencer is not hexadecimal");
    return false;
}

static void reply_wanted(struct ask *ask, bool wanted) {
    struct feed_image_status reply = {.wanted = wanted};
    ask_reply(ask, &reply);
}

static void status_known(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    enum error error = statement_error(result);
    if (error != OK)
        ask_fail(ask, error, NULL);
    else
        reply_wanted(ask, pg_bool(result, 0, 0));
}

static void changed(void *context, const struct pg_result *result) {
    struct ask *ask = context;
    enum error error = statement_error(result);
    if (error != OK)
        ask_fail(ask, error, NULL);
    else
        reply_wanted(ask, pg_int4(result, 0, 0) > 0);
}

void images_status(struct feed *feed, struct ask *ask, const struct feed_image_request *request) {
    char bytes[SEQUENCER_BYTES];
    struct text sequencer;
    if (!read_sequencer(ask, request->sequencer, bytes, &sequencer))
        return;
    const struct pg_value values[] = {pg_text_value(request->image_id), pg_text_value(sequencer)};
    pg_query(feed->pg, STATEMENT_IMAGE_STATUS, values, 2, ask->deadline_us, status_known, ask);
}

void images_ready(struct feed *feed, struct ask *ask, const struct feed_image_ready_request *request) {
    char bytes[SEQUENCER_BYTES];
    struct text sequencer;
    if (!read_sequencer(ask, request->sequencer, bytes, &sequencer))
        return;
    const struct pg_value values[] = {pg_text_value(request->image_id), pg_text_value(sequencer),
                                      pg_int4_value((int32_t)request->width), pg_int4_value((int32_t)request->height)};
    pg_query(feed->pg, STATEMENT_IMAGE_READY, values, 4, ask->deadline_us, changed, ask);
}

void images_rejected(struct feed *feed, struct ask *ask, const struct feed_image_rejected_request *request) {
    char bytes[SEQUENCER_BYTES];
    struct text sequencer;
    if (!read_sequencer(ask, request->sequencer, bytes, &sequencer))
        return;
    const struct pg_value values[] = {pg_text_value(request->image_id), pg_text_value(sequencer), pg_text_value(request->reason)};
    pg_query(feed->pg, STATEMENT_IMAGE_REJECTED, values, 3, ask->deadline_us, changed, ask);
}
