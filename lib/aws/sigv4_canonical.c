/* The canonical request: what two parties have to agree upon, byte by byte, before they compare signatures. */
#include "aws/sigv4_parts.h"

static const char upper_hex[] = "0123456789ABCDEF";

static bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           c == '~';
}

/* Room for the longest form first, so that each byte is a plain store. */
void sigv4_encode(struct buffer *out, struct text text, bool keep_slash) {
    char *place = buffer_reserve(out, 3 * text.size), *start = place;
    if (place == NULL)
        return;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_unreserved(c) || (c == '/' && keep_slash)) {
            *place++ = (char)c;
            continue;
        }
        *place++ = '%';
        *place++ = upper_hex[c >> 4];
        *place++ = upper_hex[c & 15];
    }
    buffer_claim(out, (size_t)(place - start));
}

/* The byte at the front of `encoded`, taken off. False at a malformed escape. */
static bool take_byte(struct text *encoded, char *ret_byte) {
    if (encoded->data[0] != '%') {
        *ret_byte = encoded->data[0];
        *encoded = (struct text){encoded->data + 1, encoded->size - 1};
        return true;
    }
    uint8_t byte;
    if (encoded->size < 3 || !hex_decode((struct text){encoded->data + 1, 2}, &byte, 1))
        return false;
    *ret_byte = (char)byte;
    *encoded = (struct text){encoded->data + 3, encoded->size - 3};
    return true;
}

bool sigv4_normalise(struct buffer *out, struct text encoded, bool keep_slash) {
    while (encoded.size > 0) {
        char byte;
        if (!take_byte(&encoded, &byte))
            return false;
        sigv4_encode(out, (struct text){&byte, 1}, keep_slash);
    }
    return buffer_ok(out);
}

bool sigv4_decode(struct text encoded, char *out, size_t out_size) {
    size_t size = 0;
    while (encoded.size > 0) {
        char byte;
        if (!take_byte(&encoded, &byte) || byte == '\0' || size + 1 >= out_size)
            return false;
        out[size++] = byte;
    }
    out[size] = '\0';
    return true;
}

bool sigv4_next(struct text *list, char separator, struct text *ret_part) {
    if (list->data == NULL)
        return false;
    const char *end = memchr(list->data, separator, list->size);
    if (end == NULL) {
        *ret_part = *list;
        *list = (struct text){0};
        return true;
    }
    size_t size = (size_t)(end - list->data);
    *ret_part = (struct text){list->data, size};
    *list = (struct text){end + 1, list->size - size - 1};
    return true;
}

int sigv4_compare(struct text a, struct text b) {
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

bool sigv4_insert_header(struct sigv4_headers *headers, struct sigv4_header header) {
    if (headers->count == SIGV4_HEADERS_MAX)
        return false;
    size_t at = headers->count++;
    for (; at > 0 && sigv4_compare(headers->header[at - 1].name, header.name) > 0; at--)
        headers->header[at] = headers->header[at - 1];
    headers->header[at] = header;
    return true;
}

void sigv4_append_names(struct buffer *out, const struct sigv4_headers *headers, struct text separator) {
    for (size_t i = 0; i < headers->count; i++) {
        if (i > 0 && text_equal(headers->header[i - 1].name, headers->header[i].name))
            continue;
        if (i > 0)
            buffer_append_text(out, separator);
        buffer_append_text(out, headers->header[i].name);
    }
}

static void insert_sorted(struct sigv4_query *query, struct sigv4_parameter parameter) {
    size_t at = query->count++;
    for (; at > 0; at--) {
        const struct sigv4_parameter *before = &query->parameter[at - 1];
        int order = sigv4_compare(before->name, parameter.name);
        if (order < 0 || (order == 0 && sigv4_compare(before->value, parameter.value) <= 0))
            break;
        query->parameter[at] = *before;
    }
    query->parameter[at] = parameter;
}

bool sigv4_parse_query(struct sigv4_signer *signer, struct text query, struct sigv4_query *ret_query) {
    struct text part, name;
    ret_query->count = 0;
    buffer_clear(&signer->query);
    if (query.size == 0)
        return true;
    /* The texts point into the buffer: it must not move, so the longest form is reserved at once. */
    if (query.size > signer->query.limit_bytes / 3 || buffer_reserve(&signer->query, 3 * query.size) == NULL)
        return false;
    while (sigv4_next(&query, '&', &part)) {
        struct sigv4_parameter parameter;
        if (part.size == 0)
            continue;
        if (ret_query->count == SIGV4_QUERY_MAX || !sigv4_next(&part, '=', &name))
            return false;
        struct text value = part.data != NULL ? part : TEXT("");
        size_t name_at = signer->query.size;
        if (!sigv4_normalise(&signer->query, name, false))
            return false;
        size_t value_at = signer->query.size;
        if (!sigv4_normalise(&signer->query, value, false))
            return false;
        parameter.name = (struct text){signer->query.data + name_at, value_at - name_at};
        parameter.value = (struct text){signer->query.data + value_at, signer->query.size - value_at};
        insert_sorted(ret_query, parameter);
    }
    return true;
}

struct text sigv4_find_parameter(const struct sigv4_query *query, struct text name, size_t *ret_count) {
    struct text value = {0};
    size_t count = 0;
    for (size_t i = 0; i < query->count; i++) {
        if (!text_equal(query->parameter[i].name, name))
            continue;
        value = query->parameter[i].value;
        count++;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return count == 1 ? value : (struct text){0};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Blanks around it go away, and each run of them within becomes one space. */
void sigv4_append_value(struct buffer *out, struct text value) {
    while (value.size > 0 && is_blank(value.data[value.size - 1]))
        value.size--;
    size_t at = 0;
    while (at < value.size && is_blank(value.data[at]))
        at++;
    while (at < value.size) {
        size_t start = at;
        while (at < value.size && !is_blank(value.data[at]))
            at++;
        buffer_append(out, value.data + start, at - start);
        if (at < value.size)
            buffer_append(out, " ", 1);
        while (at < value.size && is_blank(value.data[at]))
            at++;
    }
}

static bool append_header(struct buffer *out, const struct sigv4_request *request, struct text name) {
    bool found = false;
    buffer_append_text(out, name);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!text_equal_ignoring_case(request->headers[i].name, name))
            continue;
        buffer_append(out, found ? "," : ":", 1);
        sigv4_append_value(out, request->headers[i].value);
        found = true;
    }
    buffer_append(out, "\n", 1);
    return found;
}

bool sigv4_canonical(struct sigv4_signer *signer, const struct sigv4_request *request, const struct sigv4_query *query,
                     struct text names, struct text payload) {
    struct buffer *out = &signer->canonical;
    struct text list = names, name;
    bool first = true;
    buffer_clear(out);
    buffer_append_text(out, request->method);
    buffer_append(out, "\n", 1);
    if (!sigv4_normalise(out, request->path, true))
        return false;
    buffer_append(out, "\n", 1);
    for (size_t i = 0; i < query->count; i++) {
        if (text_equal(query->parameter[i].name, TEXT("X-Amz-Signature")))
            continue;
        if (!first)
            buffer_append(out, "&", 1);
        buffer_append_text(out, query->parameter[i].name);
        buffer_append(out, "=", 1);
        buffer_append_text(out, query->parameter[i].value);
        first = false;
    }
    buffer_append(out, "\n", 1);
    while (sigv4_next(&list, ';', &name))
        if (!append_header(out, request, name))
            return false;
    buffer_append(out, "\n", 1);
    buffer_append_text(out, names);
    buffer_append(out, "\n", 1);
    buffer_append_text(out, payload);
    return buffer_ok(out);
}
