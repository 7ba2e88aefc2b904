/*
 * socket.h: ZeroMQ sockets as the bus uses them: non-blocking, bounded, nothing dropped silently. zmq.h stays in socket.c.
 * A socket belongs to one thread.
 */
#ifndef PIXBUS_BUS_SOCKET_H
#define PIXBUS_BUS_SOCKET_H

#include "base/text.h"
#include "bus/wire.h"

struct bus_socket;

/* A received frame. Its texts stay valid until bus_frame_free(). */
struct bus_frame {
    struct text peer; /* routing id of the sender; absent on a peer's own socket */
    struct text bytes;
    _Alignas(8) unsigned char storage[2][64];
};

enum bus_send_result {
    BUS_SENT,
    BUS_FULL,        /* no connection now, or its queue is full: keep the frame */
    BUS_UNREACHABLE, /* the broker has no such peer (any more) */
};

enum bus_link { BUS_LINK_NONE, BUS_LINK_UP, BUS_LINK_DOWN };

/* A peer's socket (DEALER), connecting in the background. NULL with errno set, for example EINVAL for a bad endpoint. */
[[gnu::warn_unused_result]] struct bus_socket *bus_socket_connect(const char *endpoint, const uint8_t id[WIRE_ID_BYTES]);

/* Another socket to the same endpoint, for another thread. Close it before `socket`. */
[[gnu::warn_unused_result]] struct bus_socket *bus_socket_sibling(const struct bus_socket *socket,
                                                                  const uint8_t id[WIRE_ID_BYTES]);

/* The broker's socket (ROUTER). An ipc endpoint is made with mode 0600. */
[[gnu::warn_unused_result]] struct bus_socket *bus_socket_bind(const char *endpoint);

/* Unsent frames are given up after a short linger. Takes NULL. */
void bus_socket_close(struct bus_socket *socket);

/* Readable when frames or link events may be there; poll it level-triggered. */
int bus_socket_fd(const struct bus_socket *socket);

/* Is there a frame to receive? Must be asked after sending, since a send may take the descriptor's readiness away. */
bool bus_socket_readable(const struct bus_socket *socket);

/* False: nothing more now. */
[[gnu::warn_unused_result]] bool bus_socket_receive(struct bus_socket *socket, struct bus_frame *ret_frame);
void bus_frame_free(struct bus_frame *frame);

/* Send a copy of `frame`; `peer` is absent on a peer's own socket. */
[[gnu::warn_unused_result]] enum bus_send_result bus_socket_send(struct bus_socket *socket, struct text peer, struct text frame);

/* The next change of a connection; BUS_LINK_NONE: no more now. */
enum bus_link bus_socket_link(struct bus_socket *socket);

#endif
