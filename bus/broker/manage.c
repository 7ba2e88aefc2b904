#include <utlist.h>

#include "bus/broker/state.h"

static struct bus_service describe_service(const struct broker_core *core, const struct service *service) {
    struct bus_service row = {
        .name = text_from(service->name),
        .queued = service->queued,
        .queued_bytes = service->queued_bytes,
        .in_flight = service->in_flight,
        .asked = service->asked,
        .replied = service->outcomes[OUTCOME_REPLIED],
        .busy = service->outcomes[OUTCOME_BUSY],
        .unavailable = service->outcomes[OUTCOME_UNAVAILABLE],
        .expired_queued = service->outcomes[OUTCOME_EXPIRED_QUEUED],
        .expired_in_flight = service->outcomes[OUTCOME_EXPIRED_IN_FLIGHT],
        .cancelled = service->outcomes[OUTCOME_CANCELLED],
        .lost = service->outcomes[OUTCOME_LOST],
    };
    const struct peer *peer;
    DL_FOREACH2(service->instances, peer, service_next) {
        row.instances += peer->state == PEER_READY && !peer->wedged;
    }
    for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
        uint64_t age_us = service->queue[lane] != NULL ? (uint64_t)(core->now_us - service->queue[lane]->received_us) : 0;
        row.oldest_us = age_us > row.oldest_us ? age_us : row.oldest_us;
    }
    return row;
}

static enum error list_services(struct broker_core *core, struct arena *arena, struct buffer *out) {
    struct bus_services_reply reply = {.services_count = core->service_count};
    struct bus_service *rows = arena_array(arena, core->service_count, sizeof *rows);
    if (rows == NULL)
        return ERROR_internal;
    for (size_t i = 0; i < core->service_count; i++)
        rows[i] = describe_service(core, &core->services[i]);
    reply.services = rows;
    proto_encode(&proto_record_bus_services_reply, &reply, out);
    return OK;
}

static enum instance_state state_of(const struct peer *peer) {
    if (peer->wedged)
        return INSTANCE_WEDGED;
    if (peer->state == PEER_DRAINING)
        return INSTANCE_DRAINING;
    return peer->service != NULL && peer->credit == 0 ? INSTANCE_BUSY : INSTANCE_READY;
}

static enum error list_instances(struct broker_core *core, struct arena *arena, struct buffer *out) {
    struct bus_instances_reply reply = {0};
    struct bus_instance *rows = arena_array(arena, HASH_COUNT(core->peers), sizeof *rows);
    if (rows == NULL)
        return ERROR_internal;
    for (const struct peer *peer = core->peers; peer != NULL; peer = peer->hh.next) {
        if (peer->state == PEER_STRANGER)
            continue;
        rows[reply.instances_count++] = (struct bus_instance){
            .name = text_from(peer->name),
            .service = text_from(peer->service != NULL ? peer->service->name : NULL),
            .state = state_of(peer),
            .credit = peer->credit,
            .in_flight = peer->in_flight,
            .handled = peer->handled,
            .heartbeat_age_us = (uint64_t)(core->now_us - peer->heard_us),
            .oldest_us = peer->working != NULL ? (uint64_t)(core->now_us - peer->working->dispatched_us) : 0,
        };
    }
    reply.instances = rows;
    proto_encode(&proto_record_bus_instances_reply, &reply, out);
    return OK;
}

void manage(struct broker_core *core, struct peer *client, const struct wire_ask *header) {
    struct arena arena;
    struct buffer body = {.limit_bytes = LIMIT_MESSAGE_BYTES};
    enum error error = ERROR_unknown_message;
    arena_init(&arena, LIMIT_ARENA_BYTES);
    if (header->message == MESSAGE_bus_services)
        error = list_services(core, &arena, &body);
    else if (header->message == MESSAGE_bus_instances)
        error = list_instances(core, &arena, &body);
    if (error == OK && !buffer_ok(&body))
        error = ERROR_reply_too_large;
    struct wire_reply reply = {.id = header->id, .error = (uint64_t)error};
    peer_send(core, client, WIRE_REPLY, &reply, error == OK ? buffer_text(&body) : (struct text){0});
    buffer_free(&body);
    arena_free(&arena);
}
