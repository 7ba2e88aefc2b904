#include "gateway/ngx_gateway.h"

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus/program.h"
#include "gateway/cors.h"

#define SHARED_BYTES (sizeof(struct metrics) + 64 * 1024) /* beside the slab allocator's own */

struct configuration {
    ngx_shm_zone_t *zone; /* its data is the struct metrics */
    ngx_http_output_header_filter_pt next_header_filter;
    struct gateway *gateway; /* in a process that serves */
};

struct gateway *gateway_of(ngx_http_request_t *http) {
    struct configuration *configuration = ngx_http_get_module_main_conf(http, ngx_pixbus_module);
    return configuration->gateway;
}

/* ---- what is true of every answer, nginx's own included ---- */

static bool add_cors(ngx_http_request_t *http, const struct gateway *gateway) {
    struct request_headers headers;
    request_headers(http, &headers);
    /* The answer differs by origin also for who sends none, and a cache must know. */
    if (!answer_header(http, "Vary", TEXT("Origin")))
        return false;
    if (headers.origin.data == NULL || !cors_allows(gateway->settings.cors_origins, headers.origin))
        return true;
    return answer_header(http, "Access-Control-Allow-Origin", headers.origin) &&
           answer_header(http, "Access-Control-Allow-Credentials", TEXT("true")) &&
           answer_header(http, "Access-Control-Expose-Headers", TEXT(CORS_EXPOSED));
}

static ngx_int_t filter_header(ngx_http_request_t *http) {
    struct configuration *configuration = ngx_http_get_module_main_conf(http, ngx_pixbus_module);
    struct gateway *gateway = configuration->gateway;
    if (gateway != NULL && http == http->main) {
        struct request *request = request_of(http);
        char id[REQUEST_ID_BYTES];
        if (request == NULL)
            request_make_id(gateway, id);
        if (!answer_header(http, "X-Request-Id", text_from(request != NULL ? request->id : id)) ||
            !answer_header(http, "X-Content-Type-Options", TEXT("nosniff")) || !add_cors(http, gateway))
            return NGX_ERROR;
    }
    return configuration->next_header_filter(http);
}

/* ---- what is counted and logged when a request has ended ---- */

static bool may_log(struct gateway *gateway, int64_t now_us) {
    if (gateway->log_second != now_us / US_PER_S) {
        gateway->log_second = now_us / US_PER_S;
        gateway->log_lines = 0;
    }
    if (gateway->log_lines < LOG_LINES_PER_S) {
        gateway->log_lines++;
        return true;
    }
    metrics_add(&gateway->metrics->errors_suppressed, 1);
    return false;
}

static ngx_int_t log_request(ngx_http_request_t *http) {
    struct gateway *gateway = gateway_of(http);
    const struct request *request = request_of(http);
    if (gateway == NULL)
        return NGX_OK;
    unsigned status = (unsigned)http->headers_out.status;
    int64_t now_us = clock_monotonic_us();
    metrics_count(gateway->metrics, request != NULL ? request->route : NULL, status,
                  request != NULL ? now_us - request->started_us : 0);
    bool is_probe = request != NULL && request->route != NULL && request->route->kind == ROUTE_READY; /* not ready is an answer */
    if (status < 500 || request == NULL || is_probe || !may_log(gateway, now_us))
        return NGX_OK;
    char code[16], milliseconds[24];
    (void)snprintf(code, sizeof code, "%u", status);
    (void)snprintf(milliseconds, sizeof milliseconds, "%.3f", (double)(now_us - request->started_us) / (double)US_PER_MS);
    log_event(LOG_LEVEL_ERROR, "request_failed", "request_id", request->id, "status", code, "error",
              error_describe(request->error)->name, "method",
              request->route != NULL ? route_method_name(request->route->method) : "", "route",
              request->route != NULL ? request->route->pattern : "", "ms", milliseconds, "detail", request->detail, NULL);
    return NGX_OK;
}

/* ---- processes ---- */

static bool process_is_gone(int process) {
    return kill(process, 0) != 0 && errno == ESRCH;
}

static bool start_failed(const char *reason) {
    log_event(LOG_LEVEL_ERROR, "start_failed", "reason", reason, NULL);
    return false;
}

