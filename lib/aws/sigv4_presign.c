/* Presigned URLs. The feed makes one for each item of each page, so the canonical request is written in one go. */
#include <stdio.h>

#include "aws/sigv4_parts.h"

#define HOST_BYTES_MAX 256

/* The endpoint without a slash at its end, and what a client will send as Host: lower case, without the scheme's own port. */
static bool parse_endpoint(struct text endpoint, struct text *ret_origin, char ret_host[HOST_BYTES_MAX]) {
    bool secure = text_starts_with(endpoint, TEXT("https://"));
    if (!secure && !text_starts_with(endpoint, TEXT("http://")))
        return false;
    size_t scheme_size = secure ? sizeof "https://" - 1 : sizeof "http://" - 1;
    struct text port = secure ? TEXT(":443") : TEXT(":80");
    if (endpoint.data[endpoint.size - 1] == '/')
        endpoint.size--;
    if (endpoint.size <= scheme_size || endpoint.size - scheme_size >= HOST_BYTES_MAX)
        return false;
    struct text host = {endpoint.data + scheme_size, endpoint.size - scheme_size};
    if (host.size > port.size && memcmp(host.data + host.size - port.size, port.data, port.size) == 0)
        host.size -= port.size;
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#@\\", c) != NULL)
            return false;
        ret_host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    ret_host[host.size] = '\0';
    *ret_origin = endpoint;
    return true;
}

static void append_query(struct sigv4_signer *signer, unsigned expires_s, const struct sigv4_headers *headers,
                         struct buffer *out) {
    char expires[16];
    int expires_size = snprintf(expires, sizeof expires, "%u", expires_s);
    buffer_append_text(out, TEXT("X-Amz-Algorithm=" SIGV4_ALGORITHM "&X-Amz-Credential="));
    buffer_append_text(out, buffer_text(&signer->credential));
    buffer_append_text(out, TEXT("&X-Amz-Date="));
    buffer_append(out, signer->date, SIGV4_DATE_BYTES - 1);
    buffer_append_text(out, TEXT("&X-Amz-Expires="));
    buffer_append(out, expires, (size_t)expires_size);
    if (signer->has_session_token) {
        buffer_append_text(out, TEXT("&X-Amz-Security-Token="));
        buffer_append_text(out, buffer_text(&signer->encoded_token));
    }
    buffer_append_text(out, TEXT("&X-Amz-SignedHeaders="));
    sigv4_append_names(out, headers, TEXT("%3B"));
}

/* The path and the query stand in the URL just as they are signed. */
static bool make_canonical(struct sigv4_signer *signer, struct text method, struct text path, struct text query,
                           const struct sigv4_headers *headers) {
    struct buffer *out = &signer->canonical;
    buffer_clear(out);
    buffer_append_text(out, method);
    buffer_append(out, "\n", 1);
    buffer_append_text(out, path);
    buffer_append(out, "\n", 1);
    buffer_append_text(out, query);
    buffer_append(out, "\n", 1);
    for (size_t i = 0; i < headers->count; i++) {
        buffer_append_text(out, headers->header[i].name);
        buffer_append(out, ":", 1);
        sigv4_append_value(out, headers->header[i].value);
        buffer_append(out, "\n", 1);
    }
    buffer_append(out, "\n", 1);
    sigv4_append_names(out, headers, TEXT(";"));
    buffer_append_text(out, TEXT("\n" SIGV4_UNSIGNED_PAYLOAD));
    return buffer_ok(out);
}

bool sigv4_presign(struct sigv4_signer *signer, const struct sigv4_presign *presign, struct buffer *out) {
    char host[HOST_BYTES_MAX], signature[SIGV4_SIGNATURE_BYTES];
    struct sigv4_headers headers;
    struct text origin;
    headers.count = 0;
    if (presign->expires_s < 1 || presign->expires_s > SIGV4_EXPIRES_MAX_S || !parse_endpoint(presign->endpoint, &origin, host) ||
        !sigv4_set_now(signer, presign->now_us))
        return false;
    for (size_t i = 0; i < presign->header_count; i++)
        if (!sigv4_insert_header(&headers, presign->headers[i]))
            return false;
    if (!sigv4_insert_header(&headers, (struct sigv4_header){TEXT("host"), text_from(host)}))
        return false;
    buffer_append_text(out, origin);
    size_t path_at = out->size;
    sigv4_append_path(out, presign->bucket, presign->key);
    size_t query_at = out->size + 1;
    buffer_append(out, "?", 1);
    append_query(signer, presign->expires_s, &headers, out);
    if (!buffer_ok(out) || !make_canonical(signer, presign->method, (struct text){out->data + path_at, query_at - 1 - path_at},
                                           (struct text){out->data + query_at, out->size - query_at}, &headers))
        return false;
    sigv4_compute(signer, signer->date, signature);
    buffer_append_text(out, TEXT("&X-Amz-Signature="));
    buffer_append(out, signature, SIGV4_SIGNATURE_BYTES - 1);
    return buffer_ok(out);
}
