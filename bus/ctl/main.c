/* pixbus: the command line of one installation. One table of commands; each is a file. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus/ctl/command.h"

static const struct command *const commands[] = {&command_up, &command_migrate, &command_config};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

bool command_settings(struct settings *ret_settings) {
    struct buffer problem = {0};
    enum log_level level = LOG_LEVEL_INFO;
    bool good = settings_load(ret_settings, &problem);
    if (!good)
        (void)fprintf(stderr, "pixbus: the settings are malformed:\n%.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    buffer_free(&problem);
    if (good && log_level_parse(text_from(ret_settings->log_level), &level))
        log_open("pixbus", level);
    return good;
}

int command_misused(const char *name, const char *format, ...) {
    va_list arguments;
    (void)fprintf(stderr, "pixbus %s: ", name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "; see pixbus %s --help\n", name);
    return 2;
}

static void print_help(FILE *out) {
    (void)fputs("usage: pixbus COMMAND [ARGUMENT …]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("  help       this text; `pixbus COMMAND --help` says more about one\n\n"
                "Settings come from the environment and from a file .env in the working directory: pixbus config --help\n",
                out);
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* The command that somebody who typed `name` may have meant: one that begins alike. */
static const struct command *find_similar(const char *name) {
    for (size_t length = strlen(name); length > 0; length--)
        for (size_t i = 0; i < COMMAND_COUNT; i++)
            if (strncmp(commands[i]->name, name, length) == 0)
                return commands[i];
    return NULL;
}

static bool asks_for_help(const char *argument) {
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static int print_command_help(const struct command *command) {
    (void)fputs(command->help, stdout);
    if (command->print_more_help != NULL)
        command->print_more_help();
    return 0;
}

static int run_help(int argc, char **argv) {
    const struct command *command = argc > 2 ? find(argv[2]) : NULL;
    if (command != NULL)
        return print_command_help(command);
    print_help(stdout);
    return 0;
}

int main(int argc, char **argv) {
    log_open("pixbus", LOG_LEVEL_INFO);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "help") == 0 || asks_for_help(argv[1]))
        return run_help(argc, argv);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        (void)puts("pixbus " PIXBUS_VERSION);
        return 0;
    }
    const struct command *command = find(argv[1]), *similar;
    if (command == NULL) {
        similar = find_similar(argv[1]);
        (void)fprintf(stderr, "pixbus: there is no command %s%s%s; `pixbus help` lists them\n", argv[1],
                      similar != NULL ? ", did you mean " : "", similar != NULL ? similar->name : "");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        if (asks_for_help(argv[i]))
            return print_command_help(command);
    return command->run(argc - 1, argv + 1);
}
