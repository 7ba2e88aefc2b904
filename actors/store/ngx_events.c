/* The pump's host: its threads are nginx's, its timer too, and what it asks is asked on the bus. */
#include <stdlib.h>

#include "actors/store/ngx_store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

#define ASK_US (60 * US_PER_S)
#define TICK_MS 500             /* looks whether the worker drains, or may deliver at last */
#define DRAIN_US (3 * US_PER_S) /* how long a draining worker awaits answers; events are kept anyway */

struct asking {
    struct nginx_ask ask; /* first: an ask is its asking */
    struct events *events;
    unsigned flight;
};

struct events {
    struct process *process;
    struct pump *pump;
    bool delivers; /* holds the lock: an old worker may still do while nginx reloads */
    int64_t drain_due_us;
    ngx_event_t wake, tick;
    struct asking askings[PUMP_FLIGHTS];
};

/* A job of the pump in nginx's threads. */
struct errand {
    ngx_thread_task_t task;
    struct pump_job *job;
};

static void errand_work(void *data, ngx_log_t *log) {
    struct errand *errand = data;
    (void)log;
    errand->job->work(errand->job);
}

static void errand_done(ngx_event_t *event) {
    struct errand *errand = event->data;
    struct pump_job *job = errand->job;
    free(errand);
    job->done(job);
}

static bool host_run(void *context, struct pump_job *job) {
    struct events *events = context;
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand == NULL)
        return false;
    errand->job = job;
    errand->task.ctx = errand;
    errand->task.handler = errand_work;
    errand->task.event.data = errand;
    errand->task.event.handler = errand_done;
    errand->task.event.log = ngx_cycle->log;
    if (ngx_thread_task_post(events->process->threads, &errand->task) == NGX_OK)
        return true;
    free(errand);
    return false;
}

static int64_t host_now(void *context) {
    (void)context;
    return clock_monotonic_us();
}

static enum pump_outcome outcome_of(enum error error) {
    switch (error) {
    case OK: return PUMP_DONE;
    case ERROR_event_malformed: return PUMP_MALFORMED;
    case ERROR_busy:
    case ERROR_unavailable:
    case ERROR_broker_lost:
    case ERROR_draining:
    case ERROR_cancelled: return PUMP_AWAY;
    default: /* the many other errors: of this event, as far as we can tell */ return PUMP_FAILED;
    }
}

static void asked(struct nginx_ask *ask, const struct bus_outcome *outcome) {
    struct asking *asking = (struct asking *)ask;
    char detail[LIMIT_DETAIL_BYTES + 1];
    enum pump_outcome meaning = outcome_of(outcome->error);
    if (meaning == PUMP_FAILED) {
        (void)!text_copy(outcome->detail, detail, sizeof detail);
        log_event(LOG_LEVEL_WARN, "event_failed", "error", error_describe(outcome->error)->name, "detail", detail, NULL);
    }
    pump_answered(asking->events->pump, asking->flight, meaning);
}

static void host_ask(void *context, unsigned flight, struct text notification) {
    struct events *events = context;
    uint8_t id[(REQUEST_ID_BYTES - 1) / 2];
    char request_id[REQUEST_ID_BYTES];
    const struct imgproc_object_event_request request = {.notification = notification};
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, request_id);
    const struct bus_ask ask = {
        .message = MESSAGE_imgproc_object_event,
        .request = &request,
        .request_id = text_from(request_id),
        .deadline_us = clock_monotonic_us() + ASK_US,
    };
    events->askings[flight] = (struct asking){.ask.done = asked, .events = events, .flight = flight};
    nginx_bus_ask(events->process->bus, &events->askings[flight].ask, &ask);
}

static void host_wake_at(void *context, int64_t due_us) {
    struct events *events = context;
    int64_t wait_ms = (due_us - clock_monotonic_us() + US_PER_MS - 1) / US_PER_MS;
    if (events->wake.timer_set)
        ngx_del_timer(&events->wake);
    ngx_add_timer(&events->wake, (ngx_msec_t)(wait_ms > 0 ? wait_ms : 1));
}

static void host_report(void *context, const char *what, struct event_id id) {
    char sequencer[17];
    (void)context;
    (void)snprintf(sequencer, sizeof sequencer, "%016llX", (unsigned long long)id.sequencer);
    log_event(LOG_LEVEL_ERROR, what, "sequencer", sequencer, NULL);
}

static void wake(ngx_event_t *event) {
    struct events *events = event->data;
    if (events->delivers)
        pump_run(events->pump);
}

/* No answer is waited for any more: what was asked stays on disk and is asked again by the next process. */
static void drain(struct events *events, int64_t now_us) {
    if (events->drain_due_us == 0) {
        events->drain_due_us = now_us + DRAIN_US;
        pump_stop(events->pump);
    }
    if (now_us >= events->drain_due_us)
        for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
            nginx_ask_cancel(&events->askings[i].ask);
}

static void tick(ngx_event_t *event) {
    struct events *events = event->data;
    if (ngx_exiting) {
        drain(events, clock_monotonic_us());
    } else if (!events->delivers && workspace_try_deliver(&events->process->store.workspace)) {
        events->delivers = true;
        pump_run(events->pump);
    }
    ngx_add_timer(&events->tick, TICK_MS);
}

struct events *events_open(struct process *process, ngx_cycle_t *cycle) {
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL)
        return NULL;
    const struct pump_host host = {
        .context = events,
        .now_us = host_now,
        .run = host_run,
        .ask = host_ask,
        .wake_at = host_wake_at,
        .report = host_report,
    };
    events->process = process;
    events->pump = pump_new(&process->store.journal, &host);
    if (events->pump == NULL) {
        free(events);
        return NULL;
    }
    /* Cancelable: they do not keep a draining worker from leaving. */
    events->wake = (ngx_event_t){.handler = wake, .data = events, .log = cycle->log, .cancelable = 1};
    events->tick = (ngx_event_t){.handler = tick, .data = events, .log = cycle->log, .cancelable = 1};
    ngx_add_timer(&events->tick, 1);
    return events;
}

void events_close(struct events *events) {
    if (events == NULL)
        return;
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
        nginx_ask_cancel(&events->askings[i].ask);
    if (events->wake.timer_set)
        ngx_del_timer(&events->wake);
    if (events->tick.timer_set)
        ngx_del_timer(&events->tick);
    pump_free(events->pump);
    free(events);
}

void events_notify(struct events *events, const struct store_change *change) {
    if (change->has_event && events->delivers)
        pump_notify(events->pump, change->event);
}
