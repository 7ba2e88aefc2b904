#include <stdlib.h>
#include <utlist.h>

#include "bus/broker/state.h"

static void count(struct service *service, enum outcome outcome) {
    service->outcomes[outcome]++;
}

/* An outcome that the broker itself tells a client. */
static void client_told(struct broker_core *core, struct peer *client, uint64_t id, enum error error, const char *detail,
                        int64_t queue_us) {
    struct wire_reply reply = {.id = id, .error = (uint64_t)error, .detail = text_from(detail), .queue_us = (uint64_t)queue_us};
    peer_send(core, client, WIRE_REPLY, &reply, (struct text){0});
}

static void leave_queue(struct ask *ask) {
    struct service *service = ask->service;
    DL_DELETE2(service->queue[ask->lane], ask, queue_prev, queue_next);
    service->queued--;
    service->queued_bytes -= ask->body.size;
    free(ask->memory);
    ask->memory = NULL;
}

static void leave_instance(struct ask *ask) {
    DL_DELETE2(ask->instance->working, ask, instance_prev, instance_next);
    ask->service->in_flight--;
}

/* The ask is over: counted, out of every list, gone. What its client is told is the caller's business. */
static void end(struct broker_core *core, struct ask *ask, enum outcome outcome) {
    count(ask->service, outcome);
    if (ask->state == ASK_QUEUED)
        leave_queue(ask);
    else
        leave_instance(ask);
    DL_DELETE2(ask->key.client->asked, ask, client_prev, client_next);
    timers_clear(&core->ask_timers, &ask->timer);
    HASH_DELETE(hh, core->asks, ask);
    HASH_DELETE(hh_key, core->by_key, ask);
    free(ask);
}

/* The instance with credit that has the least to do; in turn among equals. */
static struct peer *choose(struct service *service) {
    struct peer *best = NULL, *peer;
    DL_FOREACH2(service->instances, peer, service_next) {
        if (peer_takes_work(peer) && (best == NULL || peer->in_flight < best->in_flight))
            best = peer;
    }
    return best;
}

static void dispatch(struct broker_core *core, struct ask *ask, struct peer *instance, struct wire_ask header, struct text body) {
    struct service *service = ask->service;
    header.id = ask->id;
    header.remaining_us = (uint64_t)(ask->deadline_us - core->now_us);
    ask->state = ASK_IN_FLIGHT;
    ask->instance = instance;
    ask->dispatched_us = core->now_us;
    instance->credit--;
    instance->in_flight++;
    service->in_flight++;
    DL_APPEND2(instance->working, ask, instance_prev, instance_next);
    if (service->instances != instance || instance->service_next != NULL) { /* to the end: equals take turns */
        DL_DELETE2(service->instances, instance, service_prev, service_next);
        DL_APPEND2(service->instances, instance, service_prev, service_next);
    }
    peer_send(core, instance, WIRE_ASK, &header, body);
}

void asks_dispatch(struct broker_core *core, struct service *service) {
    for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
        while (service->queue[lane] != NULL) {
            struct ask *ask = service->queue[lane];
            struct peer *instance = choose(service);
            if (instance == NULL)
                return;
            char *memory = ask->memory;
            struct wire_ask header = ask->header;
            struct text body = ask->body;
            ask->memory = NULL;
            leave_queue(ask);
            dispatch(core, ask, instance, header, body);
            free(memory);
        }
    }
}

static struct text hold(char **at, struct text text) {
    if (text.data == NULL)
        return text;
    char *place = *at;
    if (text.size > 0)
        memcpy(place, text.data, text.size);
    *at += text.size;
    return (struct text){place, text.size};
}

/* False: no room in the queue. */
static bool enqueue(struct broker_core *core, struct ask *ask, const struct wire_ask *header, struct text body) {
    struct service *service = ask->service;
    if (service->queued >= core->options.queue_messages || service->queued_bytes + body.size > LIMIT_QUEUE_BYTES)
        return false;
    char *at = ask->memory = malloc(header->service.size + header->request_id.size + header->traceparent.size +
                                    header->email.size + body.size + 1);
    if (at == NULL)
        return false;
    ask->header = *header;
    ask->header.service = hold(&at, header->service);
    ask->header.request_id = hold(&at, header->request_id);
    ask->header.traceparent = hold(&at, header->traceparent);
    ask->header.email = hold(&at, header->email);
    ask->body = hold(&at, body);
    ask->state = ASK_QUEUED;
    DL_APPEND2(service->queue[ask->lane], ask, queue_prev, queue_next);
    service->queued++;
    service->queued_bytes += body.size;
    return true;
}

static struct ask *ask_new(struct broker_core *core, struct peer *client, struct service *service,
                           const struct wire_ask *header) {
    struct ask *ask = HASH_CNT(hh, core->asks) < LIMIT_ASKS_IN_FLIGHT ? calloc(1, sizeof *ask) : NULL;
    if (ask == NULL)
        return NULL;
    ask->id = ++core->last_ask_id;
    ask->key = (struct ask_key){client, header->id};
    ask->service = service;
    ask->lane = (unsigned)header->lane;
    ask->received_us = core->now_us;
    ask->deadline_us = core->now_us + (int64_t)header->remaining_us;
    return ask;
}

