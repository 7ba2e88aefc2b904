#include "actors/store/percent.h"

static bool stays(enum percent_form form, char c) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')
        return true;
    switch (form) {
    case PERCENT_PATH: return c == '~' || c == '/';
    case PERCENT_NAME: return false;
    case PERCENT_FORM: return c == '*' || c == '/';
    }
    return false;
}

void percent_encode(enum percent_form form, struct text bytes, struct buffer *out) {
    static const char digits[] = "0123456789ABCDEF";
    char *at = buffer_reserve(out, 3 * bytes.size);
    size_t size = 0;
    if (at == NULL)
        return;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        if (stays(form, (char)byte)) {
            at[size++] = (char)byte;
        } else if (form == PERCENT_FORM && byte == ' ') {
            at[size++] = '+';
        } else {
            at[size++] = '%';
            at[size++] = digits[byte >> 4];
            at[size++] = digits[byte & 15];
        }
    }
    buffer_claim(out, size);
}

bool percent_decode(struct text encoded, bool plus_is_blank, char *out, size_t capacity, size_t *ret_size) {
    size_t size = 0;
    for (size_t i = 0; i < encoded.size; i++) {
        uint8_t byte = (uint8_t)encoded.data[i];
        if (byte == '%') {
            if (encoded.size - i < 3 || !hex_decode((struct text){encoded.data + i + 1, 2}, &byte, 1))
                return false;
            i += 2;
        } else if (byte == '+' && plus_is_blank) {
            byte = ' ';
        }
        if (size == capacity)
            return false;
        out[size++] = (char)byte;
    }
    *ret_size = size;
    return true;
}
