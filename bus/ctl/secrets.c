#include "bus/ctl/secrets.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/dotenv.h"
#include "base/random.h"
#include "bus/ctl/files.h"

#define FILE_BYTES_MAX 4096

/* `count` random bytes as hexadecimal digits. */
static void append_random_hex(struct buffer *out, size_t count) {
    uint8_t bytes[32];
    char hex[2 * sizeof bytes + 1];
    random_bytes(bytes, count);
    hex_encode(bytes, count, hex);
    buffer_append(out, hex, 2 * count);
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(hex, sizeof hex);
}

static void append_new(struct buffer *out) {
    buffer_append_text(out, TEXT("# Made by pixbus up. Whoever knows these is every user, and owns every image.\nJWT_SECRET="));
    append_random_hex(out, 32);
    buffer_append_text(out, TEXT("\nAWS_ACCESS_KEY_ID=PIXBUS"));
    append_random_hex(out, 7);
    buffer_append_text(out, TEXT("\nAWS_SECRET_ACCESS_KEY="));
    append_random_hex(out, 20);
    buffer_append_text(out, TEXT("\n"));
}

/* A value that does not fit stays empty, and is found missing. */
static void take(void *context, const char *name, const char *value) {
    struct secrets *secrets = context;
    if (strcmp(name, "JWT_SECRET") == 0)
        (void)!text_copy(text_from(value), secrets->token_secret, sizeof secrets->token_secret);
    else if (strcmp(name, "AWS_ACCESS_KEY_ID") == 0)
        (void)!text_copy(text_from(value), secrets->access_key_id, sizeof secrets->access_key_id);
    else if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
        (void)!text_copy(text_from(value), secrets->secret_access_key, sizeof secrets->secret_access_key);
}

static bool check(const char *path, const struct secrets *secrets, struct buffer *problem) {
    struct stat status;
    if (stat(path, &status) != 0 || (status.st_mode & 077) != 0) {
        buffer_printf(problem, "%s may be read by others than its owner: chmod 600 it, or remove it and have new secrets made\n",
                      path);
        return false;
    }
    if (strlen(secrets->token_secret) < 32 || *secrets->access_key_id == '\0' || *secrets->secret_access_key == '\0') {
        buffer_printf(problem, "%s lacks JWT_SECRET (32 bytes or more), AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY\n", path);
        return false;
    }
    return true;
}

bool secrets_load(const char *path, struct secrets *ret_secrets, struct buffer *problem) {
    struct buffer file = {0};
    struct secrets secrets = {0};
    bool good = file_read(path, FILE_BYTES_MAX, &file, problem);
    if (!good && errno == ENOENT) {
        append_new(&file);
        good = buffer_ok(&file) && file_write(path, buffer_text(&file), 0600, problem);
    }
    good = good && dotenv_parse(buffer_text(&file), take, &secrets, problem) && check(path, &secrets, problem);
    if (good)
        *ret_secrets = secrets;
    if (file.data != NULL)
        explicit_bzero(file.data, file.capacity);
    explicit_bzero(&secrets, sizeof secrets);
    buffer_free(&file);
    return good;
}
