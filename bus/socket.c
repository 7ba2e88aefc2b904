#include "bus/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/random.h"

#define FRAMES_QUEUED_MAX 4096 /* in each direction of a connection; full: BUS_FULL */
#define LINGER_MS 200
#define TCP_HEARTBEAT_MS 1000

static_assert(sizeof(zmq_msg_t) <= sizeof((struct bus_frame *)0)->storage[0], "a ZeroMQ message fits the frame's storage");

struct bus_socket {
    void *context, *socket, *monitor;
    bool owns_context, is_router;
    int epoll_fd;
    char endpoint[256];
};

static bool set_option(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool add_to_epoll(int epoll_fd, void *socket) {
    int fd;
    size_t size = sizeof fd;
    struct epoll_event event = {.events = EPOLLIN};
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_monitor(struct bus_socket *socket) {
    uint8_t random[8];
    char name[sizeof random * 2 + 1], address[64];
    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, name);
    (void)snprintf(address, sizeof address, "inproc://monitor-%s", name);
    if (zmq_socket_monitor(socket->socket, address, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return false;
    socket->monitor = zmq_socket(socket->context, ZMQ_PAIR);
    return socket->monitor != NULL && set_option(socket->monitor, ZMQ_LINGER, 0) && zmq_connect(socket->monitor, address) == 0 &&
           add_to_epoll(socket->epoll_fd, socket->monitor);
}

static struct bus_socket *open_socket(void *context, int type) {
    struct bus_socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        return NULL;
    socket->owns_context = context == NULL;
    socket->context = context != NULL ? context : zmq_ctx_new();
    socket->is_router = type == ZMQ_ROUTER;
    socket->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    socket->socket = socket->context != NULL ? zmq_socket(socket->context, type) : NULL;
    int64_t size_max = LIMIT_BATCH_BYTES + LIMIT_ENVELOPE_BYTES;
    if (socket->socket == NULL || socket->epoll_fd < 0 || !set_option(socket->socket, ZMQ_SNDHWM, FRAMES_QUEUED_MAX) ||
        !set_option(socket->socket, ZMQ_RCVHWM, FRAMES_QUEUED_MAX) || !set_option(socket->socket, ZMQ_LINGER, LINGER_MS) ||
        !set_option(socket->socket, ZMQ_HEARTBEAT_IVL, TCP_HEARTBEAT_MS) ||
        zmq_setsockopt(socket->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max) != 0 ||
        !add_to_epoll(socket->epoll_fd, socket->socket) || !open_monitor(socket)) {
        bus_socket_close(socket);
        return NULL;
    }
    return socket;
}

static struct bus_socket *connect_socket(void *context, const char *endpoint, const uint8_t id[WIRE_ID_BYTES]) {
    struct bus_socket *socket = open_socket(context, ZMQ_DEALER);
    if (socket == NULL)
        return NULL;
    /* IMMEDIATE: nothing is queued for a broker that is not there, to be delivered stale when it comes. */
    if (zmq_setsockopt(socket->socket, ZMQ_ROUTING_ID, id, WIRE_ID_BYTES) != 0 || !set_option(socket->socket, ZMQ_IMMEDIATE, 1) ||
        !set_option(socket->socket, ZMQ_RECONNECT_IVL, 20) || !set_option(socket->socket, ZMQ_RECONNECT_IVL_MAX, 200) ||
        !text_copy(text_from(endpoint), socket->endpoint, sizeof socket->endpoint) ||
        zmq_connect(socket->socket, endpoint) != 0) {
        int saved = errno;
        bus_socket_close(socket);
        errno = saved;
        return NULL;
    }
    return socket;
}

struct bus_socket *bus_socket_connect(const char *endpoint, const uint8_t id[WIRE_ID_BYTES]) {
    return connect_socket(NULL, endpoint, id);
}

struct bus_socket *bus_socket_sibling(const struct bus_socket *socket, const uint8_t id[WIRE_ID_BYTES]) {
    return connect_socket(socket->context, socket->endpoint, id);
}

struct bus_socket *bus_socket_bind(const char *endpoint) {
    struct bus_socket *socket = open_socket(NULL, ZMQ_ROUTER);
    if (socket == NULL)
        return NULL;
    mode_t mask = umask(0177);
    bool bound = set_option(socket->socket, ZMQ_ROUTER_MANDATORY, 1) && set_option(socket->socket, ZMQ_ROUTER_HANDOVER, 1) &&
                 zmq_bind(socket->socket, endpoint) == 0;
    int saved = errno;
    (void)umask(mask);
    if (!bound) {
        bus_socket_close(socket);
        errno = saved;
        return NULL;
    }
    return socket;
}

void bus_socket_close(struct bus_socket *socket) {
    if (socket == NULL)
        return;
    if (socket->socket != NULL)
        (void)zmq_socket_monitor(socket->socket, NULL, 0);
    if (socket->monitor != NULL)
        (void)zmq_close(socket->monitor);
    if (socket->socket != NULL)
        (void)zmq_close(socket->socket);
    if (socket->owns_context && socket->context != NULL)
        (void)zmq_ctx_term(socket->context);
    if (socket->epoll_fd >= 0)
        (void)close(socket->epoll_fd);
    free(socket);
}

int bus_socket_fd(const struct bus_socket *socket) {
    return socket->epoll_fd;
}

static bool has_input(void *zmq) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(zmq, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

bool bus_socket_readable(const struct bus_socket *socket) {
    return has_input(socket->socket) || has_input(socket->monitor);
}

static bool receive_part(struct bus_socket *socket, unsigned char *storage, struct text *ret_part) {
    zmq_msg_t *message = (zmq_msg_t *)(void *)storage;
    int size;
    (void)zmq_msg_init(message);
    do
        size = zmq_msg_recv(message, socket->socket, ZMQ_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        (void)zmq_msg_close(message);
        return false;
    }
    *ret_part = (struct text){zmq_msg_data(message), (size_t)size};
    return true;
}

static bool has_more(unsigned char *storage) {
    return zmq_msg_more((zmq_msg_t *)(void *)storage) != 0;
}

/* A frame has one part behind the routing id. More parts are no frame of ours: they are taken and the last one counts. */
bool bus_socket_receive(struct bus_socket *socket, struct bus_frame *ret_frame) {
    ret_frame->peer = (struct text){0};
    (void)zmq_msg_init((zmq_msg_t *)(void *)ret_frame->storage[0]);
    if (socket->is_router && !receive_part(socket, ret_frame->storage[0], &ret_frame->peer))
        return false;
    if (!receive_part(socket, ret_frame->storage[1], &ret_frame->bytes)) {
        (void)zmq_msg_close((zmq_msg_t *)(void *)ret_frame->storage[0]);
        return false;
    }
    while (has_more(ret_frame->storage[1])) {
        (void)zmq_msg_close((zmq_msg_t *)(void *)ret_frame->storage[1]);
        if (!receive_part(socket, ret_frame->storage[1], &ret_frame->bytes)) {
            (void)zmq_msg_close((zmq_msg_t *)(void *)ret_frame->storage[0]);
            return false;
        }
    }
    return true;
}

void bus_frame_free(struct bus_frame *frame) {
    (void)zmq_msg_close((zmq_msg_t *)(void *)frame->storage[0]);
    (void)zmq_msg_close((zmq_msg_t *)(void *)frame->storage[1]);
}

static int send_part(struct bus_socket *socket, struct text part, int flags) {
    int sent;
    do
        sent = zmq_send(socket->socket, part.data, part.size, flags | ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

enum bus_send_result bus_socket_send(struct bus_socket *socket, struct text peer, struct text frame) {
    if ((socket->is_router && send_part(socket, peer, ZMQ_SNDMORE) < 0) || send_part(socket, frame, 0) < 0)
        return errno == EHOSTUNREACH ? BUS_UNREACHABLE : BUS_FULL;
    return BUS_SENT;
}

/* The monitor's first part is a 16-bit event and a 32-bit value in native order, the second an address (zmq_socket_monitor(3)). */
enum bus_link bus_socket_link(struct bus_socket *socket) {
    unsigned char part[64];
    uint16_t event;
    if (zmq_recv(socket->monitor, part, sizeof part, ZMQ_DONTWAIT) < (int)sizeof event)
        return BUS_LINK_NONE;
    memcpy(&event, part, sizeof event);
    (void)zmq_recv(socket->monitor, part, sizeof part, ZMQ_DONTWAIT);
    return event == ZMQ_EVENT_DISCONNECTED ? BUS_LINK_DOWN : BUS_LINK_UP;
}
