/* pixbus config: the settings in force. */
#include <inttypes.h>
#include <stdio.h>

#include "base/setting.h"
#include "bus/ctl/command.h"

/* The table, made from settings.def like everything that knows of a setting. */
static void print_table(void) {
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &setting_table[i];
        (void)printf("\n  %s", setting->variable);
        if (setting->older_variable != NULL)
            (void)printf(" (or %s)", setting->older_variable);
        if (setting->fallback != NULL)
            (void)printf("  [%s]", setting->fallback);
        (void)printf("\n      %s", setting->help);
        switch (setting->kind) {
        case SETTING_TEXT: (void)printf("\n"); break;
        case SETTING_NUMBER: (void)printf("; %" PRId64 " to %" PRId64 "\n", setting->minimum, setting->maximum); break;
        case SETTING_FLAG: (void)printf("; 0 or 1\n"); break;
        case SETTING_BYTES:
            (void)printf("; %" PRId64 " to %" PRId64 " bytes, K, M and G allowed\n", setting->minimum, setting->maximum);
            break;
        }
    }
}

static int run(int argc, char **argv) {
    struct settings settings;
    struct buffer out = {0};
    if (argc > 1)
        return command_misused("config", "it takes no argument %s", argv[1]);
    if (!command_settings(&settings))
        return 2;
    settings_print(&settings, &out);
    bool good = buffer_ok(&out) && fwrite(out.data, 1, out.size, stdout) == out.size && fflush(stdout) == 0;
    buffer_free(&out);
    return good ? 0 : 1;
}

const struct command command_config = {
    .name = "config",
    .summary = "print the settings in force, secrets masked",
    .help = "usage: pixbus config\n\n"
            "Prints the settings in force, one VARIABLE=value a line, secrets as ***. They come from the environment and from\n"
            "a file .env in the working directory; the environment wins, and an empty variable counts as unset. If one is\n"
            "malformed, it says which and what was expected, and ends with status 2.\n\n"
            "examples:\n"
            "  pixbus config\n"
            "  PIXBUS_LISTEN=0.0.0.0:8080 pixbus config | grep LISTEN\n\n"
            "settings:\n",
    .print_more_help = print_table,
    .run = run,
};
