/* Text: comparison, UTF-8, numbers, hexadecimal and base64url. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"

static void texts_are_compared(void **state) {
    (void)state;
    assert_true(text_equal(TEXT("abc"), TEXT("abc")));
    assert_true(text_equal(TEXT("a\0c"), TEXT("a\0c")));
    assert_false(text_equal(TEXT("a\0c"), TEXT("a\0d")));
    assert_false(text_equal(TEXT("abc"), TEXT("ab")));
    assert_true(text_equal(TEXT(""), (struct text){0}));
    assert_true(text_equal_ignoring_case(TEXT("aZ09\xc3\x84"), TEXT("Az09\xc3\x84")));
    assert_false(text_equal_ignoring_case(TEXT("a"), TEXT("ab")));
    assert_false(text_equal_ignoring_case(TEXT("@["), TEXT("`{"))); /* 32 apart, and no letters */
    assert_false(text_equal_ignoring_case(TEXT("\xc3\x84"), TEXT("\xc3\xa4")));
    assert_true(text_starts_with(TEXT("abc"), TEXT("ab")));
    assert_true(text_starts_with(TEXT("abc"), TEXT("")));
    assert_true(text_starts_with(TEXT("abc"), TEXT("abc")));
    assert_false(text_starts_with(TEXT("abc"), TEXT("abcd")));
    assert_false(text_starts_with(TEXT("abc"), TEXT("b")));
    assert_null(text_from(NULL).data);
    assert_int_equal(text_from("abc").size, 3);
}

/* Every code point in its shortest form is well-formed, but for NUL and the surrogates; nothing longer is. */
static void utf8_is_judged(void **state) {
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x90",
                                      "\xc3\x28",
                                      "\xe2\x28\xa1",
                                      "\xe2\x82\x28",
                                      "\xf0\x28\x8c\xbc",
                                      "\xf0\x90\x28\xbc",
                                      "\xf0\x90\x8c\x28",
                                      "a\xcc",
                                      "\xf8\x88\x80\x80\x80"};
    (void)state;
    for (uint32_t point = 1; point <= 0x10ffff; point++) {
        unsigned char s[4];
        size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (size_t i = size; i-- > 1;)
            s[i] = (unsigned char)(0x80 | (point >> (6 * (size - 1 - i)) & 0x3f));
        s[0] = (unsigned char)(lead[size] | point >> (6 * (size - 1)));
        if (text_is_utf8((struct text){(const char *)s, size}) == (point >= 0xd800 && point <= 0xdfff))
            fail_msg("wrong about U+%04X", point);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (text_is_utf8(text_from(bad[i])))
            fail_msg("number %zu is taken", i);
    assert_false(text_is_utf8(TEXT("\0")));
    assert_false(text_is_utf8(TEXT("a\0b")));
    assert_true(text_is_utf8(TEXT("")));
    assert_true(text_is_utf8((struct text){0}));
}

static void texts_are_copied(void **state) {
    char out[4] = "xyz";
    (void)state;
    assert_true(text_copy(TEXT("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_false(text_copy(TEXT("abcd"), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(text_copy(TEXT("a\0b"), out, sizeof out));
    assert_string_equal(out, "");
    assert_true(text_copy((struct text){0}, out, sizeof out));
    assert_string_equal(out, "");
}

static void numbers_are_strict(void **state) {
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "18446744073709551616", "99999999999999999999999", "a"};
    uint64_t value = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (text_to_u64(text_from(bad[i]), &value))
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(value, 7); /* untouched */
    assert_true(text_to_u64(TEXT("0"), &value));
    assert_int_equal(value, 0);
    assert_true(text_to_u64(TEXT("007"), &value));
    assert_int_equal(value, 7);
    assert_true(text_to_u64(TEXT("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
}

static void hexadecimal_goes_both_ways(void **state) {
    static const uint8_t bytes[] = {0x00, 0x0f, 0xf0, 0xab, 0xff};
    uint8_t decoded[sizeof bytes] = {0};
    char out[2 * sizeof bytes + 1];
    (void)state;
    hex_encode(bytes, sizeof bytes, out);
    assert_string_equal(out, "000ff0abff");
    assert_true(hex_decode(TEXT("000FF0aBff"), decoded, sizeof decoded));
    assert_memory_equal(decoded, bytes, sizeof bytes);
    memset(decoded, 1, sizeof decoded);
    assert_false(hex_decode(TEXT("000ff0abf"), decoded, sizeof decoded));
    assert_false(hex_decode(TEXT("000ff0abff0"), decoded, sizeof decoded));
    assert_false(hex_decode(TEXT("000ff0abfg"), decoded, sizeof decoded));
    assert_int_equal(decoded[0], 1); /* untouched */
}

/* RFC 4648, section 10, and every length of every byte. */
static void base64url_goes_both_ways(void **state) {
    static const char *const rows[][2] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
    uint8_t bytes[256], decoded[256];
    char encoded[4 * 86 + 1];
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(base64url_encode((const uint8_t *)rows[i][0], strlen(rows[i][0]), encoded), strlen(rows[i][1]));
        assert_string_equal(encoded, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        size_t characters = base64url_encode(bytes, length, encoded);
        assert_int_equal(characters, (length * 4 + 2) / 3);
        assert_true(base64url_decode((struct text){encoded, characters}, decoded, length, &size));
        assert_int_equal(size, length);
        assert_memory_equal(decoded, bytes, length);
        if (length > 0)
            assert_false(base64url_decode((struct text){encoded, characters}, decoded, length - 1, &size));
    }
}

static void base64url_has_one_spelling(void **state) {
    static const char *const bad[] = {"Z",    "Zg=",  "Zg==",   "Zh",    "Zm9", "Zm9vY", "Zm+v",
                                      "Zm/v", "Zm v", "Zm9v\n", "Zm9v=", "=",   "Zm.v"};
    uint8_t decoded[16];
    size_t size = 99;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (base64url_decode(text_from(bad[i]), decoded, sizeof decoded, &size))
            fail_msg("taken: %s", bad[i]);
    assert_false(base64url_decode(TEXT("Zm\0v"), decoded, sizeof decoded, &size));
    assert_int_equal(size, 99); /* untouched */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_compared),         cmocka_unit_test(utf8_is_judged),
        cmocka_unit_test(texts_are_copied),           cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(hexadecimal_goes_both_ways), cmocka_unit_test(base64url_goes_both_ways),
        cmocka_unit_test(base64url_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
