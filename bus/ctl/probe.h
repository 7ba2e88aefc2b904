/*
 * probe.h: asks an HTTP server again and again whether it is ready, without blocking, until it says so.
 */
#ifndef PIXBUS_CTL_PROBE_H
#define PIXBUS_CTL_PROBE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/loop.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t size;
    char host[256]; /* as given */
    char port[6];
};

/* "host:port" or "[::1]:port" as in PIXBUS_LISTEN; the host is looked up. */
[[gnu::warn_unused_result]] bool address_parse(const char *listen, struct address *ret_address, struct buffer *problem);

/* Can somebody listen there now? If not, `problem` says why, and names the setting `variable`. */
[[gnu::warn_unused_result]] bool address_is_free(const struct address *address, const char *variable, struct buffer *problem);

/* The URL by which a program on this machine reaches it: loopback for the wildcard addresses. */
void address_url(const struct address *address, struct buffer *out);

enum probe_state {
    PROBE_IDLE, /* between two attempts */
    PROBE_CONNECTING,
    PROBE_READING, /* the request is sent */
    PROBE_OVER,    /* 200 was answered, or probe_stop() called */
};

struct probe {
    struct loop *loop;
    struct address address; /* where it listens */
    const char *path;       /* "/readyz" */
    int64_t period_us;      /* between two attempts; one attempt takes at most ten of them */
    void (*ready)(void *context);
    void *context;
    /* The probe's own: */
    enum probe_state state;
    struct loop_watch watch;
    struct loop_timer timer;
    char answer[512]; /* the last one's beginning, for people */
    size_t answer_size;
};

/* Begin. The caller has set the members above and zeroed the rest; the probe stays in place until it is over. */
void probe_start(struct probe *probe);
/* Takes one that is over. */
void probe_stop(struct probe *probe);

/* The status of the last answer, or 0 if there was none. */
int probe_last_status(const struct probe *probe);

#endif
