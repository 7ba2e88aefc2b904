#include "nginx/ngx_bus.h"

#include <pthread.h>
#include <signal.h>

#include "base/clock.h"

#define ROUNDS_MAX 16 /* of one turn; more is left to the next one, so that clients get their turn too */

struct nginx_bus {
    struct bus_client *client;
    ngx_connection_t *connection; /* of the client's descriptor */
    ngx_event_t turn;             /* posted to the end of this turn of the loop */
    ngx_event_t timer;
    int64_t timer_due_us; /* while the timer is set */
    size_t waiting;       /* asks */
    bool readable;        /* the descriptor fired in this turn */
    bool *mirror;         /* of `connected`; may be NULL */
};

/* nginx's macro is an if with an else of its own. */
static void post(ngx_event_t *event, ngx_queue_t *queue) {
    ngx_post_event(event, queue);
}

static void post_turn(struct nginx_bus *bus) {
    post(&bus->turn, &ngx_posted_events);
}

static void descriptor_ready(ngx_event_t *event) {
    ngx_connection_t *connection = event->data;
    struct nginx_bus *bus = connection->data;
    bus->readable = true;
    post_turn(bus);
}

static void timer_fired(ngx_event_t *event) {
    post_turn(event->data);
}

/* Set the timer unless it fires early enough anyway: moving it at every turn would cost more than firing once in vain. */
static void arm_timer(struct nginx_bus *bus, int64_t now_us) {
    int64_t due_us = bus_client_due_us(bus->client);
    if (due_us == INT64_MAX || (bus->timer.timer_set && bus->timer_due_us <= due_us))
        return;
    if (bus->timer.timer_set)
        ngx_del_timer(&bus->timer); /* ngx_add_timer() alone ignores changes of less than 300 ms */
    int64_t wait_ms = due_us <= now_us ? 0 : (due_us - now_us + US_PER_MS - 1) / US_PER_MS;
    ngx_add_timer(&bus->timer, (ngx_msec_t)(wait_ms > 3600000 ? 3600000 : wait_ms));
    bus->timer_due_us = due_us;
}

/*
 * The end of a turn: take in, deliver, send. Sending can swallow the wake-up of the descriptor, so the client is asked again
 * until it has nothing more.
 */
static void end_turn(ngx_event_t *event) {
    struct nginx_bus *bus = event->data;
    int64_t now_us = clock_monotonic_us();
    bool again = bus->readable || bus_client_due_us(bus->client) <= now_us;
    bus->readable = false;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (again)
            bus_client_process(bus->client, now_us);
        again = bus_client_flush(bus->client) || bus_client_due_us(bus->client) <= now_us;
        if (!again)
            break;
    }
    bus->readable = again;
    if (bus->mirror != NULL)
        __atomic_store_n(bus->mirror, bus_client_connected(bus->client), __ATOMIC_RELAXED);
    /* nginx's draining worker leaves when only cancelable timers are left. */
    bus->timer.cancelable = bus->waiting == 0;
    if (again)
        post(&bus->turn, &ngx_posted_next_events);
    arm_timer(bus, now_us);
}

static struct bus_client *open_without_signals(const struct bus_client_options *options, const char **ret_problem) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    struct bus_client *client = bus_client_open(options, ret_problem);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return client;
}

struct nginx_bus *nginx_bus_open(ngx_cycle_t *cycle, const struct bus_client_options *options, const char **ret_problem) {
    struct nginx_bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL) {
        *ret_problem = "out of memory";
        return NULL;
    }
    bus->client = open_without_signals(options, ret_problem);
    if (bus->client == NULL) {
        free(bus);
        return NULL;
    }
    bus->turn = (ngx_event_t){.handler = end_turn, .data = bus, .log = cycle->log};
    bus->timer = (ngx_event_t){.handler = timer_fired, .data = bus, .log = cycle->log, .cancelable = 1};
    bus->connection = ngx_get_connection(bus_client_fd(bus->client), cycle->log);
    if (bus->connection == NULL) {
        *ret_problem = "nginx has no connection left";
        nginx_bus_close(bus);
        return NULL;
    }
    bus->connection->data = bus;
    bus->connection->log = cycle->log;
    bus->connection->read->log = cycle->log;
    bus->connection->write->log = cycle->log;
    bus->connection->read->handler = descriptor_ready;
    if (ngx_add_event(bus->connection->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        *ret_problem = "nginx cannot watch the bus";
        nginx_bus_close(bus);
        return NULL;
    }
    bus->readable = true; /* what the client wants to say first */
    post_turn(bus);
    return bus;
}

void nginx_bus_close(struct nginx_bus *bus) {
    if (bus == NULL)
        return;
    if (bus->timer.timer_set)
        ngx_del_timer(&bus->timer);
    if (bus->turn.posted) {
        ngx_delete_posted_event(&bus->turn); /* a macro of several statements */
    }
    if (bus->connection != NULL) {
        if (bus->connection->read->active)
            (void)ngx_del_event(bus->connection->read, NGX_READ_EVENT, 0);
        ngx_free_connection(bus->connection);
        bus->connection->fd = (ngx_socket_t)-1; /* the descriptor is the client's */
    }
    bus_client_close(bus->client);
    free(bus);
}

static void ask_done(void *context, const struct bus_outcome *outcome) {
    struct nginx_ask *ask = context;
    ask->bus->waiting--;
    ask->bus = NULL;
    ask->done(ask, outcome);
}

void nginx_bus_ask(struct nginx_bus *bus, struct nginx_ask *ask, const struct bus_ask *request) {
    struct bus_ask copy = *request;
    copy.done = ask_done;
    copy.context = ask;
    ask->bus = bus;
    bus->waiting++;
    bus->timer.cancelable = 0;
    ask->id = bus_client_ask(bus->client, &copy, clock_monotonic_us());
    post_turn(bus);
}

void nginx_ask_cancel(struct nginx_ask *ask) {
    if (ask->bus == NULL)
        return;
    bus_client_cancel(ask->bus->client, ask->id);
    ask->bus->waiting--;
    post_turn(ask->bus);
    ask->bus = NULL;
}

bool nginx_bus_connected(const struct nginx_bus *bus) {
    return bus_client_connected(bus->client);
}

void nginx_bus_mirror(struct nginx_bus *bus, bool *place) {
    bus->mirror = place;
}
