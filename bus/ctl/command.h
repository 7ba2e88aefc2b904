/*
 * command.h: the commands of the program `pixbus`. Each is a file of its own that defines one of these; main.c lists them.
 */
#ifndef PIXBUS_CTL_COMMAND_H
#define PIXBUS_CTL_COMMAND_H

#include "base/setting.h"

struct command {
    const char *name;
    const char *summary;           /* one line, for `pixbus help` */
    const char *help;              /* usage, what it does, examples; for --help */
    void (*print_more_help)(void); /* behind `help`. May be NULL */
    /* argv[0] is the command's name; --help has been dealt with. Returns the exit status: 2 for wrong arguments. */
    int (*run)(int argc, char **argv);
};

extern const struct command command_up, command_migrate, command_config;

/* The settings, or false after the problem was printed: the command ends with status 2. */
[[gnu::warn_unused_result]] bool command_settings(struct settings *ret_settings);

/* "pixbus NAME: …" and how to get help, on standard error. Returns 2. */
[[gnu::format(printf, 2, 3)]] int command_misused(const char *name, const char *format, ...);

#endif
