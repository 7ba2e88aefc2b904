/*
 * ngx_bus.h: a bus client (bus/client.h) driven by nginx's event loop. For modules; one for each process that serves.
 *
 * What the requests of one turn of the loop ask leaves in one batch at the turn's end, after all sockets were read, and
 * what has arrived meanwhile is delivered then too.
 */
#ifndef PIXBUS_NGINX_BUS_H
#define PIXBUS_NGINX_BUS_H

#include "bus/client.h"
#include "nginx/ngx_process.h"

struct nginx_bus;

/* One ask in flight, embedded in whatever waits for it; zero-initialised. Must stay in place while it waits. */
struct nginx_ask {
    void (*done)(struct nginx_ask *ask, const struct bus_outcome *outcome);
    struct nginx_bus *bus; /* while it waits, else NULL */
    uint64_t id;
};

/*
 * From a module's init_process. The options are copied, the texts in them are not. NULL with *ret_problem (static text) on
 * failure. The client's threads get no signals: those are for nginx.
 */
[[gnu::warn_unused_result]] struct nginx_bus *nginx_bus_open(ngx_cycle_t *cycle, const struct bus_client_options *options,
                                                             const char **ret_problem);

/* From exit_process. Takes NULL. */
void nginx_bus_close(struct nginx_bus *bus);

/*
 * Ask as bus_client_ask() does; `done` and `context` of `request` are not used. ask->done is called once, in the loop and
 * never before this returns, unless nginx_ask_cancel() comes first. While asks wait, a draining worker does not leave.
 */
void nginx_bus_ask(struct nginx_bus *bus, struct nginx_ask *ask, const struct bus_ask *request);

/* Takes an ask that does not wait. */
void nginx_ask_cancel(struct nginx_ask *ask);

bool nginx_bus_connected(const struct nginx_bus *bus);

/* Keep *place equal to that, at every turn of the bus, for somebody else to read (atomically) at any time. */
void nginx_bus_mirror(struct nginx_bus *bus, bool *place);

#endif
