#include "aws/sigv4.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aws/sigv4_parts.h"
#include "base/clock.h"

#define CANONICAL_BYTES_MAX (64 * 1024) /* a longer request is not signed and not verified */
#define SERVICE "s3"
#define TERMINATOR "aws4_request"

static bool copy(const char *from, char *out, size_t out_size) {
    return text_copy(text_from(from), out, out_size);
}

struct sigv4_signer *sigv4_signer_new(const struct sigv4_credentials *credentials) {
    struct sigv4_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return NULL;
    signer->canonical.limit_bytes = signer->query.limit_bytes = signer->names.limit_bytes = CANONICAL_BYTES_MAX;
    signer->second = -1;
    signer->has_session_token = credentials->session_token != NULL;
    memcpy(signer->secret, SIGV4_PREFIX, sizeof SIGV4_PREFIX);
    signer->sha256 = digest_new(DIGEST_SHA256);
    signer->hmac = hmac_new();
    if (signer->sha256 == NULL || signer->hmac == NULL || !copy(credentials->region, signer->region, sizeof signer->region) ||
        !copy(credentials->access_key_id, signer->access_key_id, sizeof signer->access_key_id) ||
        !copy(credentials->secret_access_key, signer->secret + sizeof SIGV4_PREFIX - 1,
              sizeof signer->secret - sizeof SIGV4_PREFIX + 1) ||
        (signer->has_session_token && !copy(credentials->session_token, signer->session_token, sizeof signer->session_token)))
        goto fail;
    sigv4_encode(&signer->encoded_token, text_from(signer->session_token), false);
    if (!buffer_ok(&signer->encoded_token))
        goto fail;
    return signer;
fail:
    sigv4_signer_free(signer);
    return NULL;
}

void sigv4_signer_free(struct sigv4_signer *signer) {
    if (signer == NULL)
        return;
    digest_free(signer->sha256);
    hmac_free(signer->hmac);
    buffer_free(&signer->credential);
    buffer_free(&signer->encoded_token);
    buffer_free(&signer->canonical);
    buffer_free(&signer->query);
    buffer_free(&signer->names);
    explicit_bzero(signer, sizeof *signer);
    free(signer);
}

/* Times come in order, many in one second: its text is kept. */
static void set_date(struct sigv4_signer *signer, int64_t time_us) {
    int64_t second = time_us / US_PER_S;
    time_t time = (time_t)second;
    struct tm tm;
    assert(time_us >= 0);
    if (second == signer->second)
        return;
    if (gmtime_r(&time, &tm) == NULL || strftime(signer->date, sizeof signer->date, "%Y%m%dT%H%M%SZ", &tm) == 0)
        abort(); /* beyond the year 9999 */
    signer->second = second;
}

/* The key chain: each step is the key of the next. */
bool sigv4_set_day(struct sigv4_signer *signer, const char day[SIGV4_DAY_BYTES]) {
    uint8_t key[SHA256_BYTES];
    if (memcmp(signer->day, day, SIGV4_DAY_BYTES) == 0)
        return true;
    signer->day[0] = '\0';
    (void)snprintf(signer->scope, sizeof signer->scope, "%.8s/%s/" SERVICE "/" TERMINATOR, day, signer->region);
    buffer_clear(&signer->credential);
    sigv4_encode(&signer->credential, text_from(signer->access_key_id), false);
    sigv4_encode(&signer->credential, TEXT("/"), false);
    sigv4_encode(&signer->credential, text_from(signer->scope), false);
    if (!buffer_ok(&signer->credential))
        return false;
    hmac_key(signer->hmac, signer->secret, strlen(signer->secret));
    hmac_compute(signer->hmac, day, SIGV4_DAY_BYTES - 1, key);
    const char *const steps[] = {signer->region, SERVICE, TERMINATOR};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        hmac_key(signer->hmac, key, sizeof key);
        hmac_compute(signer->hmac, steps[i], strlen(steps[i]), key);
    }
    hmac_key(signer->hmac, key, sizeof key);
    explicit_bzero(key, sizeof key);
    memcpy(signer->day, day, SIGV4_DAY_BYTES);
    return true;
}

