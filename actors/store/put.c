#include "actors/store/put.h"

static bool is(struct text name, struct text expected) {
    return text_equal_ignoring_case(name, expected);
}

static bool has_prefix(struct text name, struct text prefix) {
    return name.size >= prefix.size && is((struct text){name.data, prefix.size}, prefix);
}

/* Base64 with padding (RFC 4648, section 4) of exactly `size` bytes. */
static bool decode_base64(struct text encoded, uint8_t *ret_bytes, size_t size) {
    char url[64];
    size_t decoded, digits = 0;
    if (encoded.size != 4 * ((size + 2) / 3) || encoded.size > sizeof url)
        return false;
    while (digits < encoded.size && encoded.data[digits] != '=') {
        char c = encoded.data[digits];
        if (c == '-' || c == '_')
            return false;
        url[digits++] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    for (size_t i = digits; i < encoded.size; i++)
        if (encoded.data[i] != '=')
            return false;
    return base64url_decode((struct text){url, digits}, ret_bytes, size, &decoded) && decoded == size;
}

static bool is_kept(struct text name) {
    static const struct text kept[] = {
        {"content-type", 12},     {"cache-control", 13},    {"content-disposition", 19},
        {"content-encoding", 16}, {"content-language", 16}, {"expires", 7},
    };
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (is(name, kept[i]))
            return true;
    return has_prefix(name, TEXT("x-amz-meta-"));
}

enum s3_error put_headers(const struct sigv4_request *wire, struct object *object) {
    size_t bytes = 0;
    object->header_count = 0;
    for (size_t i = 0; i < wire->header_count; i++) {
        const struct sigv4_header *header = &wire->headers[i];
        if (!is_kept(header->name))
            continue;
        bytes += header->name.size + header->value.size;
        if (object->header_count == OBJECT_HEADERS_MAX || bytes > OBJECT_HEADERS_BYTES_MAX)
            return S3_MetadataTooLarge;
        object->headers[object->header_count++] = (struct object_header){header->name, header->value};
    }
    return S3_OK;
}

static enum s3_error parse_header(struct text name, struct text value, struct put *put) {
    struct upload_promise *promise = &put->promise;
    uint8_t crc32[4] = {0};
    if (is(name, TEXT("if-none-match"))) {
        put->only_if_absent = text_equal(value, TEXT("*"));
        return put->only_if_absent ? S3_OK : S3_NotImplemented;
    }
    if (is(name, TEXT("if-match")) || is(name, TEXT("x-amz-copy-source")) || is(name, TEXT("x-amz-tagging")) ||
        has_prefix(name, TEXT("x-amz-server-side-encryption-customer-")))
        return S3_NotImplemented;
    if (is(name, TEXT("content-encoding")) && memmem(value.data, value.size, "aws-chunked", 11) != NULL)
        return S3_NotImplemented;
    if (is(name, TEXT("content-md5"))) {
        promise->has_md5 = decode_base64(value, promise->md5, MD5_BYTES);
        return promise->has_md5 ? S3_OK : S3_InvalidDigest;
    }
    if (is(name, TEXT("x-amz-checksum-sha256"))) {
        promise->has_checksum_sha256 = decode_base64(value, promise->checksum_sha256, SHA256_BYTES);
        return promise->has_checksum_sha256 ? S3_OK : S3_InvalidDigest;
    }
    if (is(name, TEXT("x-amz-checksum-crc32"))) {
        promise->has_checksum_crc32 = decode_base64(value, crc32, sizeof crc32);
        promise->checksum_crc32 = (uint32_t)crc32[0] << 24 | (uint32_t)crc32[1] << 16 | (uint32_t)crc32[2] << 8 | crc32[3];
        return promise->has_checksum_crc32 ? S3_OK : S3_InvalidDigest;
    }
    return S3_OK;
}

enum s3_error put_parse(const struct sigv4_request *wire, const struct authorization *authorization, struct text key,
                        uint64_t body_bytes, struct put *ret_put) {
    memset(ret_put, 0, offsetof(struct put, object.text));
    ret_put->object.key = key;
    ret_put->promise.size_bytes = body_bytes;
    ret_put->promise.has_sha256 = authorization->has_payload_sha256;
    memcpy(ret_put->promise.sha256, authorization->payload_sha256, SHA256_BYTES);
    for (size_t i = 0; i < wire->header_count; i++) {
        enum s3_error error = parse_header(wire->headers[i].name, wire->headers[i].value, ret_put);
        if (error != S3_OK)
            return error;
    }
    return put_headers(wire, &ret_put->object);
}
