#include "actors/feed/urls.h"

#include <stdlib.h>

#include "aws/s3.h"
#include "base/clock.h"
#include "base/limits.h"

#define WINDOW_MAX_S 60 /* for so long a GET keeps its text; so much longer is it valid */
#define BASE_BYTES 1024

struct urls {
    struct sigv4_signer *signer;
    char endpoint[S3_ENDPOINT_BYTES * 2];
    char bucket[64];
    char thumbnails_base[BASE_BYTES];
    int64_t presign_s, window_s;
};

/* "…/" and "…" are the same base. */
static void cut_slashes(char *string) {
    for (size_t size = strlen(string); size > 0 && string[size - 1] == '/'; size--)
        string[size - 1] = '\0';
}

static const char *set_up(struct urls *urls, const struct settings *settings) {
    const char *endpoint = settings->s3_public_endpoint != NULL ? settings->s3_public_endpoint : settings->s3_endpoint;
    struct buffer base = {0};
    if (settings->access_key_id == NULL || settings->secret_access_key == NULL)
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
    if (endpoint == NULL && !s3_endpoint_of_region(settings->aws_region, urls->endpoint))
        return "AWS_REGION is too long";
    if (endpoint != NULL && !text_copy(text_from(endpoint), urls->endpoint, sizeof urls->endpoint))
        return "the S3 endpoint is too long";
    cut_slashes(urls->endpoint);
    if (!text_copy(text_from(settings->media_bucket), urls->bucket, sizeof urls->bucket))
        return "AWS_MEDIA_BUCKET is too long";
    if (settings->thumbnails_base_url != NULL)
        buffer_append_text(&base, text_from(settings->thumbnails_base_url));
    else
        buffer_printf(&base, "%s/%s", urls->endpoint, settings->thumbnails_bucket);
    bool fits = buffer_ok(&base) && text_copy(buffer_text(&base), urls->thumbnails_base, sizeof urls->thumbnails_base);
    buffer_free(&base);
    if (!fits)
        return "AWS_THUMBNAILS_BASE_URL is too long";
    cut_slashes(urls->thumbnails_base);
    urls->presign_s = settings->presign_seconds;
    urls->window_s = urls->presign_s + WINDOW_MAX_S <= SIGV4_EXPIRES_MAX_S ? WINDOW_MAX_S : SIGV4_EXPIRES_MAX_S - urls->presign_s;
    urls->signer = sigv4_signer_new(&(struct sigv4_credentials){.region = settings->aws_region,
                                                                .access_key_id = settings->access_key_id,
                                                                .secret_access_key = settings->secret_access_key,
                                                                .session_token = settings->session_token});
    return urls->signer != NULL ? NULL : "out of memory";
}

struct urls *urls_new(const struct settings *settings, const char **ret_problem) {
    struct urls *urls = calloc(1, sizeof *urls);
    const char *problem = urls != NULL ? set_up(urls, settings) : "out of memory";
    if (problem == NULL)
        return urls;
    urls_free(urls);
    *ret_problem = problem;
    return NULL;
}

void urls_free(struct urls *urls) {
    if (urls == NULL)
        return;
    sigv4_signer_free(urls->signer);
    free(urls);
}

static bool presign(struct urls *urls, struct text method, struct text image_id, int64_t from_us, int64_t expires_s,
                    struct buffer *out) {
    size_t begin = out->size;
    struct sigv4_presign request = {.method = method,
                                    .endpoint = text_from(urls->endpoint),
                                    .bucket = text_from(urls->bucket),
                                    .key = image_id,
                                    .expires_s = (unsigned)expires_s,
                                    .now_us = from_us};
    return sigv4_presign(urls->signer, &request, out) && buffer_ok(out) && out->size - begin <= LIMIT_URL_BYTES;
}

bool urls_original(struct urls *urls, struct text image_id, int64_t real_us, struct buffer *out) {
    int64_t window_us = urls->window_s * US_PER_S;
    int64_t from_us = window_us > 0 ? real_us - real_us % window_us : real_us;
    return presign(urls, TEXT("GET"), image_id, from_us, urls->presign_s + urls->window_s, out);
}

bool urls_upload(struct urls *urls, struct text image_id, int64_t real_us, struct buffer *out) {
    return presign(urls, TEXT("PUT"), image_id, real_us, urls->presign_s, out);
}

bool urls_thumbnail(struct urls *urls, struct text image_id, struct buffer *out) {
    size_t begin = out->size;
    buffer_append_text(out, text_from(urls->thumbnails_base));
    sigv4_append_path(out, (struct text){0}, image_id);
    return buffer_ok(out) && out->size - begin <= LIMIT_URL_BYTES;
}