bool sigv4_set_now(struct sigv4_signer *signer, int64_t now_us) {
    char day[SIGV4_DAY_BYTES] = "";
    set_date(signer, now_us);
    memcpy(day, signer->date, SIGV4_DAY_BYTES - 1);
    return sigv4_set_day(signer, day);
}

void sigv4_compute(struct sigv4_signer *signer, const char date[SIGV4_DATE_BYTES], char ret_signature[SIGV4_SIGNATURE_BYTES]) {
    static const char first_line[] = SIGV4_ALGORITHM "\n";
    char string[sizeof first_line + SIGV4_DATE_BYTES + sizeof signer->scope + SHA256_HEX_BYTES], *end = string;
    uint8_t hash[SHA256_BYTES];
    digest_update(signer->sha256, signer->canonical.data, signer->canonical.size);
    digest_finish(signer->sha256, hash);
    end = mempcpy(end, first_line, sizeof first_line - 1);
    end = mempcpy(end, date, SIGV4_DATE_BYTES - 1);
    *end++ = '\n';
    end = mempcpy(end, signer->scope, strlen(signer->scope));
    *end++ = '\n';
    hex_encode(hash, sizeof hash, end);
    end += 2 * sizeof hash;
    hmac_compute(signer->hmac, string, (size_t)(end - string), hash);
    hex_encode(hash, sizeof hash, ret_signature);
}

void sigv4_append_path(struct buffer *out, struct text bucket, struct text key) {
    buffer_append(out, "/", 1);
    if (bucket.data != NULL) {
        sigv4_encode(out, bucket, false);
        buffer_append(out, "/", 1);
    }
    sigv4_encode(out, key, true);
}

/* The request's headers with those that signing adds, in the order in which they are signed. */
static bool collect_headers(const struct sigv4_request *request, const struct sigv4_signature *signature,
                            struct sigv4_headers *ret_headers) {
    const struct sigv4_header own[] = {{TEXT("x-amz-content-sha256"), text_from(signature->payload_sha256)},
                                       {TEXT("x-amz-date"), text_from(signature->date)},
                                       {TEXT("x-amz-security-token"), text_from(signature->session_token)}};
    size_t own_count = signature->session_token != NULL ? 3 : 2;
    ret_headers->count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (!sigv4_insert_header(ret_headers, request->headers[i]))
            return false;
    for (size_t i = 0; i < own_count; i++)
        if (!sigv4_insert_header(ret_headers, own[i]))
            return false;
    return true;
}

bool sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request, struct text payload_sha256, int64_t now_us,
                struct sigv4_signature *ret_signature) {
    struct sigv4_headers headers;
    struct sigv4_query query;
    struct sigv4_request whole = *request;
    struct text payload = payload_sha256.data != NULL ? payload_sha256 : TEXT(SIGV4_UNSIGNED_PAYLOAD);
    char hexadecimal[SIGV4_SIGNATURE_BYTES];
    if (!sigv4_set_now(signer, now_us) ||
        !text_copy(payload, ret_signature->payload_sha256, sizeof ret_signature->payload_sha256))
        return false;
    memcpy(ret_signature->date, signer->date, SIGV4_DATE_BYTES);
    ret_signature->session_token = signer->has_session_token ? signer->session_token : NULL;
    if (!collect_headers(request, ret_signature, &headers) || !sigv4_parse_query(signer, request->query, &query))
        return false;
    whole.headers = headers.header;
    whole.header_count = headers.count;
    buffer_clear(&signer->names);
    sigv4_append_names(&signer->names, &headers, TEXT(";"));
    if (!buffer_ok(&signer->names) || !sigv4_canonical(signer, &whole, &query, buffer_text(&signer->names), payload))
        return false;
    sigv4_compute(signer, signer->date, hexadecimal);
    int size = snprintf(ret_signature->authorization, sizeof ret_signature->authorization,
                        SIGV4_ALGORITHM " Credential=%s/%s,SignedHeaders=%.*s,Signature=%s", signer->access_key_id, signer->scope,
                        TEXT_ARGUMENTS(buffer_text(&signer->names)), hexadecimal);
    return size > 0 && (size_t)size < sizeof ret_signature->authorization;
}
