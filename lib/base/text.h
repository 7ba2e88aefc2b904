/*
 * text.h: a borrowed run of bytes with a length. It is not NUL-terminated and dies with the memory it points into.
 * A text whose data is NULL is absent, which differs from an empty one.
 */
#ifndef PIXBUS_TEXT_H
#define PIXBUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *data;
    size_t size;
};

#define TEXT(literal) ((struct text){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define TEXT_ARGUMENTS(text) (int)(text).size, ((text).data != NULL ? (text).data : "")

static inline struct text text_from(const char *string) {
    return (struct text){string, string != NULL ? strlen(string) : 0};
}

static inline bool text_equal(struct text a, struct text b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Compare without regard to ASCII case. */
bool text_equal_ignoring_case(struct text a, struct text b);

/* Does `text` begin with `prefix`? */
bool text_starts_with(struct text text, struct text prefix);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL? */
bool text_is_utf8(struct text text);

/* Copy into `out` of `out_size` bytes with a NUL. False if it does not fit or holds a NUL; `out` is then "". */
[[gnu::warn_unused_result]] bool text_copy(struct text text, char *out, size_t out_size);

/* Parse a decimal number without sign, blanks or leading plus. False on anything else or on overflow. */
[[gnu::warn_unused_result]] bool text_to_u64(struct text text, uint64_t *ret_value);

/* Lower-case hexadecimal: 2 characters a byte and a NUL; `out` holds 2 * size + 1. */
void hex_encode(const uint8_t *bytes, size_t size, char *out);

/* Exactly 2 * size hexadecimal digits of either case. */
[[gnu::warn_unused_result]] bool hex_decode(struct text hex, uint8_t *ret_bytes, size_t size);

/* base64url without padding (RFC 4648, section 5). `out` holds 4 * ((size + 2) / 3) + 1 bytes. Returns the length. */
size_t base64url_encode(const uint8_t *bytes, size_t size, char *out);

/*
 * Decode canonical base64url without padding: other alphabets, padding and non-zero trailing bits are refused.
 * False if malformed or longer than `capacity`.
 */
[[gnu::warn_unused_result]] bool base64url_decode(struct text encoded, uint8_t *ret_bytes, size_t capacity, size_t *ret_size);

#endif
