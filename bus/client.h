/*
 * client.h: one process's connection to the broker: it asks, and if it serves something it is asked. The client has no
 * thread and no loop of its own; whoever owns the event loop (lib/base/loop.h by bus/actor.c, or nginx) drives it:
 *
 *   bus_client_fd() readable, or bus_client_due_us() reached:  bus_client_process()
 *   at the end of every turn of the loop:                      bus_client_flush()
 *
 * Every ask has exactly one outcome, delivered to its `done` once, before or at its deadline: a reply, an error of the
 * service, or an error of delivery (busy, unavailable, timeout, instance_lost, broker_lost, …: proto/errors.def).
 */
#ifndef PIXBUS_BUS_CLIENT_H
#define PIXBUS_BUS_CLIENT_H

#include "proto/proto.h"

#define REQUEST_ID_BYTES 33 /* 32 hexadecimal digits and a NUL */

struct bus_client;

/* On whose behalf something is asked. user_id 0: nobody in particular. */
struct bus_caller {
    uint64_t user_id;
    struct text email;
};

/* What the broker sent for us to work on. Borrowed for the time of the call. */
struct bus_work {
    uint64_t id; /* for bus_client_answer() */
    unsigned message, attempt;
    int64_t deadline_us; /* monotonic */
    struct text request_id, traceparent;
    struct bus_caller caller;
    struct text body;
};

/* How an ask ended. Borrowed for the time of the call. */
struct bus_outcome {
    enum error error;   /* OK: `body` is the reply */
    struct text detail; /* of an error, for people; may be absent */
    struct text body;
    int64_t queue_us, service_us; /* spent waiting in the broker, and in the actor's hands */
};

/* Borrowed for the time of bus_client_open(), but for `context`. */
struct bus_client_options {
    const char *endpoint; /* ipc://… or tcp://… */
    const char *instance; /* stable name, for people */
    const char *service;  /* NULL: only asks */
    unsigned credit;      /* asks it takes at the same time; 0 if it only asks */
    int64_t heartbeat_us;
    /* Required when there is a service: */
    void (*work)(void *context, const struct bus_work *work);
    void (*cancel)(void *context, uint64_t id); /* the caller gave up; an answer is not needed any more */
    void *context;
};

/* NULL with *ret_problem (static text) when the endpoint or the process's resources do not allow it. Does not wait. */
[[gnu::warn_unused_result]] struct bus_client *bus_client_open(const struct bus_client_options *options,
                                                               const char **ret_problem);

/* All asks in flight end with broker_lost first. Takes NULL. */
void bus_client_close(struct bus_client *client);

/* Readable when there is something to process. Level-triggered polling is enough. */
int bus_client_fd(const struct bus_client *client);

/* When bus_client_process() is due even without input: heartbeats and deadlines, monotonic. */
int64_t bus_client_due_us(const struct bus_client *client);

/* Take in everything that has arrived and deliver it; end what is overdue. */
void bus_client_process(struct bus_client *client, int64_t now_us);

/* Send all that has gathered. Returns true if bus_client_process() must be called before the next wait. */
bool bus_client_flush(struct bus_client *client);

/* Has the broker welcomed us? While not, asks fail with `unavailable` at once. */
bool bus_client_connected(const struct bus_client *client);

struct bus_ask {
    unsigned message;
    const void *request;                 /* the message's request record */
    struct text encoded;                 /* or, if not absent, its msgpack form */
    struct text request_id, traceparent; /* absent: none */
    struct bus_caller caller;
    int64_t deadline_us; /* monotonic */
    void (*done)(void *context, const struct bus_outcome *outcome);
    void *context;
};

/*
 * Ask. Never calls `done` before it returns: an immediate failure is delivered by the next bus_client_process(). Returns
 * the ask's id, for bus_client_cancel(); ids are never used again.
 */
uint64_t bus_client_ask(struct bus_client *client, const struct bus_ask *ask, int64_t now_us);

/* Give up: `done` will not be called, and what is queued for the ask goes away. Takes ids that are over. */
void bus_client_cancel(struct bus_client *client, uint64_t id);

/* Answer work, once; the credit it took is given back. `body` is copied. Late answers are dropped by the broker. */
void bus_client_answer(struct bus_client *client, uint64_t id, enum error error, struct text detail, struct text body,
                       int64_t service_us);

/* Take no new work from now on. */
void bus_client_drain(struct bus_client *client);

/* Is there anything left to send? */
bool bus_client_idle(const struct bus_client *client);

#endif
