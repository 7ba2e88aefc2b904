/* The imgproc actor: thumbnails made and removed. Handlers and their table. */
#include "actors/imgproc/actor.h"

#include "actors/imgproc/imgproc.h"

/* Events at the same time: while some are decoded, others are downloaded and uploaded. */
#define IMGPROC_CREDIT 16

static void handle_imgproc_object_event(struct ask *ask, const void *request) {
    const struct imgproc_object_event_request *event = request;
    event_begin(actor_application(ask->actor), ask, event->notification);
}

static const struct actor_handler handlers[] = {
#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) {MESSAGE_##name, handle_##name},
#define PROTO_READ "proto/imgproc.def"
#include "proto/proto_read.h"
};

const struct actor_description imgproc_actor = {
    .program = "pixbus-imgproc",
    .service = "imgproc",
    .help = "Makes the thumbnail of each uploaded image and removes it with the image. Images are decoded by pixbus-decoder.",
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
    .credit = IMGPROC_CREDIT,
    .open = imgproc_open,
    .close = imgproc_close,
};
