#include "gateway/metrics.h"

#include <assert.h>
#include <inttypes.h>

/* Those that the API, or nginx, answers with. 0: any other. */
static const unsigned statuses[METRICS_STATUSES] = {200, 201, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414,
                                                    415, 417, 422, 429, 431, 499, 500, 501, 503, 504, 505, 0};

static const uint64_t bucket_limits_us[METRICS_BUCKETS] = {250,   500,    1000,   2500,   5000,    10000,   25000,
                                                           50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};
static const char *const bucket_names[METRICS_BUCKETS + 1] = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "10", "+Inf"};

static uint64_t load(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct metrics_worker *metrics_worker_claim(struct metrics *metrics, int process, bool (*is_gone)(int process)) {
    struct metrics_worker *claimed = NULL;
    for (size_t i = 0; i < METRICS_WORKERS_MAX; i++) {
        struct metrics_worker *worker = &metrics->workers[i];
        int holder = __atomic_load_n(&worker->process, __ATOMIC_RELAXED);
        if (holder != 0 && !is_gone(holder))
            continue;
        int taker = claimed == NULL ? process : 0; /* the places of others that are gone become free */
        if (__atomic_compare_exchange_n(&worker->process, &holder, taker, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
            taker != 0) {
            __atomic_store_n(&worker->in_flight, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&worker->bus_connected, false, __ATOMIC_RELAXED);
            claimed = worker;
        }
    }
    return claimed != NULL ? claimed : &metrics->workers[METRICS_WORKERS_MAX - 1];
}

static size_t route_place(const struct route *route) {
    return route != NULL ? (size_t)(route - route_table) : route_count;
}

void metrics_count(struct metrics *metrics, const struct route *route, unsigned status, int64_t latency_us) {
    size_t place = route_place(route), kind = 0, bucket = 0;
    uint64_t latency = latency_us > 0 ? (uint64_t)latency_us : 0;
    assert(place < METRICS_ROUTES_MAX);
    while (statuses[kind] != 0 && statuses[kind] != status)
        kind++;
    while (bucket < METRICS_BUCKETS && latency > bucket_limits_us[bucket])
        bucket++;
    metrics_add(&metrics->requests[place][kind], 1);
    metrics_add(&metrics->latency_buckets[place][bucket], 1);
    metrics_add(&metrics->latency_sum_us[place], latency);
}

static void write_route_labels(size_t place, struct buffer *out) {
    if (place < route_count)
        buffer_printf(out, "method=\"%s\",route=\"%s\"", route_method_name(route_table[place].method),
                      route_table[place].pattern);
    else
        buffer_append_text(out, TEXT("method=\"\",route=\"none\""));
}

static void write_head(const char *name, const char *type, const char *help, struct buffer *out) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_requests(const struct metrics *metrics, struct buffer *out) {
    write_head("pixbus_http_requests_total", "counter", "Answers by route and status.", out);
    for (size_t place = 0; place <= route_count; place++) {
        for (size_t kind = 0; kind < METRICS_STATUSES; kind++) {
            uint64_t count = load(&metrics->requests[place][kind]);
            if (count == 0)
                continue;
            buffer_append_text(out, TEXT("pixbus_http_requests_total{"));
            write_route_labels(place, out);
            if (statuses[kind] != 0)
                buffer_printf(out, ",status=\"%u\"} %" PRIu64 "\n", statuses[kind], count);
            else
                buffer_printf(out, ",status=\"other\"} %" PRIu64 "\n", count);
        }
    }
}

static void write_latency(const struct metrics *metrics, struct buffer *out) {
    write_head("pixbus_http_request_seconds", "histogram", "Time from the end of the request header to the end of the answer.",
               out);
    for (size_t place = 0; place <= route_count; place++) {
        uint64_t total = 0;
        for (size_t bucket = 0; bucket <= METRICS_BUCKETS; bucket++)
            total += load(&metrics->latency_buckets[place][bucket]);
        if (total == 0)
            continue;
        uint64_t below = 0;
        for (size_t bucket = 0; bucket <= METRICS_BUCKETS; bucket++) {
            below += load(&metrics->latency_buckets[place][bucket]);
            buffer_append_text(out, TEXT("pixbus_http_request_seconds_bucket{"));
            write_route_labels(place, out);
            buffer_printf(out, ",le=\"%s\"} %" PRIu64 "\n", bucket_names[bucket], below);
        }
        buffer_append_text(out, TEXT("pixbus_http_request_seconds_sum{"));
        write_route_labels(place, out);
        uint64_t sum = load(&metrics->latency_sum_us[place]);
        buffer_printf(out, "} %" PRIu64 ".%06" PRIu64 "\n", sum / 1000000, sum % 1000000);
        buffer_append_text(out, TEXT("pixbus_http_request_seconds_count{"));
        write_route_labels(place, out);
        buffer_printf(out, "} %" PRIu64 "\n", below);
    }
}

static void write_workers(const struct metrics *metrics, struct buffer *out) {
    write_head("pixbus_gateway_in_flight", "gauge", "Requests waiting for the bus, by worker process.", out);
    for (size_t i = 0; i < METRICS_WORKERS_MAX; i++) {
        const struct metrics_worker *worker = &metrics->workers[i];
        int process = __atomic_load_n(&worker->process, __ATOMIC_RELAXED);
        if (process != 0)
            buffer_printf(out, "pixbus_gateway_in_flight{process=\"%d\"} %" PRIu64 "\n", process, load(&worker->in_flight));
    }
    write_head("pixbus_gateway_bus_connected", "gauge", "Whether the worker process is connected to the broker.", out);
    for (size_t i = 0; i < METRICS_WORKERS_MAX; i++) {
        const struct metrics_worker *worker = &metrics->workers[i];
        int process = __atomic_load_n(&worker->process, __ATOMIC_RELAXED);
        if (process != 0)
            buffer_printf(out, "pixbus_gateway_bus_connected{process=\"%d\"} %d\n", process,
                          __atomic_load_n(&worker->bus_connected, __ATOMIC_RELAXED));
    }
}

void metrics_write(const struct metrics *metrics, struct buffer *out) {
    write_requests(metrics, out);
    write_latency(metrics, out);
    write_workers(metrics, out);
    write_head("pixbus_gateway_tokens_total", "counter", "Tokens by how they were dealt with.", out);
    buffer_printf(out, "pixbus_gateway_tokens_total{outcome=\"remembered\"} %" PRIu64 "\n", load(&metrics->tokens_remembered));
    buffer_printf(out, "pixbus_gateway_tokens_total{outcome=\"checked\"} %" PRIu64 "\n", load(&metrics->tokens_checked));
    buffer_printf(out, "pixbus_gateway_tokens_total{outcome=\"refused\"} %" PRIu64 "\n", load(&metrics->tokens_refused));
    write_head("pixbus_gateway_log_suppressed_total", "counter",
               "Errors whose log line was left out because there were too many.", out);
    buffer_printf(out, "pixbus_gateway_log_suppressed_total %" PRIu64 "\n", load(&metrics->errors_suppressed));
}
