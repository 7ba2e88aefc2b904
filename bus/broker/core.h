/*
 * core.h: the broker without socket and clock: frames and the time go in, frames come out. It routes asks to the
 * instances of a service by credit, keeps bounded queues, ends what is overdue, and knows no message's content.
 *
 * Every ask that comes in has exactly one outcome, counted for its service; the counts add up (proto/bus.def, bus_service).
 */
#ifndef PIXBUS_BROKER_CORE_H
#define PIXBUS_BROKER_CORE_H

#include "base/text.h"

struct broker_core;

struct broker_options {
    const char *id;        /* identity of this process life, for peers; kept */
    int64_t heartbeat_us;  /* how often peers hear of the broker */
    size_t queue_messages; /* asks that may wait for one service */
};

/* NULL: no memory. */
[[gnu::warn_unused_result]] struct broker_core *broker_core_new(const struct broker_options *options, int64_t now_us);
void broker_core_free(struct broker_core *core);

/* A frame of the peer with this routing id. Malformed ones are counted and cost the peer nothing else. */
void broker_core_receive(struct broker_core *core, struct text peer, struct text frame, int64_t now_us);

/* End what is overdue, tell peers that the broker lives, find out who does not. */
void broker_core_tick(struct broker_core *core, int64_t now_us);

/* When broker_core_tick() is due. */
int64_t broker_core_due_us(const struct broker_core *core);

/* Some connection was lost: speak to everybody now, so that sending finds out whose. */
void broker_core_probe(struct broker_core *core);

/* No new asks from now on: they are answered `draining`. */
void broker_core_drain(struct broker_core *core);

/* Nothing waits, nothing is in flight, nothing is to be sent. */
bool broker_core_is_idle(const struct broker_core *core);

/* Frames and items so far that made no sense, and peers so far that were refused. */
uint64_t broker_core_malformed(const struct broker_core *core);
uint64_t broker_core_refused(const struct broker_core *core);

/*
 * The next peer that something is to be sent to, and the frame; both are borrowed until one of the three calls that must
 * follow. False: nothing more now.
 */
[[gnu::warn_unused_result]] bool broker_core_output(struct broker_core *core, struct text *ret_peer, struct text *ret_frame);
void broker_core_sent(struct broker_core *core);
/* The peer's queue is full: try again a little later. A peer that lets too much gather is lost. */
void broker_core_blocked(struct broker_core *core, int64_t now_us);
void broker_core_unreachable(struct broker_core *core, int64_t now_us);

#endif
