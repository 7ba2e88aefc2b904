#include "actors/store/pump.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"

#define PAUSE_MIN_US (50 * US_PER_MS)
#define PAUSE_MAX_US (30 * US_PER_S)     /* of one event */
#define AWAY_PAUSE_MAX_US (2 * US_PER_S) /* of everything: the service should be noticed soon when it is back */
#define NOBODY PUMP_FLIGHTS

struct waiting {
    struct event_id id;
    int64_t due_us; /* not before this */
    unsigned failures;
    unsigned flight; /* NOBODY: it waits */
};

enum flight_state {
    FLIGHT_FREE,
    FLIGHT_READING, /* a thread reads the event */
    FLIGHT_ASKED,   /* the answer is awaited */
    FLIGHT_ENDING,  /* a thread removes or buries the event */
};

struct flight {
    struct pump_job job; /* first: a job is its flight */
    struct pump *pump;
    enum flight_state state;
    struct event_id id;
    struct buffer notification;
    enum journal_reading reading;
    bool bury, ended;
};

struct scan {
    struct pump_job job; /* first: a job is its scan */
    struct pump *pump;
    bool running, good, all;
    bool missed; /* an event was published while it ran, and found no room */
    size_t count;
    struct event_id ids[PUMP_WINDOW];
};

struct pump {
    struct journal *journal;
    struct pump_host host;
    struct waiting window[PUMP_WINDOW]; /* in ascending order of sequencers */
    size_t count;
    bool complete; /* the window holds every event on disk */
    bool stopped;
    unsigned away; /* how often in a row the service was */
    int64_t away_until_us, scan_due_us;
    struct flight flights[PUMP_FLIGHTS];
    struct scan scan;
};

struct pump *pump_new(struct journal *journal, const struct pump_host *host) {
    struct pump *pump = calloc(1, sizeof *pump);
    if (pump == NULL)
        return NULL;
    pump->journal = journal;
    pump->host = *host;
    pump->scan.pump = pump;
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++) {
        pump->flights[i].pump = pump;
        pump->flights[i].notification.limit_bytes = LIMIT_EVENT_BYTES + 1024;
    }
    return pump;
}

void pump_free(struct pump *pump) {
    if (pump == NULL)
        return;
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
        buffer_free(&pump->flights[i].notification);
    free(pump);
}

/* Half of the doubling pause is fixed, half by chance: many that failed together do not come back together. */
static int64_t pause_us(unsigned failures, int64_t maximum_us) {
    uint32_t chance;
    int64_t pause = PAUSE_MIN_US;
    for (unsigned i = 1; i < failures && pause < maximum_us; i++)
        pause *= 2;
    if (pause > maximum_us)
        pause = maximum_us;
    random_bytes(&chance, sizeof chance);
    return pause / 2 + (int64_t)((uint64_t)pause / 2 * chance >> 32);
}

