/*
 * ngx_process.h: the life of nginx's processes under our supervisor. For modules; knows nothing of HTTP.
 */
#ifndef PIXBUS_NGINX_PROCESS_H
#define PIXBUS_NGINX_PROCESS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <stdbool.h>

/*
 * From a module's init_module: let SIGTERM and SIGINT mean what SIGQUIT means to nginx: stop accepting, answer what is in
 * flight, leave. A second one ends at once. Fails only if this is not the nginx that it was built for.
 */
ngx_int_t nginx_drain_on_term(ngx_cycle_t *cycle);

/* From a module's init_process: is this a process that serves (not a helper for caches)? */
bool nginx_process_serves(void);

/*
 * From a module's init_process, when it cannot serve: end after a moment. If it returned NGX_ERROR instead, the master would
 * stay without workers for ever; so it makes another one, and it may get better.
 */
[[gnu::noreturn]] void nginx_worker_failed(void);

/*
 * From a module's init_process: drain when the master dies. Otherwise workers would keep the port of a master that was
 * killed, and the next start would find it taken.
 */
void nginx_drain_with_master(void);

#endif
