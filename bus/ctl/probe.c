#include "bus/ctl/probe.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

bool address_parse(const char *listen, struct address *ret_address, struct buffer *problem) {
    struct address address = {0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    const char *colon = strrchr(listen, ':');
    assert(colon != NULL); /* settings_load() has checked the form */
    struct text host = {listen, (size_t)(colon - listen)};
    if (host.size > 1 && *host.data == '[')
        host = (struct text){host.data + 1, host.size - 2};
    if (!text_copy(host, address.host, sizeof address.host) ||
        !text_copy(text_from(colon + 1), address.port, sizeof address.port)) {
        buffer_printf(problem, "%s is too long\n", listen);
        return false;
    }
    int error = getaddrinfo(address.host, address.port, &hints, &found);
    if (error != 0 || found->ai_addrlen > sizeof address.in6) {
        buffer_printf(problem, "%s is no address of this machine: %s\n", listen, error != 0 ? gai_strerror(error) : "too long");
        if (found != NULL)
            freeaddrinfo(found);
        return false;
    }
    memcpy(&address.any, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    freeaddrinfo(found);
    *ret_address = address;
    return true;
}

bool address_is_free(const struct address *address, const char *variable, struct buffer *problem) {
    int one = 1, fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                bind(fd, &address->any, address->size) == 0 && listen(fd, 1) == 0;
    if (!good && errno == EADDRINUSE)
        buffer_printf(problem, "port %s of %s is in use by another program: stop that, or set %s to another address\n",
                      address->port, address->host, variable);
    else if (!good)
        buffer_printf(problem, "cannot listen on port %s of %s: %s; set %s to another address\n", address->port, address->host,
                      strerrordesc_np(errno), variable);
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static bool is_wildcard(const struct address *address) {
    return address->any.sa_family == AF_INET ? address->in.sin_addr.s_addr == htonl(INADDR_ANY)
                                             : IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

void address_url(const struct address *address, struct buffer *out) {
    bool six = address->any.sa_family == AF_INET6;
    const char *host = !is_wildcard(address) ? address->host : six ? "::1" : "127.0.0.1";
    buffer_printf(out, strchr(host, ':') != NULL ? "http://[%s]:%s" : "http://%s:%s", host, address->port);
}

/* The one place where the probe's state changes. */
static void enter(struct probe *probe, enum probe_state state) {
    if (state == PROBE_IDLE || state == PROBE_OVER) {
        loop_watch_remove(&probe->watch);
        if (probe->watch.fd >= 0)
            (void)close(probe->watch.fd);
        probe->watch.fd = -1;
    }
    if (state == PROBE_OVER)
        loop_timer_clear(&probe->timer);
    probe->state = state;
}

static void try_later(struct probe *probe) {
    enter(probe, PROBE_IDLE);
    loop_timer_set(probe->loop, &probe->timer, loop_now_us(probe->loop) + probe->period_us);
}

static void send_request(struct probe *probe) {
    char request[256];
    int error = 0;
    socklen_t error_size = sizeof error;
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: pixbus-up\r\n\r\n",
                        probe->path);
    if (getsockopt(probe->watch.fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 || error != 0 ||
        send(probe->watch.fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
        try_later(probe);
        return;
    }
    probe->answer_size = 0;
    enter(probe, PROBE_READING);
    loop_watch_change(&probe->watch, LOOP_READ);
}

static void read_answer(struct probe *probe) {
    size_t room = sizeof probe->answer - 1 - probe->answer_size;
    ssize_t got = room > 0 ? recv(probe->watch.fd, probe->answer + probe->answer_size, room, 0) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0) {
        probe->answer_size += (size_t)got;
        probe->answer[probe->answer_size] = '\0';
        return; /* until the server closes or the room is full: the answer is kept for people */
    }
    if (probe_last_status(probe) == 200) {
        enter(probe, PROBE_OVER);
        probe->ready(probe->context);
    } else {
        try_later(probe);
    }
}

static void fd_ready(struct loop_watch *watch, unsigned ready) {
    struct probe *probe = watch->context;
    (void)ready;
    if (probe->state == PROBE_CONNECTING)
        send_request(probe);
    else
        read_answer(probe);
}

static void attempt(struct probe *probe) {
    struct address to = probe->address;
    if (is_wildcard(&to)) {
        if (to.any.sa_family == AF_INET)
            to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
            to.in6.sin6_addr = in6addr_loopback;
    }
    probe->watch = (struct loop_watch){.fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                       .interest = LOOP_WRITE,
                                       .ready = fd_ready,
                                       .context = probe};
    if (probe->watch.fd < 0 || (connect(probe->watch.fd, &to.any, to.size) != 0 && errno != EINPROGRESS) ||
        !loop_watch_add(probe->loop, &probe->watch)) {
        try_later(probe);
        return;
    }
    enter(probe, PROBE_CONNECTING);
    loop_timer_set(probe->loop, &probe->timer, loop_now_us(probe->loop) + 10 * probe->period_us);
}

static void timer_fired(struct loop_timer *timer) {
    struct probe *probe = timer->context;
    if (probe->state == PROBE_IDLE)
        attempt(probe);
    else
        try_later(probe); /* the attempt took too long */
}

void probe_start(struct probe *probe) {
    probe->watch.fd = -1;
    probe->timer = (struct loop_timer){.fire = timer_fired, .context = probe};
    try_later(probe);
}

void probe_stop(struct probe *probe) {
    if (probe->state != PROBE_OVER)
        enter(probe, PROBE_OVER);
}

int probe_last_status(const struct probe *probe) {
    int status = 0;
    if (probe->answer_size < sizeof "HTTP/1.1 200" - 1 || memcmp(probe->answer, "HTTP/1.", 7) != 0)
        return 0;
    for (const char *digit = probe->answer + 9; digit < probe->answer + 12; digit++)
        status = *digit >= '0' && *digit <= '9' ? 10 * status + (*digit - '0') : 0;
    return status;
}
