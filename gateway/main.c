/* pixbus-gateway: nginx with our module, on a configuration of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "bus/program.h"
#include "nginx/launch.h"

extern const char nginx_conf_template[];

static const char help[] =
    "Serves the HTTP API and turns it into messages on the bus. It becomes nginx with the module ngx_pixbus_module, on a\n"
    "configuration that it writes to gateway/ in the run directory. SIGTERM drains; SIGHUP starts new workers.\n\n"
    "  --check   write the configuration, let nginx test it, and end";

static void append_number(struct buffer *out, int64_t number) {
    buffer_printf(out, "%lld", (long long)number);
    buffer_append(out, "", 1);
}

int main(int argc, char **argv) {
    struct settings settings;
    struct buffer problem = {0}, directory = {0}, connections = {0}, body = {0};
    bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    int status = program_start(check ? 1 : argc, argv, "pixbus-gateway", help, &settings);
    if (status >= 0)
        return status;
    if (settings.token_secret == NULL) {
        (void)fprintf(stderr,
                      "pixbus-gateway: JWT_SECRET is not set; expected 32 or more characters, the same as for pixbus-users\n");
        return 2;
    }
    if (settings.run_directory != NULL)
        buffer_printf(&directory, "%s/gateway", settings.run_directory);
    else
        buffer_printf(&directory, "%s/run/gateway", settings.var_directory);
    buffer_append(&directory, "", 1);
    append_number(&connections, settings.gateway_connections);
    append_number(&body, LIMIT_HTTP_BODY_BYTES);
    if (!buffer_ok(&directory) || !buffer_ok(&connections) || !buffer_ok(&body))
        return EXIT_FAILURE;
    const struct launch_variable variables[] = {
        {"LISTEN", settings.listen},
        {"CONNECTIONS", connections.data},
        {"BODY_BYTES", body.data},
    };
    const struct launch launch = {
        .module = "ngx_pixbus_module",
        .directory = directory.data,
        .template = nginx_conf_template,
        .variables = variables,
        .variable_count = sizeof variables / sizeof *variables,
        .workers = (unsigned)settings.gateway_workers,
        .account = settings.account,
        .log_level = settings.log_level,
    };
    launch_nginx(&launch, check, &problem);
    (void)fprintf(stderr, "pixbus-gateway: %.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    return EXIT_FAILURE;
}
