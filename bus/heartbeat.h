/*
 * heartbeat.h: the thread that tells the broker that this process lives, and how many turns its loop has made, on a socket
 * of its own. No handler can block it; so a loop that is stuck shows as wedged, and a process that is stopped as dead.
 */
#ifndef PIXBUS_BUS_HEARTBEAT_H
#define PIXBUS_BUS_HEARTBEAT_H

#include <stdatomic.h>

#include "bus/socket.h"

struct heartbeat;

/*
 * Beat every `interval_us` on behalf of the peer with this routing id. `turns` is read by the thread. NULL with errno set
 * when there is no thread or socket to be had.
 */
[[gnu::warn_unused_result]] struct heartbeat *heartbeat_start(const struct bus_socket *main_socket,
                                                              const uint8_t peer[WIRE_ID_BYTES], int64_t interval_us,
                                                              const atomic_uint_fast64_t *turns);

/* Silent until the broker has welcomed the peer. */
void heartbeat_enable(struct heartbeat *heartbeat, bool enabled);

/* Takes NULL. */
void heartbeat_stop(struct heartbeat *heartbeat);

#endif
