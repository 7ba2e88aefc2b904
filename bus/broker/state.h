/*
 * state.h: the broker core's state, shared by its files: peers.c (who is there), asks.c (what is asked), manage.c (what
 * people are told) and core.c (what comes in and goes out).
 */
#ifndef PIXBUS_BROKER_STATE_H
#define PIXBUS_BROKER_STATE_H

#include <uthash.h>

#include "base/timers.h"
#include "bus/broker/core.h"
#include "bus/wire.h"

enum peer_state {
    PEER_STRANGER, /* sent something, but has not said hello */
    PEER_READY,    /* registered: asks, and takes work if it serves something */
    PEER_DRAINING, /* registered: asks, finishes its work, takes no more */
};

enum output_state {
    OUTPUT_NONE,
    OUTPUT_READY,   /* in core->ready */
    OUTPUT_BLOCKED, /* in core->blocked: the peer's pipe was full */
};

struct peer {
    uint8_t id[WIRE_ID_BYTES]; /* routing id */
    enum peer_state state;
    bool wedged; /* its heartbeats come, but its loop does not turn */
    char name[LIMIT_INSTANCE_NAME_BYTES + 1];
    struct service *service; /* NULL: it only asks */
    unsigned credit;         /* asks it would take now */
    unsigned in_flight;      /* asks it has not answered, overdue ones included */
    uint64_t handled;
    int64_t heartbeat_us;
    int64_t heard_us;
    uint64_t turns;        /* of its last heartbeat */
    unsigned turns_missed; /* heartbeats since that number moved */
    struct ask *asked;     /* its own asks */
    struct ask *working;   /* asks in its hands */
    struct timer timer;    /* when silence means death */
    struct buffer output;
    enum output_state output_state;
    struct peer *output_prev, *output_next;
    struct peer *service_prev, *service_next;
    UT_hash_handle hh;
};

enum ask_state { ASK_QUEUED, ASK_IN_FLIGHT };

enum outcome {
    OUTCOME_REPLIED,
    OUTCOME_BUSY,
    OUTCOME_UNAVAILABLE,
    OUTCOME_EXPIRED_QUEUED,
    OUTCOME_EXPIRED_IN_FLIGHT,
    OUTCOME_CANCELLED,
    OUTCOME_LOST,
    OUTCOME_COUNT,
};

/* What a client calls an ask. */
struct ask_key {
    struct peer *client;
    uint64_t id;
};

struct ask {
    uint64_t id; /* ours, towards the instance */
    struct ask_key key;
    enum ask_state state;
    struct service *service;
    struct peer *instance; /* while in flight */
    unsigned lane;
    int64_t received_us, dispatched_us, deadline_us;
    struct timer timer;     /* the deadline */
    struct wire_ask header; /* while queued; its texts and the body lie in `memory` */
    struct text body;
    char *memory;
    struct ask *queue_prev, *queue_next;
    struct ask *client_prev, *client_next;
    struct ask *instance_prev, *instance_next;
    UT_hash_handle hh, hh_key;
};

struct service {
    char name[LIMIT_SERVICE_NAME_BYTES + 1];
    struct peer *instances;
    struct ask *queue[LANE_COUNT];
    size_t queued, queued_bytes, in_flight;
    uint64_t asked, outcomes[OUTCOME_COUNT];
};

struct broker_core {
    struct broker_options options;
    bool draining;
    int64_t now_us;
    int64_t ping_due_us;
    struct peer *peers; /* by routing id */
    struct service services[LIMIT_SERVICES];
    size_t service_count;
    struct ask *asks;   /* by our id */
    struct ask *by_key; /* by client and the client's id */
    uint64_t last_ask_id;
    struct timers ask_timers, peer_timers;
    struct peer *ready;   /* peers with output */
    struct peer *blocked; /* those of them that are tried again at retry_us */
    int64_t retry_us;
    uint64_t malformed, unrouted, refused;
};

/* peers.c */

/* NULL: unknown. */
struct peer *peer_find(struct broker_core *core, struct text id);
/* A stranger, told to say hello. NULL: no room. */
struct peer *peer_meet(struct broker_core *core, struct text id);
void peer_hello(struct broker_core *core, struct peer *peer, const struct wire_hello *hello);
void peer_heartbeat(struct broker_core *core, const struct wire_heartbeat *heartbeat);
void peer_heard(struct broker_core *core, struct peer *peer);
void peer_drain(struct broker_core *core, struct peer *peer);
/* Its work is lost, its asks are cancelled, it is forgotten. */
void peer_lost(struct broker_core *core, struct peer *peer);
void peer_send(struct broker_core *core, struct peer *peer, enum wire_verb verb, const void *header, struct text body);
/* Move it to the list that this state stands for. */
void peer_set_output(struct broker_core *core, struct peer *peer, enum output_state state);
bool peer_takes_work(const struct peer *peer);
struct service *service_find(struct broker_core *core, struct text name);

/* asks.c */

void ask_receive(struct broker_core *core, struct peer *client, const struct wire_ask *header, struct text body);
void ask_replied(struct broker_core *core, struct peer *instance, const struct wire_reply *reply, struct text body);
void ask_cancel(struct broker_core *core, struct peer *client, uint64_t id);
void ask_expired(struct broker_core *core, struct ask *ask);
/* Everything that this peer asked, and everything in its hands, ends. */
void asks_abandon(struct broker_core *core, struct peer *peer);
/* No instance is left: what is queued is answered `unavailable`. */
void asks_strand(struct broker_core *core, struct service *service);
/* Give queued asks to instances that take work. */
void asks_dispatch(struct broker_core *core, struct service *service);
/* manage.c: the service `bus`. */
void manage(struct broker_core *core, struct peer *client, const struct wire_ask *header);

#endif
