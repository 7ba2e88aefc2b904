/*
 * dotenv.h: the text of a .env file. One variable a line:
 *
 *   NAME=value            trailing blanks and a comment behind a blank and '#' are dropped
 *   export NAME='value'   single quotes: as it stands
 *   NAME="a \"b\"\n"      double quotes: \n, \t, \r, \", \\, \$ and \` are escapes
 *
 * Blank lines and lines that begin with '#' say nothing. Nothing is expanded, nothing is run, a value ends with its line.
 */
#ifndef PIXBUS_DOTENV_H
#define PIXBUS_DOTENV_H

#include "base/buffer.h"

/*
 * Call `set` for every variable in the order of the file; name and value are NUL-terminated and live for the call only.
 * False if a line is malformed: `problem` then names each of them by its number (never with its value, which may be a
 * secret), and the other lines were still delivered.
 */
[[gnu::warn_unused_result]] bool dotenv_parse(struct text file, void (*set)(void *context, const char *name, const char *value),
                                              void *context, struct buffer *problem);

#endif
