#include "bus/broker/core.h"

#include <stdlib.h>

#include "base/clock.h"
#include "bus/broker/state.h"

#define RETRY_US (5 * US_PER_MS) /* how soon a peer whose queue was full is tried again */
#define KEPT_BYTES (256 * 1024)  /* memory that a peer's output keeps after a burst */

struct broker_core *broker_core_new(const struct broker_options *options, int64_t now_us) {
    struct broker_core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return NULL;
    core->options = *options;
    core->now_us = now_us;
    core->ping_due_us = now_us + options->heartbeat_us;
    core->retry_us = INT64_MAX;
    return core;
}

void broker_core_free(struct broker_core *core) {
    if (core == NULL)
        return;
    while (core->peers != NULL)
        peer_lost(core, core->peers);
    timers_free(&core->ask_timers);
    timers_free(&core->peer_timers);
    free(core);
}

static void receive_item(struct broker_core *core, struct peer *peer, const struct wire_item *item) {
    static const struct text bus = {"bus", 3};
    if (item->verb == WIRE_HELLO) {
        peer_hello(core, peer, &item->hello);
        return;
    }
    if (peer->state == PEER_STRANGER)
        return; /* it has been told so */
    switch (item->verb) {
    case WIRE_ASK:
        if (text_equal(item->ask.service, bus))
            manage(core, peer, &item->ask);
        else
            ask_receive(core, peer, &item->ask, item->body);
        break;
    case WIRE_REPLY: ask_replied(core, peer, &item->reply, item->body); break;
    case WIRE_CANCEL: ask_cancel(core, peer, item->cancel.id); break;
    case WIRE_DRAIN: peer_drain(core, peer); break;
    default: core->malformed++; break; /* a verb that only the broker says, or one of a later version */
    }
}

void broker_core_receive(struct broker_core *core, struct text id, struct text frame, int64_t now_us) {
    struct msgpack_reader reader = msgpack_reader(frame);
    struct peer *peer = peer_find(core, id);
    struct wire_item item;
    core->now_us = now_us;
    if (peer != NULL)
        peer_heard(core, peer);
    while (wire_read(&reader, &item)) {
        if (item.verb == WIRE_HEARTBEAT) { /* comes from a socket of its own, which is no peer */
            peer_heartbeat(core, &item.heartbeat);
            peer = peer_find(core, id);
            continue;
        }
        if (item.verb == WIRE_LEAVE) {
            if (peer != NULL)
                peer_lost(core, peer);
            return;
        }
        if (peer == NULL && (peer = peer_meet(core, id)) == NULL)
            return;
        receive_item(core, peer, &item);
    }
    if (reader.failed)
        core->malformed++;
}

static void ping_all(struct broker_core *core) {
    static const struct wire_empty nothing;
    for (struct peer *peer = core->peers; peer != NULL; peer = peer->hh.next)
        if (peer->output.size == 0)
            peer_send(core, peer, WIRE_PING, &nothing, (struct text){0});
}

void broker_core_probe(struct broker_core *core) {
    ping_all(core);
}

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Silence means death. The peer is told that what it was sent is void, in case it was only stopped. */
static void check_silence(struct broker_core *core, struct peer *peer) {
    int64_t due_us = peer->heard_us + WIRE_HEARTBEATS_MISSED * peer->heartbeat_us;
    uint8_t id[WIRE_ID_BYTES];
    bool was_registered = peer->state != PEER_STRANGER;
    if (due_us > core->now_us) {
        timers_set(&core->peer_timers, &peer->timer, due_us);
        return;
    }
    memcpy(id, peer->id, sizeof id);
    peer_lost(core, peer);
    if (was_registered)
        (void)peer_meet(core, (struct text){(const char *)id, sizeof id});
}

void broker_core_tick(struct broker_core *core, int64_t now_us) {
    struct timer *timer;
    core->now_us = now_us;
    while ((timer = timers_take_due(&core->ask_timers, now_us)) != NULL)
        ask_expired(core, CONTAINER(timer, struct ask, timer));
    while ((timer = timers_take_due(&core->peer_timers, now_us)) != NULL)
        check_silence(core, CONTAINER(timer, struct peer, timer));
    if (core->ping_due_us <= now_us) {
        ping_all(core);
        core->ping_due_us = now_us + core->options.heartbeat_us;
    }
    if (core->retry_us <= now_us) {
        core->retry_us = INT64_MAX;
        while (core->blocked != NULL)
            peer_set_output(core, core->blocked, OUTPUT_READY);
    }
}

static int64_t sooner(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t broker_core_due_us(const struct broker_core *core) {
    return sooner(sooner(timers_due_us(&core->ask_timers), timers_due_us(&core->peer_timers)),
                  sooner(core->ping_due_us, core->retry_us));
}

void broker_core_drain(struct broker_core *core) {
    core->draining = true;
}

bool broker_core_is_idle(const struct broker_core *core) {
    return core->asks == NULL && core->ready == NULL && core->blocked == NULL;
}

uint64_t broker_core_malformed(const struct broker_core *core) {
    return core->malformed;
}

uint64_t broker_core_refused(const struct broker_core *core) {
    return core->refused;
}

bool broker_core_output(struct broker_core *core, struct text *ret_peer, struct text *ret_frame) {
    while (core->ready != NULL && !buffer_ok(&core->ready->output))
        peer_lost(core, core->ready);
    struct peer *peer = core->ready;
    if (peer == NULL)
        return false;
    *ret_peer = (struct text){(const char *)peer->id, WIRE_ID_BYTES};
    *ret_frame = buffer_text(&peer->output);
    return true;
}

void broker_core_sent(struct broker_core *core) {
    struct peer *peer = core->ready;
    peer_set_output(core, peer, OUTPUT_NONE);
    if (peer->output.capacity > KEPT_BYTES)
        buffer_free(&peer->output);
    else
        buffer_clear(&peer->output);
}

void broker_core_blocked(struct broker_core *core, int64_t now_us) {
    peer_set_output(core, core->ready, OUTPUT_BLOCKED);
    core->retry_us = sooner(core->retry_us, now_us + RETRY_US);
}

void broker_core_unreachable(struct broker_core *core, int64_t now_us) {
    core->now_us = now_us;
    peer_lost(core, core->ready);
}
