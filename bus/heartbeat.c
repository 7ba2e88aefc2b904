#include "bus/heartbeat.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"

struct heartbeat {
    struct bus_socket *socket; /* the thread's */
    char peer[2 * WIRE_ID_BYTES + 1];
    int64_t interval_us;
    const atomic_uint_fast64_t *turns;
    atomic_bool enabled;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards `stopping` */
    pthread_cond_t stop;
    bool stopping;
};

static void beat(struct heartbeat *heartbeat, struct buffer *frame) {
    struct bus_frame ignored;
    struct wire_heartbeat header = {.peer = text_from(heartbeat->peer),
                                    .turns = atomic_load_explicit(heartbeat->turns, memory_order_relaxed)};
    while (bus_socket_receive(heartbeat->socket, &ignored))
        bus_frame_free(&ignored);
    while (bus_socket_link(heartbeat->socket) != BUS_LINK_NONE) {
    }
    if (!atomic_load_explicit(&heartbeat->enabled, memory_order_relaxed))
        return;
    buffer_clear(frame);
    wire_write(frame, WIRE_HEARTBEAT, &header, (struct text){0});
    if (buffer_ok(frame))
        (void)!bus_socket_send(heartbeat->socket, (struct text){0}, buffer_text(frame)); /* a lost beat is what three are for */
}

static struct timespec after(int64_t delay_us) {
    struct timespec due;
    (void)clock_gettime(CLOCK_MONOTONIC, &due);
    int64_t ns = due.tv_nsec + delay_us % US_PER_S * 1000;
    due.tv_sec += delay_us / US_PER_S + ns / 1000000000;
    due.tv_nsec = ns % 1000000000;
    return due;
}

static void *run(void *argument) {
    struct heartbeat *heartbeat = argument;
    struct buffer frame = {0};
    (void)pthread_mutex_lock(&heartbeat->mutex);
    while (!heartbeat->stopping) {
        struct timespec due = after(heartbeat->interval_us);
        (void)pthread_mutex_unlock(&heartbeat->mutex);
        beat(heartbeat, &frame);
        (void)pthread_mutex_lock(&heartbeat->mutex);
        while (!heartbeat->stopping && pthread_cond_timedwait(&heartbeat->stop, &heartbeat->mutex, &due) == 0) {
        }
    }
    (void)pthread_mutex_unlock(&heartbeat->mutex);
    buffer_free(&frame);
    return NULL;
}

static void release(struct heartbeat *heartbeat) {
    bus_socket_close(heartbeat->socket);
    (void)pthread_cond_destroy(&heartbeat->stop);
    (void)pthread_mutex_destroy(&heartbeat->mutex);
    free(heartbeat);
}

struct heartbeat *heartbeat_start(const struct bus_socket *main_socket, const uint8_t peer[WIRE_ID_BYTES], int64_t interval_us,
                                  const atomic_uint_fast64_t *turns) {
    struct heartbeat *heartbeat = calloc(1, sizeof *heartbeat);
    uint8_t id[WIRE_ID_BYTES];
    pthread_condattr_t attributes;
    sigset_t all, before;
    if (heartbeat == NULL)
        return NULL;
    random_bytes(id, sizeof id);
    id[0] |= 1; /* a routing id does not begin with zero */
    hex_encode(peer, WIRE_ID_BYTES, heartbeat->peer);
    heartbeat->interval_us = interval_us;
    heartbeat->turns = turns;
    (void)pthread_mutex_init(&heartbeat->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&heartbeat->stop, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    heartbeat->socket = bus_socket_sibling(main_socket, id);
    if (heartbeat->socket == NULL) {
        int saved = errno;
        release(heartbeat);
        errno = saved;
        return NULL;
    }
    (void)sigfillset(&all); /* signals belong to the loop's thread */
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&heartbeat->thread, NULL, run, heartbeat);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        release(heartbeat);
        errno = error;
        return NULL;
    }
    return heartbeat;
}

void heartbeat_enable(struct heartbeat *heartbeat, bool enabled) {
    atomic_store_explicit(&heartbeat->enabled, enabled, memory_order_relaxed);
}

void heartbeat_stop(struct heartbeat *heartbeat) {
    if (heartbeat == NULL)
        return;
    (void)pthread_mutex_lock(&heartbeat->mutex);
    heartbeat->stopping = true;
    (void)pthread_cond_signal(&heartbeat->stop);
    (void)pthread_mutex_unlock(&heartbeat->mutex);
    (void)pthread_join(heartbeat->thread, NULL);
    release(heartbeat);
}