static size_t place_of(const struct pump *pump, uint64_t sequencer) {
    size_t low = 0, high = pump->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pump->window[middle].id.sequencer < sequencer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* False if there is no room. */
static bool add(struct pump *pump, struct event_id id) {
    size_t place = place_of(pump, id.sequencer);
    if (place < pump->count && pump->window[place].id.sequencer == id.sequencer)
        return true;
    if (pump->count == PUMP_WINDOW)
        return false;
    memmove(&pump->window[place + 1], &pump->window[place], (pump->count - place) * sizeof pump->window[0]);
    pump->window[place] = (struct waiting){.id = id, .flight = NOBODY};
    pump->count++;
    return true;
}

static struct waiting *find(struct pump *pump, struct event_id id) {
    size_t place = place_of(pump, id.sequencer);
    assert(place < pump->count && pump->window[place].id.sequencer == id.sequencer);
    return &pump->window[place];
}

static void forget(struct pump *pump, struct event_id id) {
    size_t place = (size_t)(find(pump, id) - pump->window);
    pump->count--;
    memmove(&pump->window[place], &pump->window[place + 1], (pump->count - place) * sizeof pump->window[0]);
}

/* It goes back to wait, after a pause. */
static void postpone(struct pump *pump, struct event_id id) {
    struct waiting *waiting = find(pump, id);
    waiting->flight = NOBODY;
    waiting->failures++;
    waiting->due_us = pump->host.now_us(pump->host.context) + pause_us(waiting->failures, PAUSE_MAX_US);
}

/* ---- looking for events on disk ---- */

static void scan_work(struct pump_job *job) {
    struct scan *scan = (struct scan *)job;
    scan->good = journal_scan(scan->pump->journal, scan->ids, PUMP_WINDOW, &scan->count, &scan->all);
}

static void scan_done(struct pump_job *job) {
    struct scan *scan = (struct scan *)job;
    struct pump *pump = scan->pump;
    scan->running = false;
    if (!scan->good) {
        pump->scan_due_us = pump->host.now_us(pump->host.context) + US_PER_S;
    } else {
        bool room = true;
        /* Some may have been dealt with while we looked: reading them finds nothing, which is an end too. */
        for (size_t i = 0; i < scan->count && room; i++)
            room = add(pump, scan->ids[i]);
        pump->complete = room && scan->all && !scan->missed;
    }
    pump_run(pump);
}

static void start_scan(struct pump *pump, int64_t now_us) {
    if (pump->complete || pump->scan.running || pump->count > PUMP_WINDOW / 2 || now_us < pump->scan_due_us)
        return;
    pump->scan.job = (struct pump_job){scan_work, scan_done};
    pump->scan.missed = false;
    pump->scan.running = pump->host.run(pump->host.context, &pump->scan.job);
    if (!pump->scan.running)
        pump->scan_due_us = now_us + PAUSE_MIN_US;
}

/* ---- one event's way ---- */

static void end_flight(struct flight *flight) {
    flight->state = FLIGHT_FREE;
    if (flight->notification.capacity > 4096)
        buffer_free(&flight->notification);
}

static void end_work(struct pump_job *job) {
    struct flight *flight = (struct flight *)job;
    struct journal *journal = flight->pump->journal;
    flight->ended = flight->bury ? journal_bury(journal, flight->id) : journal_remove(journal, flight->id);
}

static void end_done(struct pump_job *job) {
    struct flight *flight = (struct flight *)job;
    struct pump *pump = flight->pump;
    struct event_id id = flight->id;
    end_flight(flight);
    if (!flight->ended) {
        pump->host.report(pump->host.context, "event_not_removed", id);
        postpone(pump, id); /* asking once more is harmless */
    } else {
        if (flight->bury)
            pump->host.report(pump->host.context, "event_buried", id);
        forget(pump, id);
    }
    pump_run(pump);
}

static void start_end(struct flight *flight, bool bury) {
    struct pump *pump = flight->pump;
    flight->bury = bury;
    flight->state = FLIGHT_ENDING;
    flight->job = (struct pump_job){end_work, end_done};
    if (!pump->host.run(pump->host.context, &flight->job)) {
        end_flight(flight);
        postpone(pump, flight->id);
    }
}

static void read_work(struct pump_job *job) {
    struct flight *flight = (struct flight *)job;
    buffer_clear(&flight->notification);
    flight->reading = journal_read(flight->pump->journal, flight->id, &flight->notification);
}

static void read_done(struct pump_job *job) {
    struct flight *flight = (struct flight *)job;
    struct pump *pump = flight->pump;
    switch (flight->reading) {
    case JOURNAL_READ:
        if (pump->stopped)
            break;
        flight->state = FLIGHT_ASKED;
        pump->host.ask(pump->host.context, (unsigned)(flight - pump->flights), buffer_text(&flight->notification));
        return;
    case JOURNAL_GONE:
        forget(pump, flight->id);
        end_flight(flight);
        pump_run(pump);
        return;
    case JOURNAL_DAMAGED: start_end(flight, true); return;
    case JOURNAL_UNREADABLE: pump->host.report(pump->host.context, "event_unreadable", flight->id); break;
    }
    end_flight(flight);
    postpone(pump, flight->id);
    pump_run(pump);
}

static bool start_flight(struct pump *pump, struct waiting *waiting) {
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++) {
        struct flight *flight = &pump->flights[i];
        if (flight->state != FLIGHT_FREE)
            continue;
        flight->id = waiting->id;
        flight->job = (struct pump_job){read_work, read_done};
        if (!pump->host.run(pump->host.context, &flight->job))
            return false;
        flight->state = FLIGHT_READING;
        waiting->flight = i;
        return true;
    }
    return false;
}

