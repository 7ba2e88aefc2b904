/* What counts as an email address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "actors/users/email.h"

#define LETTERS_16 "abcdefghijklmnop"
#define LETTERS_64 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16
#define LABEL_63 "abcdefghijklmno" LETTERS_16 LETTERS_16 LETTERS_16

static void good_ones_are_taken(void **state) {
    static const char *const emails[] = {
        "a@b",
        "ann@example.org",
        "Ann.Example+feed@Mail.Example.ORG",
        "o'neil_{x}!#$%&*=?^`|~/@example.org",
        "root@localhost",
        "x@1.2.3.4",
        "x@xn--bcher-kva.example",
        "x@a-b.c--d.example",
        "j\xc3\xb6rg@b\xc3\xbc"
        "cher.example",
        "\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b\xe5\xad\x90.\xe5\xb9\xbf\xe5\x91\x8a",
        "\xf0\x9f\x90\x88@example.org",
        LETTERS_64 "@example.org",
        "a@" LABEL_63 "." LABEL_63 "." LABEL_63,
        "a@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LETTERS_16 LETTERS_16 LETTERS_16 "abcdefghijkl", /* 254 bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof emails / sizeof *emails; i++)
        if (!email_valid(text_from(emails[i])))
            fail_msg("refused: %s", emails[i]);
    assert_int_equal(strlen(emails[sizeof emails / sizeof *emails - 1]), LIMIT_EMAIL_BYTES);
}

static void bad_ones_are_refused(void **state) {
    static const char *const emails[] = {
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@@b",
        "a@b@c",
        "\"a@b\"@c",
        "ann",
        "ann.example.org",
        " ann@example.org",
        "ann@example.org ",
        "ann @example.org",
        "ann@ example.org",
        "ann@exam ple.org",
        "ann\t@example.org",
        "ann@example.org\n",
        "ann@example.org\r\nBcc: x@y",
        "ann\x01@example.org",
        "ann\x7f@example.org",
        "ann\xc2\x85@example.org",     /* a C1 control */
        "ann\xc2\xa0@example.org",     /* no-break space */
        "ann\xe2\x80\x8b@example.org", /* zero width space */
        "ann@example.org\xe2\x80\xae", /* right-to-left override */
        "ann@\xe3\x80\x80.org",        /* ideographic space */
        "\xef\xbb\xbf"
        "ann@example.org", /* byte order mark */
        "ann@.org",
        "ann@example..org",
        "ann@example.org.",
        "ann@.",
        "ann@-example.org",
        "ann@example-.org",
        "ann@example.org-",
        "ann@exa_mple.org",
        "ann@[127.0.0.1]",
        "ann@example.org>",
        "ann@example.org,bob@example.org",
        "ann@example.org/x",
        "ann\xff@example.org",                                                                        /* not UTF-8 */
        "ann@example\xc3.org",                                                                        /* cut */
        "ann@ex\xed\xa0\x80mple.org",                                                                 /* a surrogate */
        "a" LETTERS_64 "@example.org",                                                                /* local part of 65 bytes */
        "a@a" LABEL_63 ".org",                                                                        /* label of 64 bytes */
        "a@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LETTERS_16 LETTERS_16 LETTERS_16 "abcdefghijklm", /* 255 bytes */
    };
    static const char with_nul[] = "ann\0@example.org";
    (void)state;
    for (size_t i = 0; i < sizeof emails / sizeof *emails; i++)
        if (email_valid(text_from(emails[i])))
            fail_msg("taken: %s", emails[i]);
    assert_false(email_valid((struct text){with_nul, sizeof with_nul - 1}));
    assert_false(email_valid((struct text){0}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_taken),
        cmocka_unit_test(bad_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
