/*
 * Signs what it is told on standard input, one request a line, so that test_sigv4.py can compare with botocore.
 *
 * Fields are separated by tabs and, but for the first two and the numbers, written in hexadecimal digits ("-": absent):
 *   presign NOW_S EXPIRES_S METHOD ENDPOINT BUCKET KEY NAME=VALUE…     answers the URL
 *   sign    NOW_S METHOD PATH QUERY PAYLOAD_SHA256 NAME=VALUE…         answers the Authorization header's value
 * The first line holds the credentials: REGION ACCESS_KEY_ID SECRET_ACCESS_KEY SESSION_TOKEN. A request that is refused is
 * answered with "refused".
 */
#include <stdio.h>
#include <stdlib.h>

#include "aws/sigv4.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"

#define FIELDS_MAX 80

[[gnu::noreturn]] static void give_up(const char *why) {
    (void)fprintf(stderr, "sigv4_oracle: %s\n", why);
    exit(2);
}

/* Cut a line at its tabs. */
static size_t split(char *line, char *fields[FIELDS_MAX]) {
    size_t count = 0;
    line[strcspn(line, "\n")] = '\0';
    while (line != NULL) {
        if (count == FIELDS_MAX)
            give_up("too many fields");
        fields[count++] = strsep(&line, "\t");
    }
    return count;
}

/* NUL-terminated as well. */
static struct text decode(struct arena *arena, const char *hex) {
    size_t size = strlen(hex) / 2;
    if (strcmp(hex, "-") == 0)
        return (struct text){0};
    char *bytes = arena_alloc(arena, size + 1);
    if (bytes == NULL || !hex_decode(text_from(hex), (uint8_t *)bytes, size))
        give_up("a field is not hexadecimal");
    bytes[size] = '\0';
    return (struct text){bytes, size};
}

static int64_t number(const char *digits) {
    uint64_t value;
    if (!text_to_u64(text_from(digits), &value) || value > INT32_MAX)
        give_up("a field is no number");
    return (int64_t)value;
}

static size_t decode_headers(struct arena *arena, char *fields[], size_t count, struct sigv4_header *headers) {
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(fields[i], '=');
        if (equals == NULL)
            give_up("a header has no =");
        *equals = '\0';
        headers[i] = (struct sigv4_header){decode(arena, fields[i]), decode(arena, equals + 1)};
    }
    return count;
}

static void presign(struct sigv4_signer *signer, struct arena *arena, char *fields[], size_t count) {
    struct sigv4_header headers[FIELDS_MAX];
    struct buffer url = {0};
    struct sigv4_presign request = {
        .method = decode(arena, fields[3]),
        .endpoint = decode(arena, fields[4]),
        .bucket = decode(arena, fields[5]),
        .key = decode(arena, fields[6]),
        .expires_s = (unsigned)number(fields[2]),
        .now_us = number(fields[1]) * US_PER_S,
        .headers = headers,
        .header_count = decode_headers(arena, fields + 7, count - 7, headers),
    };
    if (sigv4_presign(signer, &request, &url) && buffer_ok(&url))
        (void)printf("%.*s\n", TEXT_ARGUMENTS(buffer_text(&url)));
    else
        (void)puts("refused");
    buffer_free(&url);
}

static void sign(struct sigv4_signer *signer, struct arena *arena, char *fields[], size_t count) {
    struct sigv4_header headers[FIELDS_MAX];
    struct sigv4_signature signature;
    struct sigv4_request request = {
        .method = decode(arena, fields[2]),
        .path = decode(arena, fields[3]),
        .query = decode(arena, fields[4]),
        .headers = headers,
        .header_count = decode_headers(arena, fields + 6, count - 6, headers),
    };
    if (sigv4_sign(signer, &request, decode(arena, fields[5]), number(fields[1]) * US_PER_S, &signature))
        (void)puts(signature.authorization);
    else
        (void)puts("refused");
}

static struct sigv4_signer *open_signer(struct arena *arena, char *line) {
    char *fields[FIELDS_MAX];
    if (split(line, fields) != 4)
        give_up("the first line must hold four credentials");
    struct sigv4_credentials credentials = {decode(arena, fields[0]).data, decode(arena, fields[1]).data,
                                            decode(arena, fields[2]).data, decode(arena, fields[3]).data};
    struct sigv4_signer *signer = sigv4_signer_new(&credentials);
    if (signer == NULL)
        give_up("there is no signer for these credentials");
    return signer;
}

int main(void) {
    struct arena arena;
    struct sigv4_signer *signer = NULL;
    char *line = NULL, *fields[FIELDS_MAX];
    size_t capacity = 0;
    arena_init(&arena, LIMIT_ARENA_BYTES);
    while (getline(&line, &capacity, stdin) > 0) {
        if (signer == NULL) {
            signer = open_signer(&arena, line);
            continue;
        }
        size_t count = split(line, fields);
        if (count >= 7 && strcmp(fields[0], "presign") == 0)
            presign(signer, &arena, fields, count);
        else if (count >= 6 && strcmp(fields[0], "sign") == 0)
            sign(signer, &arena, fields, count);
        else
            give_up("neither presign nor sign");
        arena_reset(&arena);
    }
    sigv4_signer_free(signer);
    arena_free(&arena);
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