static bool open_settings(struct gateway *gateway) {
    enum log_level level = LOG_LEVEL_INFO;
    struct buffer problem = {0};
    if (!settings_load(&gateway->settings, &problem)) {
        log_printf(LOG_LEVEL_ERROR, "start_failed", "%.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
        buffer_free(&problem);
        return false;
    }
    buffer_free(&problem);
    if (!log_level_parse(text_from(gateway->settings.log_level), &level))
        return start_failed("PIXBUS_LOG_LEVEL is not error, warn, info or debug");
    log_open("pixbus-gateway", level);
    return true;
}

static bool open_bus(struct gateway *gateway, ngx_cycle_t *cycle) {
    char endpoint[256], instance[LIMIT_INSTANCE_NAME_BYTES + 1], host[32];
    const char *problem = NULL;
    if (!program_broker_endpoint(&gateway->settings, endpoint, sizeof endpoint))
        return start_failed("the broker's endpoint is too long");
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    /* Each worker is an instance of its own. */
    if (gateway->settings.instance != NULL)
        (void)snprintf(instance, sizeof instance, "%.50s-%d", gateway->settings.instance, (int)ngx_pid);
    else
        (void)snprintf(instance, sizeof instance, "gateway-%s-%d", host, (int)ngx_pid);
    struct bus_client_options options = {
        .endpoint = endpoint,
        .instance = instance,
        .heartbeat_us = gateway->settings.heartbeat_ms * US_PER_MS,
    };
    gateway->bus = nginx_bus_open(cycle, &options, &problem);
    if (gateway->bus == NULL)
        return start_failed(problem);
    nginx_bus_mirror(gateway->bus, &gateway->worker->bus_connected);
    log_event(LOG_LEVEL_INFO, "started", "instance", instance, "endpoint", endpoint, "version", PIXBUS_VERSION, NULL);
    return true;
}

static bool open_gateway(struct gateway *gateway, struct metrics *metrics, ngx_cycle_t *cycle) {
    if (!open_settings(gateway))
        return false;
    if (gateway->settings.token_secret == NULL)
        return start_failed("JWT_SECRET is not set");
    gateway->tokens = token_cache_new(text_from(gateway->settings.token_secret));
    gateway->replies = replies_new();
    if (gateway->tokens == NULL || gateway->replies == NULL)
        return start_failed("out of memory");
    gateway->metrics = metrics;
    gateway->worker = metrics_worker_claim(metrics, (int)ngx_pid, process_is_gone);
    arena_init(&gateway->arena, LIMIT_ARENA_BYTES);
    return open_bus(gateway, cycle);
}

static void close_gateway(struct gateway *gateway) {
    if (gateway == NULL)
        return;
    nginx_bus_close(gateway->bus);
    token_cache_free(gateway->tokens);
    replies_free(gateway->replies);
    if (gateway->worker != NULL)
        __atomic_store_n(&gateway->worker->process, 0, __ATOMIC_RELEASE);
    arena_free(&gateway->arena);
    buffer_free(&gateway->json);
    buffer_free(&gateway->header);
    free(gateway);
}

static ngx_int_t init_process(ngx_cycle_t *cycle) {
    struct configuration *configuration = ngx_http_cycle_get_module_main_conf(cycle, ngx_pixbus_module);
    if (configuration == NULL || !nginx_process_serves())
        return NGX_OK;
    nginx_drain_with_master();
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL || !open_gateway(gateway, configuration->zone->data, cycle)) {
        close_gateway(gateway);
        nginx_worker_failed();
    }
    configuration->gateway = gateway;
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle) {
    struct configuration *configuration = ngx_http_cycle_get_module_main_conf(cycle, ngx_pixbus_module);
    if (configuration == NULL)
        return;
    close_gateway(configuration->gateway);
    configuration->gateway = NULL;
}

/* ---- configuration ---- */

/* The counters outlive a reload: then `data` is what the zone held before. */
static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *data) {
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)zone->shm.addr;
    if (data != NULL) {
        zone->data = data;
        return NGX_OK;
    }
    zone->data = zone->shm.exists ? pool->data : ngx_slab_calloc(pool, sizeof(struct metrics));
    pool->data = zone->data;
    return zone->data != NULL ? NGX_OK : NGX_ERROR;
}

static void *create_configuration(ngx_conf_t *cf) {
    return ngx_pcalloc(cf->pool, sizeof(struct configuration));
}

static ngx_int_t postconfigure(ngx_conf_t *cf) {
    struct configuration *configuration = ngx_http_conf_get_module_main_conf(cf, ngx_pixbus_module);
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_str_t name = ngx_string("pixbus");
    configuration->zone = ngx_shared_memory_add(cf, &name, SHARED_BYTES, &ngx_pixbus_module);
    ngx_http_handler_pt *logger = ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (configuration->zone == NULL || logger == NULL)
        return NGX_ERROR;
    configuration->zone->init = init_zone;
    *logger = log_request;
    configuration->next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    return NGX_OK;
}

/* `pixbus` and `pixbus_errors` in a location: what answers there. */
static char *set_handler(ngx_conf_t *cf, ngx_command_t *command, void *unused) {
    (void)unused;
    ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    location->handler = command->offset == 0 ? request_handle : request_handle_error;
    return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
    {ngx_string("pixbus"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_handler, 0, 0, NULL},
    {ngx_string("pixbus_errors"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_handler, 0, 1, NULL},
    ngx_null_command,
};

static ngx_http_module_t context = {
    .postconfiguration = postconfigure,
    .create_main_conf = create_configuration,
};

ngx_module_t ngx_pixbus_module = {
    NGX_MODULE_V1,
    .ctx = &context,
    .commands = commands,
    .type = NGX_HTTP_MODULE,
    .init_module = nginx_drain_on_term,
    .init_process = init_process,
    .exit_process = exit_process,
};
