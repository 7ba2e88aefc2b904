#include <errno.h>
#include <stdlib.h>

#include "actors/store/ngx_store.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/program.h"

#define EXPOSED "ETag, Content-Length, Content-Range, Accept-Ranges, Last-Modified, x-amz-request-id"

struct configuration {
    ngx_http_output_header_filter_pt next_header_filter;
    struct process *process; /* in a process that serves */
};

struct process *process_of(ngx_http_request_t *http) {
    struct configuration *configuration = ngx_http_get_module_main_conf(http, ngx_pixbus_store_module);
    return configuration->process;
}

/* ---- what is true of every answer, nginx's own included ---- */

static bool allows(const char *origins, struct text origin) {
    for (const char *at = origins; *at != '\0';) {
        size_t size = strcspn(at, " ");
        struct text allowed = {at, size};
        if (text_equal(allowed, TEXT("*")) || text_equal_ignoring_case(allowed, origin))
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

/* Signatures take the place of cookies here, so no origin's credentials are involved. */
static bool add_cors(ngx_http_request_t *http, const struct process *process) {
    struct text origin = request_header(http, "origin");
    bool any = strcmp(process->settings.cors_origins, "*") == 0;
    if (!any && !answer_header(http, "Vary", TEXT("Origin")))
        return false;
    if (origin.data == NULL || !allows(process->settings.cors_origins, origin))
        return true;
    return answer_header(http, "Access-Control-Allow-Origin", any ? TEXT("*") : origin) &&
           answer_header(http, "Access-Control-Expose-Headers", TEXT(EXPOSED));
}

static ngx_int_t filter_header(ngx_http_request_t *http) {
    struct configuration *configuration = ngx_http_get_module_main_conf(http, ngx_pixbus_store_module);
    if (configuration->process != NULL && http == http->main) {
        struct request *request = request_of(http);
        char id[STORE_REQUEST_ID_BYTES];
        if (request == NULL)
            make_request_id(id);
        if (!answer_header(http, "x-amz-request-id", text_from(request != NULL ? request->id : id)) ||
            !answer_header(http, "X-Content-Type-Options", TEXT("nosniff")) || !add_cors(http, configuration->process))
            return NGX_ERROR;
    }
    return configuration->next_header_filter(http);
}

/* ---- processes ---- */

static bool start_failed(const char *reason) {
    log_event(LOG_LEVEL_ERROR, "start_failed", "reason", reason, NULL);
    return false;
}

static bool open_settings(struct process *process) {
    enum log_level level = LOG_LEVEL_INFO;
    struct buffer problem = {0};
    bool loaded = settings_load(&process->settings, &problem);
    if (!loaded)
        log_printf(LOG_LEVEL_ERROR, "start_failed", "%.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    buffer_free(&problem);
    if (!loaded)
        return false;
    if (!log_level_parse(text_from(process->settings.log_level), &level))
        return start_failed("PIXBUS_LOG_LEVEL is not error, warn, info or debug");
    log_open("pixbus-store", level);
    if (process->settings.access_key_id == NULL || process->settings.secret_access_key == NULL)
        return start_failed("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
    return true;
}

/* They become directories, and parts of JSON and XML as they are. */
static bool is_plain_name(const char *name) {
    return name[0] != '.' && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

static bool open_store(struct process *process) {
    const struct settings *settings = &process->settings;
    char directory[DISK_PATH_BYTES];
    if (!is_plain_name(settings->media_bucket) || !is_plain_name(settings->thumbnails_bucket) ||
        !is_plain_name(settings->aws_region))
        return start_failed("a bucket or the region has a name that holds more than letters, digits, '.', '-' and '_'");
    if (settings->store_directory != NULL)
        (void)snprintf(directory, sizeof directory, "%s", settings->store_directory);
    else
        (void)snprintf(directory, sizeof directory, "%s/store", settings->var_directory);
    const struct store_options options = {
        .directory = directory,
        .media_bucket = text_from(settings->media_bucket),
        .thumbnails_bucket = text_from(settings->thumbnails_bucket),
        .region = text_from(settings->aws_region),
        .object_bytes_max = (uint64_t)settings->image_bytes_max,
    };
    if (!store_open(&process->store, &options)) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", "the store's directory cannot be used", "directory", directory,
                  "error", strerror(errno), NULL);
        return false;
    }
    multipart_sweep(&process->store, clock_real_us() - MULTIPART_AGE_US);
    return true;
}

static bool open_signer(struct process *process) {
    const struct sigv4_credentials credentials = {
        .region = process->settings.aws_region,
        .access_key_id = process->settings.access_key_id,
        .secret_access_key = process->settings.secret_access_key,
        .session_token = process->settings.session_token,
    };
    process->signer = sigv4_signer_new(&credentials);
    return process->signer != NULL || start_failed("out of memory");
}

static bool open_bus(struct process *process, ngx_cycle_t *cycle) {
    char endpoint[256], instance[LIMIT_INSTANCE_NAME_BYTES + 1], host[32];
    const char *problem = NULL;
    if (!program_broker_endpoint(&process->settings, endpoint, sizeof endpoint))
        return start_failed("the broker's endpoint is too long");
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    if (process->settings.instance != NULL)
        (void)snprintf(instance, sizeof instance, "%.50s-%d", process->settings.instance, (int)ngx_pid);
    else
        (void)snprintf(instance, sizeof instance, "store-%s-%d", host, (int)ngx_pid);
    const struct bus_client_options options = {
        .endpoint = endpoint,
        .instance = instance,
        .heartbeat_us = process->settings.heartbeat_ms * US_PER_MS,
    };
    process->bus = nginx_bus_open(cycle, &options, &problem);
    if (process->bus == NULL)
        return start_failed(problem);
    log_event(LOG_LEVEL_INFO, "started", "instance", instance, "endpoint", endpoint, "version", PIXBUS_VERSION, NULL);
    return true;
}

static bool open_process(struct process *process, ngx_cycle_t *cycle) {
    ngx_str_t pool = ngx_string("store");
    if (!open_settings(process) || !open_signer(process) || !open_store(process))
        return false;
    process->threads = ngx_thread_pool_get(cycle, &pool);
    if (process->threads == NULL)
        return start_failed("the configuration has no thread_pool store");
    if (!open_bus(process, cycle))
        return false;
    process->events = events_open(process, cycle);
    return process->events != NULL || start_failed("out of memory");
}

static void close_process(struct process *process) {
    if (process == NULL)
        return;
    events_close(process->events);
    nginx_bus_close(process->bus);
    store_close(&process->store);
    sigv4_signer_free(process->signer);
    free(process);
}

static ngx_int_t init_process(ngx_cycle_t *cycle) {
    struct configuration *configuration = ngx_http_cycle_get_module_main_conf(cycle, ngx_pixbus_store_module);
    if (configuration == NULL || !nginx_process_serves())
        return NGX_OK;
    nginx_drain_with_master();
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL || !open_process(process, cycle)) {
        close_process(process);
        nginx_worker_failed();
    }
    configuration->process = process;
    return NGX_OK;
}

static void exit_process(ngx_cycle_t *cycle) {
    struct configuration *configuration = ngx_http_cycle_get_module_main_conf(cycle, ngx_pixbus_store_module);
    if (configuration == NULL)
        return;
    close_process(configuration->process);
    configuration->process = NULL;
}

/* ---- configuration ---- */

static void *create_configuration(ngx_conf_t *cf) {
    return ngx_pcalloc(cf->pool, sizeof(struct configuration));
}

static ngx_int_t postconfigure(ngx_conf_t *cf) {
    struct configuration *configuration = ngx_http_conf_get_module_main_conf(cf, ngx_pixbus_store_module);
    configuration->next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    return NGX_OK;
}

/* `pixbus_store` and `pixbus_store_errors` in a location: what answers there. */
static char *set_handler(ngx_conf_t *cf, ngx_command_t *command, void *unused) {
    (void)unused;
    ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    location->handler = command->offset == 0 ? request_handle : request_handle_error;
    return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
    {ngx_string("pixbus_store"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_handler, 0, 0, NULL},
    {ngx_string("pixbus_store_errors"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_handler, 0, 1, NULL},
    ngx_null_command,
};

static ngx_http_module_t context = {
    .postconfiguration = postconfigure,
    .create_main_conf = create_configuration,
};

ngx_module_t ngx_pixbus_store_module = {
    NGX_MODULE_V1,
    .ctx = &context,
    .commands = commands,
    .type = NGX_HTTP_MODULE,
    .init_module = nginx_drain_on_term,
    .init_process = init_process,
    .exit_process = exit_process,
};
