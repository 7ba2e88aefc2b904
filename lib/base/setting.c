#include "base/setting.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dotenv.h"
#include "base/limits.h"
#include "base/log.h"

#define SECRECY_PUBLIC false
#define SECRECY_SECRET true

const struct setting setting_table[] = {
#define SETTING(name, variable, older, kind, value, minimum, maximum, secrecy, help) \
    {#name, variable, older, SETTING_##kind, value, minimum, maximum, SECRECY_##secrecy, help, offsetof(struct settings, name)},
#include "base/settings.def"
#undef SETTING
};

const size_t setting_count = sizeof setting_table / sizeof *setting_table;

/* "host:port", "[::1]:port". */
static bool is_listen_address(struct text text) {
    uint64_t port;
    const char *colon = memrchr(text.data, ':', text.size);
    if (colon == NULL || colon == text.data)
        return false;
    struct text host = {text.data, (size_t)(colon - text.data)}, digits = {colon + 1, text.size - host.size - 1};
    if (!text_to_u64(digits, &port) || port < 1 || port > 65535)
        return false;
    if (*host.data == '[')
        return host.size > 2 && host.data[host.size - 1] == ']' &&
               strspn(host.data + 1, "0123456789abcdefABCDEF:.") == host.size - 2;
    for (size_t i = 0; i < host.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", host.data[i]) == NULL)
            return false;
    return true;
}

/* Scheme, "://" and something behind it that can stand in a URL. */
static bool is_url_of(struct text text, struct text scheme) {
    if (!text_starts_with(text, scheme) || text.size == scheme.size)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || strchr("\"<>\\^`{|}", text.data[i]) != NULL)
            return false;
    return true;
}

static bool is_http_url(struct text text) {
    return is_url_of(text, TEXT("http://")) || is_url_of(text, TEXT("https://"));
}

static bool is_bus_endpoint(struct text text) {
    return is_url_of(text, TEXT("ipc://")) || is_url_of(text, TEXT("tcp://"));
}

static bool is_log_level(struct text text) {
    enum log_level level;
    return log_level_parse(text, &level);
}

static bool is_host_name_like(struct text text) {
    for (size_t i = 0; i < text.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", text.data[i]) == NULL)
            return false;
    return true;
}

/* What a text must look like beyond its length. */
static const struct text_form {
    const char *variable;
    bool (*matches)(struct text text);
    const char *expected;
} text_forms[] = {
    {"PIXBUS_LISTEN", is_listen_address, "an address and a port, as 127.0.0.1:8080 or [::1]:8080"},
    {"PIXBUS_STORE_LISTEN", is_listen_address, "an address and a port, as 127.0.0.1:9000 or [::1]:9000"},
    {"PIXBUS_BROKER", is_bus_endpoint, "an endpoint, as ipc:///run/pixbus/broker or tcp://broker:7000"},
    {"PIXBUS_LOG_LEVEL", is_log_level, "error, warn, info or debug"},
    {"AWS_REGION", is_host_name_like, "a region, as eu-central-1"},
    {"AWS_ENDPOINT_URL_S3", is_http_url, "a URL, as http://127.0.0.1:9000"},
    {"PIXBUS_S3_PUBLIC_ENDPOINT", is_http_url, "a URL, as https://s3.example.org"},
    {"AWS_THUMBNAILS_BASE_URL", is_http_url, "a URL, as https://thumbnails.example.org"},
    {"AWS_MEDIA_BUCKET", is_host_name_like, "the name of a bucket: letters, digits, '.', '_' and '-'"},
    {"AWS_THUMBNAILS_BUCKET", is_host_name_like, "the name of a bucket: letters, digits, '.', '_' and '-'"},
};

static const struct text_form *text_form_of(const struct setting *setting) {
    for (size_t i = 0; i < sizeof text_forms / sizeof *text_forms; i++)
        if (strcmp(text_forms[i].variable, setting->variable) == 0)
            return &text_forms[i];
    return NULL;
}

/* Decimal with an optional sign, or for BYTES with a K, M or G behind it. */
static bool parse_number(struct text text, enum setting_kind kind, int64_t *ret_value) {
    uint64_t magnitude, unit = 1;
    bool negative = text.size > 0 && *text.data == '-' && kind == SETTING_NUMBER;
    if (negative)
        text = (struct text){text.data + 1, text.size - 1};
    if (kind == SETTING_BYTES && text.size > 0) {
        char suffix = text.data[text.size - 1];
        unit = suffix == 'K' || suffix == 'k'   ? 1024
               : suffix == 'M' || suffix == 'm' ? 1024 * 1024
               : suffix == 'G' || suffix == 'g' ? 1024 * 1024 * 1024
                                                : 1;
        text.size -= unit != 1;
    }
    if (!text_to_u64(text, &magnitude) || __builtin_mul_overflow(magnitude, unit, &magnitude) || magnitude > INT64_MAX)
        return false;
    *ret_value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static void append_expected(struct buffer *problem, const struct setting *setting) {
    const struct text_form *form = text_form_of(setting);
    switch (setting->kind) {
    case SETTING_TEXT:
        if (form != NULL)
            buffer_printf(problem, "%s, ", form->expected);
        buffer_printf(problem, "%" PRId64 " to %" PRId64 " bytes without control characters", setting->minimum, setting->maximum);
        return;
    case SETTING_NUMBER:
        buffer_printf(problem, "a whole number from %" PRId64 " to %" PRId64, setting->minimum, setting->maximum);
        return;
    case SETTING_FLAG: buffer_printf(problem, "0 or 1"); return;
    case SETTING_BYTES:
        buffer_printf(problem, "a number of bytes from %" PRId64 " to %" PRId64 ", as 500000, 512K, 50M or 1G", setting->minimum,
                      setting->maximum);
        return;
    }
}

/* Only the length of a secret is shown. */
static void append_given(struct buffer *problem, const struct setting *setting, struct text given) {
    if (setting->secret) {
        buffer_printf(problem, ", not the %zu bytes that are given\n", given.size);
        return;
    }
    buffer_printf(problem, ", not \"");
    for (size_t i = 0; i < given.size && i < 60; i++)
        buffer_printf(problem, "%c", given.data[i] < ' ' || given.data[i] == 0x7f ? '?' : given.data[i]);
    buffer_printf(problem, given.size > 60 ? "…\"\n" : "\"\n");
}

static bool text_matches(const struct setting *setting, struct text value) {
    const struct text_form *form = text_form_of(setting);
    if ((int64_t)value.size < setting->minimum || (int64_t)value.size > setting->maximum || !text_is_utf8(value))
        return false;
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
            return false;
    return form == NULL || form->matches(value);
}

/* Check `value` and put it into its member. NULL, unset, is all right. */
static bool store(struct settings *settings, const struct setting *setting, const char *value) {
    char *member = (char *)settings + setting->offset;
    int64_t number = 0;
    bool flag;
    switch (setting->kind) {
    case SETTING_TEXT:
        if (value != NULL && !text_matches(setting, text_from(value)))
            return false;
        memcpy(member, &value, sizeof value);
        return true;
    case SETTING_NUMBER:
    case SETTING_BYTES:
        if (value != NULL &&
            (!parse_number(text_from(value), setting->kind, &number) || number < setting->minimum || number > setting->maximum))
            return false;
        memcpy(member, &number, sizeof number);
        return true;
    case SETTING_FLAG:
        flag = value != NULL && strcmp(value, "1") == 0;
        if (value != NULL && !flag && strcmp(value, "0") != 0)
            return false;
        memcpy(member, &flag, sizeof flag);
        return true;
    }
    return false;
}

/* An empty variable counts as unset, as compose files and shells leave them. */
static const char *variable_value(const char *variable) {
    const char *value = variable != NULL ? getenv(variable) : NULL;
    return value != NULL && *value != '\0' ? value : NULL;
}

static void set_variable(void *context, const char *name, const char *value) {
    bool *failed = context;
    if (setenv(name, value, 0) != 0)
        *failed = true;
}

/* All of the file, at most LIMIT_DOTENV_BYTES. False with errno. */
static bool read_file(int fd, struct buffer *out) {
    for (;;) {
        char *place = buffer_reserve(out, 4096);
        if (place == NULL) {
            errno = EFBIG;
            return false;
        }
        ssize_t got = read(fd, place, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        buffer_claim(out, (size_t)got);
    }
}

static bool load_dotenv(struct buffer *problem) {
    struct buffer file = {.limit_bytes = LIMIT_DOTENV_BYTES + 4096};
    bool failed = false, good;
    int fd = open(".env", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return true;
    good = fd >= 0 && read_file(fd, &file);
    if (!good)
        buffer_printf(problem, ".env: cannot be read (at most %d bytes): %s\n", LIMIT_DOTENV_BYTES, strerrordesc_np(errno));
    else
        good = dotenv_parse(buffer_text(&file), set_variable, &failed, problem);
    if (failed) {
        buffer_printf(problem, ".env: there is no memory for its variables\n");
        good = false;
    }
    if (fd >= 0)
        (void)close(fd);
    if (file.data != NULL)
        explicit_bzero(file.data, file.capacity);
    buffer_free(&file);
    return good;
}

bool settings_load(struct settings *ret_settings, struct buffer *problem) {
    struct settings settings = {0};
    bool good = load_dotenv(problem);
    for (const struct setting *setting = setting_table; setting < setting_table + setting_count; setting++) {
        const char *variable = setting->variable, *value = variable_value(variable);
        if (value == NULL && (value = variable_value(setting->older_variable)) != NULL)
            variable = setting->older_variable;
        if (store(&settings, setting, value != NULL ? value : setting->fallback))
            continue;
        buffer_printf(problem, "%s: expected ", variable);
        append_expected(problem, setting);
        append_given(problem, setting, text_from(value));
        good = false;
    }
    if (good)
        *ret_settings = settings;
    return good;
}

/* One member of a libpq connection string (PostgreSQL manual, 34.1.1.1: quotes, and backslashes before ' and \). */
static void append_member(struct buffer *out, const char *keyword, struct text value) {
    buffer_printf(out, "%s%s='", out->size > 0 ? " " : "", keyword);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] == '\'' || value.data[i] == '\\')
            buffer_append(out, "\\", 1);
        buffer_append(out, value.data + i, 1);
    }
    buffer_append(out, "'", 1);
}

/* "host", "host:port", "[::1]:port" or a bare IPv6 address. */
static void append_host(struct buffer *out, struct text given) {
    struct text host = given, port = {0};
    const char *colon = memrchr(given.data, ':', given.size);
    bool bracketed = *given.data == '[';
    if (colon != NULL && (bracketed ? colon > given.data && colon[-1] == ']' : memchr(given.data, ':', given.size) == colon)) {
        host.size = (size_t)(colon - given.data);
        port = (struct text){colon + 1, given.size - host.size - 1};
    }
    if (bracketed && host.size > 1 && host.data[host.size - 1] == ']')
        host = (struct text){host.data + 1, host.size - 2};
    append_member(out, "host", host);
    if (port.size > 0)
        append_member(out, "port", port);
}

bool settings_database(const struct settings *settings, struct buffer *out) {
    const struct {
        const char *keyword, *value;
    } members[] = {
        {"dbname", settings->database_name}, {"user", settings->database_user}, {"password", settings->database_password}};
    struct buffer connection = {0};
    if (settings->database_url != NULL) {
        buffer_append_text(out, text_from(settings->database_url));
        return buffer_ok(out);
    }
    if (settings->database_host != NULL)
        append_host(&connection, text_from(settings->database_host));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (members[i].value != NULL)
            append_member(&connection, members[i].keyword, text_from(members[i].value));
    buffer_append_text(out, buffer_text(&connection));
    bool good = buffer_ok(&connection) && buffer_ok(out);
    if (connection.data != NULL)
        explicit_bzero(connection.data, connection.capacity);
    buffer_free(&connection);
    return good;
}

void settings_print(const struct settings *settings, struct buffer *out) {
    for (const struct setting *setting = setting_table; setting < setting_table + setting_count; setting++) {
        const char *member = (const char *)settings + setting->offset, *value;
        int64_t number;
        bool flag;
        switch (setting->kind) {
        case SETTING_TEXT:
            memcpy(&value, member, sizeof value);
            if (value != NULL)
                buffer_printf(out, "%s=%s\n", setting->variable, setting->secret ? "***" : value);
            break;
        case SETTING_NUMBER:
        case SETTING_BYTES:
            memcpy(&number, member, sizeof number);
            buffer_printf(out, "%s=%" PRId64 "\n", setting->variable, number);
            break;
        case SETTING_FLAG:
            memcpy(&flag, member, sizeof flag);
            buffer_printf(out, "%s=%d\n", setting->variable, flag);
            break;
        }
    }
}
