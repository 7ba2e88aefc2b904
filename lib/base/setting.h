/*
 * setting.h: the settings of settings.def, read once at the start and checked.
 *
 *   struct settings settings;
 *   if (!settings_load(&settings, &problem)) { print problem; exit 2; }
 *   … settings.listen (text), settings.heartbeat_ms (number), unset texts are NULL
 */
#ifndef PIXBUS_SETTING_H
#define PIXBUS_SETTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define SETTING_TYPE_TEXT const char * /* NUL-terminated; NULL while unset */
#define SETTING_TYPE_NUMBER int64_t
#define SETTING_TYPE_FLAG bool
#define SETTING_TYPE_BYTES int64_t

struct settings {
#define SETTING(name, variable, older, kind, value, minimum, maximum, secrecy, help) SETTING_TYPE_##kind name;
#include "base/settings.def"
#undef SETTING
};

enum setting_kind { SETTING_TEXT, SETTING_NUMBER, SETTING_FLAG, SETTING_BYTES };

struct setting {
    const char *name, *variable, *older_variable;
    enum setting_kind kind;
    const char *fallback; /* NULL: unset unless given */
    int64_t minimum, maximum;
    bool secret;
    const char *help;
    size_t offset; /* in struct settings */
};

extern const struct setting setting_table[];
extern const size_t setting_count;

/*
 * Read .env (if there is one) into the environment without overwriting what is set there, then fill `ret_settings`,
 * whose texts stay valid for the life of the process. On failure `problem` names every variable that is malformed, and
 * what was expected, one a line.
 */
[[gnu::warn_unused_result]] bool settings_load(struct settings *ret_settings, struct buffer *problem);

/*
 * Where the database is, as a libpq connection string: DATABASE_URL, else POSTGRESS_*, else "" (libpq's PG* variables).
 */
[[gnu::warn_unused_result]] bool settings_database(const struct settings *settings, struct buffer *out);

/* Append "VARIABLE=value" lines of what is in force, secrets as "***". */
void settings_print(const struct settings *settings, struct buffer *out);

#endif
