/*
 * pump.h: brings the journal's events to whoever deals with them, in order, a bounded number at a time, until each has
 * been dealt with. Knows neither nginx nor the bus: its host lends it threads, a timer and the asking.
 *
 * An event of a key waits until the earlier ones of that key are done. One that failed is tried again after a pause that
 * doubles, while others go on; when the service itself is away everything pauses. What is malformed goes to events/dead/.
 */
#ifndef PIXBUS_STORE_PUMP_H
#define PIXBUS_STORE_PUMP_H

#include "actors/store/journal.h"

#define PUMP_FLIGHTS 8   /* events asked at the same time */
#define PUMP_WINDOW 1024 /* events known in memory; the others wait on disk */

struct pump;

/* Blocking work; embedded in the pump. */
struct pump_job {
    void (*work)(struct pump_job *job); /* in a thread */
    void (*done)(struct pump_job *job); /* afterwards, in the loop; on_time as run() was told */
};

enum pump_outcome {
    PUMP_DONE,      /* for good */
    PUMP_MALFORMED, /* it will never be: bury it */
    PUMP_FAILED,    /* this event, now: later again */
    PUMP_AWAY,      /* the service, not the event */
};

struct pump_host {
    void *context;
    int64_t (*now_us)(void *context); /* monotonic */
    /* Run job->work in a thread, then job->done in the loop. False: no thread can take it now. */
    bool (*run)(void *context, struct pump_job *job);
    /* Ask with this notification; answered by pump_answered(pump, flight), never before this returns. */
    void (*ask)(void *context, unsigned flight, struct text notification);
    /* Call pump_run() then; replaces the call asked for before. */
    void (*wake_at)(void *context, int64_t due_us);
    /* One event went to events/dead/, or could not be read. */
    void (*report)(void *context, const char *what, struct event_id id);
};

/* `journal` and what `host` points to must outlive the pump. NULL when memory is exhausted. */
[[gnu::warn_unused_result]] struct pump *pump_new(struct journal *journal, const struct pump_host *host);

/* No job may be running. Takes NULL. */
void pump_free(struct pump *pump);

/* Start what can be started. The first call looks for events on disk. */
void pump_run(struct pump *pump);

/* A new event has been published. */
void pump_notify(struct pump *pump, struct event_id id);

void pump_answered(struct pump *pump, unsigned flight, enum pump_outcome outcome);

/* Start nothing any more. */
void pump_stop(struct pump *pump);
/* Nothing is asked and no job runs. */
bool pump_idle(const struct pump *pump);

/* Events that are known to wait, those in flight included; at least so many if there are more on disk. */
size_t pump_waiting(const struct pump *pump);

#endif
