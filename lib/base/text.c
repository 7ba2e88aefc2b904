#include "base/text.h"

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_equal_ignoring_case(struct text a, struct text b) {
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

bool text_starts_with(struct text text, struct text prefix) {
    return text.size >= prefix.size && text_equal((struct text){text.data, prefix.size}, prefix);
}

/* The length of the well-formed sequence at `s`, or 0 (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *s, size_t left) {
    unsigned char first = s[0], low = 0x80, high = 0xbf;
    size_t size;
    if (first < 0x80)
        return first != 0;
    if (first >= 0xc2 && first <= 0xdf) {
        size = 2;
    } else if ((first & 0xf0) == 0xe0) {
        size = 3;
        if (first == 0xe0)
            low = 0xa0;
        if (first == 0xed)
            high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
        size = 4;
        if (first == 0xf0)
            low = 0x90;
        if (first == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (left < size || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

bool text_is_utf8(struct text text) {
    const unsigned char *s = (const unsigned char *)text.data;
    for (size_t at = 0; at < text.size;) {
        uint64_t word;
        if (text.size - at >= sizeof word) { /* eight ASCII characters, none of them NUL, at once */
            memcpy(&word, s + at, sizeof word);
            if (((word | (word - 0x0101010101010101)) & 0x8080808080808080) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t size = utf8_sequence(s + at, text.size - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

bool text_copy(struct text text, char *out, size_t out_size) {
    out[0] = '\0';
    if (text.size >= out_size || (text.size > 0 && memchr(text.data, '\0', text.size) != NULL))
        return false;
    if (text.size > 0)
        memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return true;
}

bool text_to_u64(struct text text, uint64_t *ret_value) {
    uint64_t value = 0;
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

void hex_encode(const uint8_t *bytes, size_t size, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct text hex, uint8_t *ret_bytes, size_t size) {
    if (hex.size != 2 * size)
        return false;
    for (size_t i = 0; i < hex.size; i++)
        if (hex_value(hex.data[i]) < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_value(hex.data[2 * i]) << 4 | hex_value(hex.data[2 * i + 1]));
    return true;
}

size_t base64url_encode(const uint8_t *bytes, size_t size, char *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t length = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        size_t characters = left > 2 ? 4 : left + 1;
        for (size_t k = 0; k < characters; k++)
            out[length++] = alphabet[group >> (18 - 6 * k) & 63];
    }
    out[length] = '\0';
    return length;
}

static int base64url_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct text encoded, uint8_t *ret_bytes, size_t capacity, size_t *ret_size) {
    size_t size = encoded.size / 4 * 3 + (encoded.size % 4 > 1 ? encoded.size % 4 - 1 : 0), out = 0;
    uint32_t group = 0;
    unsigned bits = 0;
    if (encoded.size % 4 == 1 || size > capacity)
        return false;
    for (size_t i = 0; i < encoded.size; i++) {
        int value = base64url_value(encoded.data[i]);
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ret_bytes[out++] = (uint8_t)(group >> bits);
        }
    }
    if ((group & ((1u << bits) - 1)) != 0)
        return false;
    *ret_size = out;
    return true;
}
