/*
 * metrics.h: what the gateway counts, and its Prometheus text. All of it lies in one block that the workers share, so any
 * worker can answer for all: counters are added to atomically; what a worker is doing right now stands in the worker's own
 * place, which is taken over when its process is gone. Knows nothing of nginx.
 */
#ifndef PIXBUS_GATEWAY_METRICS_H
#define PIXBUS_GATEWAY_METRICS_H

#include "gateway/routes.h"

#define METRICS_ROUTES_MAX 32   /* of the table, and one for what matched none */
#define METRICS_WORKERS_MAX 256 /* more: they share the last place */
#define METRICS_BUCKETS 14
#define METRICS_STATUSES 24

struct metrics_worker {
    int process; /* 0: free */
    bool bus_connected;
    uint64_t in_flight; /* requests waiting for the bus */
};

struct metrics {
    uint64_t requests[METRICS_ROUTES_MAX][METRICS_STATUSES];
    uint64_t latency_buckets[METRICS_ROUTES_MAX][METRICS_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t latency_sum_us[METRICS_ROUTES_MAX];
    uint64_t tokens_remembered, tokens_checked, tokens_refused;
    uint64_t errors_suppressed; /* lines of the log that were left out */
    struct metrics_worker workers[METRICS_WORKERS_MAX];
};

/* A place for this process; those of processes that are gone become free. The block is zeroed before its first use. */
struct metrics_worker *metrics_worker_claim(struct metrics *metrics, int process, bool (*is_gone)(int process));

/* Another process may read or change it at the same time. */
static inline void metrics_add(uint64_t *counter, uint64_t amount) {
    (void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* One answer. `route`: NULL if none matched. Unusual statuses are counted as "other". */
void metrics_count(struct metrics *metrics, const struct route *route, unsigned status, int64_t latency_us);

/* Append everything in the Prometheus text format, version 0.0.4. */
void metrics_write(const struct metrics *metrics, struct buffer *out);

#endif
