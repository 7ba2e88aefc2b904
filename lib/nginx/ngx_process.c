#include "nginx/ngx_process.h"

#include <stdlib.h>
#include <sys/prctl.h>

#define RETRY_MS 1000 /* when a worker cannot start */

/*
 * nginx's table of signals (src/os/unix/ngx_process.c). It is exported but declared in no header; it is safe to write down
 * here because nginx loads only modules that were built for its very version.
 */
struct nginx_signal {
    int number;
    char *name, *command;
    void (*handler)(int number, siginfo_t *information, void *context);
};
extern struct nginx_signal signals[];

static void drain(int number, siginfo_t *information, void *context) {
    (void)number;
    (void)information;
    (void)context;
    if (ngx_quit)
        ngx_terminate = 1;
    ngx_quit = 1;
}

ngx_int_t nginx_drain_on_term(ngx_cycle_t *cycle) {
    unsigned found = 0;
    for (struct nginx_signal *entry = signals; entry->number != 0; entry++) {
        if (entry->number == SIGTERM || entry->number == SIGINT) {
            entry->handler = drain; /* nginx installs the table's handlers right after the modules are initialised */
            found++;
        }
    }
    if (found == 2)
        return NGX_OK;
    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "this nginx has another table of signals");
    return NGX_ERROR;
}

bool nginx_process_serves(void) {
    return ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE;
}

void nginx_drain_with_master(void) {
    if (ngx_process != NGX_PROCESS_WORKER)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != ngx_parent)
        ngx_quit = 1; /* it died before that */
}

void nginx_worker_failed(void) {
    ngx_msleep(RETRY_MS);
    exit(EXIT_FAILURE);
}
