/*
 * program.h: how every program of ours begins: arguments, settings, log, standard signals.
 */
#ifndef PIXBUS_BUS_PROGRAM_H
#define PIXBUS_BUS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/setting.h"

/*
 * --help and --version, settings, log. Returns -1 to go on, otherwise the exit status: 0 after --help, 2 for wrong
 * arguments or malformed settings, which are then named on standard error.
 */
int program_start(int argc, char **argv, const char *program, const char *help, struct settings *ret_settings);

/* The broker's endpoint by the settings. False, with a line on standard error, if it does not fit. */
[[gnu::warn_unused_result]] bool program_broker_endpoint(const struct settings *settings, char *out, size_t out_size);

#endif
