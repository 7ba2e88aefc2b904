/*
 * pixbus-broker: the shell around the broker's core: one ROUTER socket, one loop.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/random.h"
#include "bus/broker/core.h"
#include "bus/program.h"
#include "bus/socket.h"

#define COMPLAIN_US US_PER_S     /* how often peers that send nonsense are worth a line */
#define DRAIN_US (10 * US_PER_S) /* how long asks in flight may take to finish after SIGTERM */

struct broker {
    struct loop *loop;
    struct bus_socket *socket;
    struct broker_core *core;
    struct loop_watch watch;
    struct loop_timer tick, drain_limit;
    struct loop_hook turn_end;
    bool draining;
    int64_t complained_us;
    uint64_t malformed, refused; /* as of then */
};

static void receive_all(struct broker *broker) {
    struct bus_frame frame;
    while (bus_socket_receive(broker->socket, &frame)) {
        broker_core_receive(broker->core, frame.peer, frame.bytes, loop_now_us(broker->loop));
        bus_frame_free(&frame);
    }
}

static void socket_ready(struct loop_watch *watch, unsigned ready) {
    struct broker *broker = watch->context;
    enum bus_link link;
    (void)ready;
    receive_all(broker);
    while ((link = bus_socket_link(broker->socket)) != BUS_LINK_NONE)
        if (link == BUS_LINK_DOWN)
            broker_core_probe(broker->core);
}

static void send_all(struct broker *broker) {
    struct text peer, frame;
    while (broker_core_output(broker->core, &peer, &frame)) {
        switch (bus_socket_send(broker->socket, peer, frame)) {
        case BUS_SENT: broker_core_sent(broker->core); break;
        case BUS_FULL: broker_core_blocked(broker->core, loop_now_us(broker->loop)); break;
        case BUS_UNREACHABLE: broker_core_unreachable(broker->core, loop_now_us(broker->loop)); break;
        }
    }
}

static void complain(struct broker *broker) {
    uint64_t malformed = broker_core_malformed(broker->core), refused = broker_core_refused(broker->core);
    int64_t now_us = loop_now_us(broker->loop);
    if ((malformed == broker->malformed && refused == broker->refused) || now_us - broker->complained_us < COMPLAIN_US)
        return;
    log_printf(LOG_LEVEL_WARN, "bad_peers", "%llu malformed frames or items and %llu refused peers since the last report",
               (unsigned long long)(malformed - broker->malformed), (unsigned long long)(refused - broker->refused));
    broker->complained_us = now_us;
    broker->malformed = malformed;
    broker->refused = refused;
}

static void end_turn(struct loop_hook *hook) {
    struct broker *broker = hook->context;
    broker_core_tick(broker->core, loop_now_us(broker->loop));
    do {
        send_all(broker);
        if (!bus_socket_readable(broker->socket)) /* sending may have taken the descriptor's readiness */
            break;
        socket_ready(&broker->watch, LOOP_READ);
    } while (true);
    complain(broker);
    if (broker->draining && broker_core_is_idle(broker->core))
        loop_stop(broker->loop);
    loop_timer_set(broker->loop, &broker->tick, broker_core_due_us(broker->core));
}

static void tick(struct loop_timer *timer) {
    (void)timer; /* the end of the turn does the work */
}

static void drain_limit_reached(struct loop_timer *timer) {
    struct broker *broker = timer->context;
    log_event(LOG_LEVEL_WARN, "drain_incomplete", "reason", "asks were still in flight after ten seconds", NULL);
    loop_stop(broker->loop);
}

static void stop(void *context, int signal_number) {
    struct broker *broker = context;
    (void)signal_number;
    if (broker->draining) {
        loop_stop(broker->loop);
        return;
    }
    broker->draining = true;
    broker_core_drain(broker->core);
    loop_timer_set(broker->loop, &broker->drain_limit, loop_now_us(broker->loop) + DRAIN_US);
    log_event(LOG_LEVEL_INFO, "draining", NULL);
}

static bool broker_open(struct broker *broker, const struct settings *settings, const char *endpoint, const char *id) {
    struct broker_options options = {
        .id = id, .heartbeat_us = settings->heartbeat_ms * US_PER_MS, .queue_messages = (size_t)settings->queue_messages};
    broker->loop = loop_new();
    broker->core = broker_core_new(&options, clock_monotonic_us());
    if (broker->loop == NULL || broker->core == NULL || !loop_signal(broker->loop, SIGTERM, stop, broker) ||
        !loop_signal(broker->loop, SIGINT, stop, broker)) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", strerror(errno), NULL);
        return false;
    }
    broker->socket = bus_socket_bind(endpoint);
    if (broker->socket == NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "endpoint", endpoint, "reason", strerror(errno), NULL);
        return false;
    }
    broker->watch = (struct loop_watch){
        .fd = bus_socket_fd(broker->socket), .interest = LOOP_READ, .ready = socket_ready, .context = broker};
    broker->tick = (struct loop_timer){.fire = tick, .context = broker};
    broker->drain_limit = (struct loop_timer){.fire = drain_limit_reached, .context = broker};
    broker->turn_end = (struct loop_hook){.run = end_turn, .context = broker};
    loop_hook_add(broker->loop, &broker->turn_end);
    loop_timer_set(broker->loop, &broker->tick, clock_monotonic_us());
    return loop_watch_add(broker->loop, &broker->watch);
}

int main(int argc, char **argv) {
    struct settings settings;
    struct broker broker = {0};
    char id[2 * WIRE_ID_BYTES + 1], endpoint[256];
    uint8_t random[WIRE_ID_BYTES];
    int status = program_start(argc, argv, "pixbus-broker",
                               "The message bus: routes asks from clients to the instances of a service, by credit,\n"
                               "with bounded queues and deadlines. One ROUTER socket at PIXBUS_BROKER.",
                               &settings);
    if (status >= 0)
        return status;
    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, id);
    if (!program_broker_endpoint(&settings, endpoint, sizeof endpoint))
        return 2;
    bool opened = broker_open(&broker, &settings, endpoint, id);
    if (opened) {
        log_event(LOG_LEVEL_INFO, "started", "endpoint", endpoint, "version", PIXBUS_VERSION, NULL);
        loop_run(broker.loop);
        log_event(LOG_LEVEL_INFO, "stopped", NULL);
    }
    bus_socket_close(broker.socket);
    broker_core_free(broker.core);
    loop_free(broker.loop);
    return opened ? EXIT_SUCCESS : EXIT_FAILURE;
}
