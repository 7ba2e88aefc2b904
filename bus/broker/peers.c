#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "bus/broker/state.h"

struct peer *peer_find(struct broker_core *core, struct text id) {
    struct peer *peer = NULL;
    if (id.size == WIRE_ID_BYTES)
        HASH_FIND(hh, core->peers, id.data, WIRE_ID_BYTES, peer);
    return peer;
}

void peer_set_output(struct broker_core *core, struct peer *peer, enum output_state state) {
    if (peer->output_state == OUTPUT_READY)
        DL_DELETE2(core->ready, peer, output_prev, output_next);
    else if (peer->output_state == OUTPUT_BLOCKED)
        DL_DELETE2(core->blocked, peer, output_prev, output_next);
    if (state == OUTPUT_READY)
        DL_APPEND2(core->ready, peer, output_prev, output_next);
    else if (state == OUTPUT_BLOCKED)
        DL_APPEND2(core->blocked, peer, output_prev, output_next);
    peer->output_state = state;
}

/* When far too much has gathered the buffer fails, and the peer is given up where output is taken. */
void peer_send(struct broker_core *core, struct peer *peer, enum wire_verb verb, const void *header, struct text body) {
    wire_write(&peer->output, verb, header, body);
    if (peer->output_state == OUTPUT_NONE)
        peer_set_output(core, peer, OUTPUT_READY);
}

static void expect_until(struct broker_core *core, struct peer *peer) {
    timers_set(&core->peer_timers, &peer->timer, peer->heard_us + WIRE_HEARTBEATS_MISSED * peer->heartbeat_us);
}

struct peer *peer_meet(struct broker_core *core, struct text id) {
    static const struct wire_empty nothing;
    struct peer *peer = id.size == WIRE_ID_BYTES && HASH_COUNT(core->peers) < LIMIT_PEERS ? calloc(1, sizeof *peer) : NULL;
    if (peer == NULL) {
        core->refused++;
        return NULL;
    }
    memcpy(peer->id, id.data, WIRE_ID_BYTES);
    peer->output.limit_bytes = LIMIT_BATCH_BYTES;
    peer->heartbeat_us = core->options.heartbeat_us;
    peer->heard_us = core->now_us;
    HASH_ADD(hh, core->peers, id, WIRE_ID_BYTES, peer);
    expect_until(core, peer);
    peer_send(core, peer, WIRE_STRANGER, &nothing, (struct text){0});
    return peer;
}

struct service *service_find(struct broker_core *core, struct text name) {
    for (size_t i = 0; i < core->service_count; i++)
        if (text_equal(name, text_from(core->services[i].name)))
            return &core->services[i];
    return NULL;
}

/* NULL: no room. */
static struct service *service_register(struct broker_core *core, struct text name) {
    struct service *service = service_find(core, name);
    if (service == NULL && core->service_count < LIMIT_SERVICES &&
        text_copy(name, core->services[core->service_count].name, sizeof core->services->name))
        service = &core->services[core->service_count++];
    return service;
}

static void refuse(struct broker_core *core, struct peer *peer, const char *reason) {
    struct wire_refused refused = {.reason = text_from(reason)};
    core->refused++;
    peer_send(core, peer, WIRE_REFUSED, &refused, (struct text){0});
}

/* Everything that the peer's former hello stood for ends. */
static void unregister(struct broker_core *core, struct peer *peer) {
    struct service *service = peer->service;
    asks_abandon(core, peer);
    peer->credit = peer->in_flight = 0;
    peer->state = PEER_STRANGER;
    if (service == NULL)
        return;
    DL_DELETE2(service->instances, peer, service_prev, service_next);
    peer->service = NULL;
    if (service->instances == NULL)
        asks_strand(core, service);
}

void peer_hello(struct broker_core *core, struct peer *peer, const struct wire_hello *hello) {
    struct wire_welcome welcome = {
        .version = WIRE_VERSION, .broker = text_from(core->options.id), .heartbeat_us = (uint64_t)core->options.heartbeat_us};
    unregister(core, peer);
    if (hello->version_min > WIRE_VERSION || hello->version_max < WIRE_VERSION) {
        refuse(core, peer, "the broker speaks version 1 of the protocol only");
        return;
    }
    if (!text_copy(hello->instance, peer->name, sizeof peer->name) ||
        (hello->service.data != NULL && (peer->service = service_register(core, hello->service)) == NULL)) {
        refuse(core, peer, "the broker has no room for another service, or a name holds a NUL");
        return;
    }
    peer->state = PEER_READY;
    peer->wedged = false;
    peer->credit = peer->service != NULL ? (unsigned)hello->credit : 0;
    peer->handled = 0;
    peer->turns = 0;
    peer->turns_missed = 0;
    peer->heartbeat_us = (int64_t)hello->heartbeat_us;
    expect_until(core, peer);
    peer_send(core, peer, WIRE_WELCOME, &welcome, (struct text){0});
    if (peer->service != NULL) {
        DL_APPEND2(peer->service->instances, peer, service_prev, service_next);
        asks_dispatch(core, peer->service);
    }
}

void peer_heard(struct broker_core *core, struct peer *peer) {
    peer->heard_us = core->now_us;
}

bool peer_takes_work(const struct peer *peer) {
    return peer->state == PEER_READY && !peer->wedged && peer->credit > 0;
}

void peer_heartbeat(struct broker_core *core, const struct wire_heartbeat *heartbeat) {
    uint8_t id[WIRE_ID_BYTES];
    if (!hex_decode(heartbeat->peer, id, sizeof id))
        return;
    struct text text = {(const char *)id, sizeof id};
    struct peer *peer = peer_find(core, text);
    if (peer == NULL) {
        (void)peer_meet(core, text);
        return;
    }
    peer_heard(core, peer);
    bool was_wedged = peer->wedged;
    peer->turns_missed = heartbeat->turns == peer->turns ? peer->turns_missed + 1 : 0;
    peer->turns = heartbeat->turns;
    peer->wedged = peer->turns_missed >= WIRE_HEARTBEATS_MISSED;
    if (was_wedged && !peer->wedged && peer->service != NULL)
        asks_dispatch(core, peer->service);
}

void peer_drain(struct broker_core *core, struct peer *peer) {
    static const struct wire_empty nothing;
    if (peer->state == PEER_READY)
        peer->state = PEER_DRAINING;
    peer->credit = 0;
    peer_send(core, peer, WIRE_DRAINED, &nothing, (struct text){0});
}

void peer_lost(struct broker_core *core, struct peer *peer) {
    unregister(core, peer);
    peer_set_output(core, peer, OUTPUT_NONE);
    timers_clear(&core->peer_timers, &peer->timer);
    HASH_DEL(core->peers, peer);
    buffer_free(&peer->output);
    free(peer);
}
