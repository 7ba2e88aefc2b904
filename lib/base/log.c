#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES 2048 /* a longer line is cut */

static const char *log_program = "pixbus";
static enum log_level log_threshold = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_open(const char *program, enum log_level level) {
    log_program = program;
    log_threshold = level;
}

bool log_level_parse(struct text name, enum log_level *ret_level) {
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (text_equal(name, text_from(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level) {
    return level <= log_threshold;
}

struct line {
    char data[LINE_BYTES];
    size_t size;
};

static void put(struct line *line, char c) {
    if (line->size < LINE_BYTES - 1)
        line->data[line->size++] = c;
}

static void put_string(struct line *line, const char *string) {
    for (; *string != '\0'; string++)
        put(line, *string);
}

/* logfmt: bare when it can be, else in quotes with the usual escapes; control characters never reach the terminal. */
static void put_value(struct line *line, const char *value) {
    bool bare = *value != '\0';
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++)
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f)
            bare = false;
    if (bare) {
        put_string(line, value);
        return;
    }
    put(line, '"');
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            put(line, '\\');
            put(line, (char)*c);
        } else if (*c == '\n') {
            put_string(line, "\\n");
        } else {
            put(line, *c < ' ' || *c == 0x7f ? '?' : (char)*c);
        }
    }
    put(line, '"');
}

static void begin(struct line *line, enum log_level level, const char *event) {
    char time[RFC3339_BYTES];
    rfc3339_format(clock_real_us(), time);
    line->size = 0;
    put_string(line, "time=");
    put_string(line, time);
    put_string(line, " level=");
    put_string(line, level_names[level]);
    put_string(line, " program=");
    put_string(line, log_program);
    put_string(line, " event=");
    put_value(line, event);
}

static void end(struct line *line) {
    line->data[line->size++] = '\n'; /* put() left room for it */
    ssize_t written = write(STDERR_FILENO, line->data, line->size);
    (void)written; /* there is nowhere left to report it */
}

void log_event(enum log_level level, const char *event, ...) {
    struct line line;
    va_list arguments;
    if (!log_enabled(level))
        return;
    begin(&line, level, event);
    va_start(arguments, event);
    for (const char *key; (key = va_arg(arguments, const char *)) != NULL;) {
        const char *value = va_arg(arguments, const char *);
        put(&line, ' ');
        put_string(&line, key);
        put(&line, '=');
        put_value(&line, value != NULL ? value : "");
    }
    va_end(arguments);
    end(&line);
}

void log_printf(enum log_level level, const char *event, const char *format, ...) {
    struct line line;
    char message[LINE_BYTES];
    va_list arguments;
    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    begin(&line, level, event);
    put_string(&line, " message=");
    put_value(&line, message);
    end(&line);
}