void ask_receive(struct broker_core *core, struct peer *client, const struct wire_ask *header, struct text body) {
    struct service *service = service_find(core, header->service);
    struct ask_key key = {client, header->id};
    struct ask *ask;
    HASH_FIND(hh_key, core->by_key, &key, sizeof key, ask);
    if (ask != NULL) {
        core->malformed++; /* a number is used again: its first ask keeps it */
        return;
    }
    if (service == NULL) {
        core->unrouted++;
        client_told(core, client, header->id, ERROR_unavailable, "no instance of this service has ever been here", 0);
        return;
    }
    service->asked++;
    if (service->instances == NULL || core->draining) {
        count(service, OUTCOME_UNAVAILABLE);
        client_told(core, client, header->id, core->draining ? ERROR_draining : ERROR_unavailable, NULL, 0);
        return;
    }
    if (header->remaining_us == 0) {
        count(service, OUTCOME_EXPIRED_QUEUED);
        client_told(core, client, header->id, ERROR_timeout, NULL, 0);
        return;
    }
    /* Whoever waits goes first: only an empty queue is passed by. */
    struct peer *instance = service->queued == 0 ? choose(service) : NULL;
    ask = ask_new(core, client, service, header);
    if (ask == NULL || (instance == NULL && !enqueue(core, ask, header, body))) {
        free(ask);
        count(service, OUTCOME_BUSY);
        client_told(core, client, header->id, ERROR_busy, NULL, 0);
        return;
    }
    HASH_ADD(hh, core->asks, id, sizeof ask->id, ask);
    HASH_ADD(hh_key, core->by_key, key, sizeof ask->key, ask);
    DL_APPEND2(client->asked, ask, client_prev, client_next);
    timers_set(&core->ask_timers, &ask->timer, ask->deadline_us);
    if (instance != NULL)
        dispatch(core, ask, instance, *header, body);
}

/* An answer gives the instance its credit back, whether somebody still waits for it or not. */
static void give_back(struct broker_core *core, struct peer *instance) {
    if (instance->in_flight == 0) {
        core->malformed++;
        return;
    }
    instance->in_flight--;
    instance->handled++;
    if (instance->state == PEER_READY)
        instance->credit++;
}

void ask_replied(struct broker_core *core, struct peer *instance, const struct wire_reply *reply, struct text body) {
    struct service *service = instance->service;
    struct ask *ask;
    if (service == NULL) {
        core->malformed++;
        return;
    }
    give_back(core, instance);
    HASH_FIND(hh, core->asks, &reply->id, sizeof reply->id, ask);
    if (ask != NULL && ask->state == ASK_IN_FLIGHT && ask->instance == instance) {
        struct wire_reply outcome = *reply;
        outcome.id = ask->key.id;
        outcome.queue_us = (uint64_t)(ask->dispatched_us - ask->received_us);
        peer_send(core, ask->key.client, WIRE_REPLY, &outcome, body);
        end(core, ask, OUTCOME_REPLIED);
    }
    asks_dispatch(core, service);
}

static void cancel_at_instance(struct broker_core *core, const struct ask *ask) {
    struct wire_cancel cancel = {.id = ask->id};
    if (ask->state == ASK_IN_FLIGHT)
        peer_send(core, ask->instance, WIRE_CANCEL, &cancel, (struct text){0});
}

void ask_cancel(struct broker_core *core, struct peer *client, uint64_t id) {
    struct ask_key key = {client, id};
    struct ask *ask;
    HASH_FIND(hh_key, core->by_key, &key, sizeof key, ask);
    if (ask == NULL)
        return;
    cancel_at_instance(core, ask);
    end(core, ask, OUTCOME_CANCELLED);
}

void ask_expired(struct broker_core *core, struct ask *ask) {
    bool queued = ask->state == ASK_QUEUED;
    cancel_at_instance(core, ask);
    client_told(core, ask->key.client, ask->key.id, ERROR_timeout, NULL,
                (queued ? core->now_us : ask->dispatched_us) - ask->received_us);
    end(core, ask, queued ? OUTCOME_EXPIRED_QUEUED : OUTCOME_EXPIRED_IN_FLIGHT);
}

void asks_abandon(struct broker_core *core, struct peer *peer) {
    while (peer->asked != NULL) {
        cancel_at_instance(core, peer->asked);
        end(core, peer->asked, OUTCOME_CANCELLED);
    }
    while (peer->working != NULL) {
        struct ask *ask = peer->working;
        client_told(core, ask->key.client, ask->key.id, ERROR_instance_lost, NULL, ask->dispatched_us - ask->received_us);
        end(core, ask, OUTCOME_LOST);
    }
}

void asks_strand(struct broker_core *core, struct service *service) {
    for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
        while (service->queue[lane] != NULL) {
            struct ask *ask = service->queue[lane];
            client_told(core, ask->key.client, ask->key.id, ERROR_unavailable, NULL, core->now_us - ask->received_us);
            end(core, ask, OUTCOME_UNAVAILABLE);
        }
    }
}