void pump_answered(struct pump *pump, unsigned number, enum pump_outcome outcome) {
    struct flight *flight = &pump->flights[number];
    assert(number < PUMP_FLIGHTS && flight->state == FLIGHT_ASKED);
    if (outcome != PUMP_AWAY)
        pump->away = 0;
    switch (outcome) {
    case PUMP_DONE: start_end(flight, false); return;
    case PUMP_MALFORMED: start_end(flight, true); return;
    case PUMP_FAILED: break;
    case PUMP_AWAY:
        if (pump->host.now_us(pump->host.context) >= pump->away_until_us) { /* all that were asked together count as one */
            pump->away++;
            pump->away_until_us = pump->host.now_us(pump->host.context) + pause_us(pump->away, AWAY_PAUSE_MAX_US);
        }
        end_flight(flight);
        find(pump, flight->id)->flight = NOBODY;
        pump_run(pump);
        return;
    }
    end_flight(flight);
    postpone(pump, flight->id);
    pump_run(pump);
}

/* ---- all of them ---- */

/* Does an earlier event of the same key wait? */
static bool is_behind(const struct pump *pump, const struct waiting *waiting) {
    for (const struct waiting *earlier = pump->window; earlier < waiting; earlier++)
        if (earlier->id.key_hash == waiting->id.key_hash)
            return true;
    return false;
}

static size_t flying(const struct pump *pump) {
    size_t count = 0;
    for (unsigned i = 0; i < PUMP_FLIGHTS; i++)
        count += pump->flights[i].state != FLIGHT_FREE;
    return count;
}

void pump_run(struct pump *pump) {
    int64_t now_us = pump->host.now_us(pump->host.context), next_us = INT64_MAX;
    if (pump->stopped)
        return;
    start_scan(pump, now_us);
    if (!pump->complete && !pump->scan.running && pump->scan_due_us > now_us)
        next_us = pump->scan_due_us;
    if (now_us < pump->away_until_us && pump->count > 0) {
        next_us = next_us < pump->away_until_us ? next_us : pump->away_until_us;
    } else {
        /* After an absence one event goes ahead and tells whether the service is back. */
        size_t free_flights = (pump->away > 0 ? 1 : PUMP_FLIGHTS);
        size_t busy = flying(pump);
        for (size_t i = 0; i < pump->count && busy < free_flights; i++) {
            struct waiting *waiting = &pump->window[i];
            if (waiting->flight != NOBODY)
                continue;
            if (waiting->due_us > now_us) {
                next_us = next_us < waiting->due_us ? next_us : waiting->due_us;
            } else if (!is_behind(pump, waiting)) {
                if (!start_flight(pump, waiting)) {
                    next_us = now_us + PAUSE_MIN_US;
                    break;
                }
                busy++;
            }
        }
    }
    if (next_us != INT64_MAX)
        pump->host.wake_at(pump->host.context, next_us);
}

void pump_notify(struct pump *pump, struct event_id id) {
    /* While earlier ones may be on disk only, a later one must not pass them: the next look at the disk finds it. */
    if (!pump->complete || !add(pump, id)) {
        pump->complete = false;
        pump->scan.missed = true;
    }
    pump_run(pump);
}

void pump_stop(struct pump *pump) {
    pump->stopped = true;
}

bool pump_idle(const struct pump *pump) {
    return flying(pump) == 0 && !pump->scan.running;
}

size_t pump_waiting(const struct pump *pump) {
    return pump->count;
}
