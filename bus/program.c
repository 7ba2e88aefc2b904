#include "bus/program.h"

#include <signal.h>
#include <stdio.h>

#include "base/log.h"

static int usage(const char *program, const char *help) {
    (void)printf(
        "usage: %s [--help | --version]\n\n%s\n\nSettings come from the environment or a file .env: `pixbus config --help` lists them.\n",
        program, help);
    return 0;
}

int program_start(int argc, char **argv, const char *program, const char *help, struct settings *ret_settings) {
    struct buffer problem = {0};
    enum log_level level = LOG_LEVEL_INFO;
    struct text argument = text_from(argc > 1 ? argv[1] : NULL);
    if (text_equal(argument, TEXT("--help")))
        return usage(program, help);
    if (text_equal(argument, TEXT("--version"))) {
        (void)printf("%s %s\n", program, PIXBUS_VERSION);
        return 0;
    }
    if (argument.data != NULL) {
        (void)fprintf(stderr, "%s: unknown argument '%s'; it takes none but --help and --version\n", program, argument.data);
        return 2;
    }
    if (!settings_load(ret_settings, &problem)) {
        (void)fprintf(stderr, "%s: the settings are malformed:\n%.*s", program, TEXT_ARGUMENTS(buffer_text(&problem)));
        buffer_free(&problem);
        return 2;
    }
    buffer_free(&problem);
    if (!log_level_parse(text_from(ret_settings->log_level), &level)) {
        (void)fprintf(stderr, "%s: PIXBUS_LOG_LEVEL is '%s'; expected error, warn, info or debug\n", program,
                      ret_settings->log_level);
        return 2;
    }
    log_open(program, level);
    (void)signal(SIGPIPE, SIG_IGN);
    return -1;
}

bool program_broker_endpoint(const struct settings *settings, char *out, size_t out_size) {
    struct buffer endpoint = {0};
    if (settings->broker != NULL)
        buffer_printf(&endpoint, "%s", settings->broker);
    else if (settings->run_directory != NULL)
        buffer_printf(&endpoint, "ipc://%s/broker", settings->run_directory);
    else
        buffer_printf(&endpoint, "ipc://%s/run/broker", settings->var_directory);
    bool fits = buffer_ok(&endpoint) && text_copy(buffer_text(&endpoint), out, out_size);
    if (!fits)
        (void)fprintf(stderr, "the broker's endpoint is too long: at most %zu bytes\n", out_size - 1);
    buffer_free(&endpoint);
    return fits;
}
