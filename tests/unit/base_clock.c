/* Times as the HTTP API prints and reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

static void parses_to(const char *text, int64_t expected_us) {
    int64_t time_us = -1;
    if (!rfc3339_parse(text_from(text), &time_us))
        fail_msg("refused: %s", text);
    if (time_us != expected_us)
        fail_msg("%s is %jd, not %jd", text, (intmax_t)time_us, (intmax_t)expected_us);
}

static void times_are_read(void **state) {
    const int64_t base_us = INT64_C(1767323045) * US_PER_S; /* 2026-01-02T03:04:05Z */
    (void)state;
    parses_to("1970-01-01T00:00:00Z", 0);
    parses_to("1970-01-01T00:00:00.000001Z", 1);
    parses_to("1969-12-31T23:59:59.999999Z", -1);
    parses_to("2026-01-02T03:04:05Z", base_us);
    parses_to("2026-01-02t03:04:05z", base_us);
    parses_to("2026-01-02 03:04:05Z", base_us);
    parses_to("2026-01-02T03:04:05.6Z", base_us + 600000);
    parses_to("2026-01-02T03:04:05.678901Z", base_us + 678901);
    parses_to("2026-01-02T03:04:05.678901999Z", base_us + 678901); /* cut, not rounded */
    parses_to("2026-01-02T05:34:05+02:30", base_us);
    parses_to("2026-01-01T22:04:05-05:00", base_us);
    parses_to("2026-01-02T03:04:05-00:00", base_us);
    parses_to("2016-12-31T23:59:60Z", INT64_C(1483228800) * US_PER_S); /* a leap second: the one that follows */
    parses_to("2024-02-29T00:00:00Z", INT64_C(1709164800) * US_PER_S);
    parses_to("2000-02-29T00:00:00Z", INT64_C(951782400) * US_PER_S);
    parses_to("0000-01-01T00:00:00Z", INT64_C(-62167219200) * US_PER_S);
    parses_to("9999-12-31T23:59:59.999999Z", INT64_C(253402300799) * US_PER_S + 999999);
}

static void malformed_times_are_refused(void **state) {
    static const char *const bad[] = {"",
                                      "now",
                                      "2026",
                                      "2026-01-02",
                                      "2026-01-02T03:04:05",
                                      "2026-01-02T03:04Z",
                                      "2026-1-2T03:04:05Z",
                                      "26-01-02T03:04:05Z",
                                      "2026-00-02T03:04:05Z",
                                      "2026-13-02T03:04:05Z",
                                      "2026-01-00T03:04:05Z",
                                      "2026-01-32T03:04:05Z",
                                      "2026-04-31T03:04:05Z",
                                      "2026-02-29T03:04:05Z",
                                      "2100-02-29T03:04:05Z",
                                      "2026-01-02T24:00:00Z",
                                      "2026-01-02T03:60:05Z",
                                      "2026-01-02T03:04:61Z",
                                      "2026-01-02T03:04:05.Z",
                                      "2026-01-02T03:04:05.1234567890Z",
                                      "2026-01-02T03:04:05,5Z",
                                      "2026-01-02T03:04:05 00:00",
                                      "2026-01-02T03:04:05+24:00",
                                      "2026-01-02T03:04:05+00:60",
                                      "2026-01-02T03:04:05+0000",
                                      "2026-01-02T03:04:05+00",
                                      "2026-01-02T03:04:05ZZ",
                                      "2026-01-02T03:04:05Z ",
                                      " 2026-01-02T03:04:05Z",
                                      "-026-01-02T03:04:05Z",
                                      "+026-01-02T03:04:05Z",
                                      "2026-01-02T03:04:05Z\n",
                                      "2026/01/02T03:04:05Z",
                                      "2026-01-02X03:04:05Z",
                                      "2026-01-02T-3:04:05Z",
                                      "20260-01-02T03:04:05Z"};
    int64_t time_us = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (rfc3339_parse(text_from(bad[i]), &time_us))
            fail_msg("taken: %s", bad[i]);
    assert_false(rfc3339_parse(TEXT("2026-01-02T03:04:05\0"), &time_us));
    assert_false(rfc3339_parse((struct text){0}, &time_us));
    assert_int_equal(time_us, 7); /* untouched */
}

/* What is printed is read as the same time, over all years and to the microsecond. */
static void times_go_both_ways(void **state) {
    const int64_t first_us = INT64_C(-62167219200) * US_PER_S, last_us = INT64_C(253402300799) * US_PER_S + 999999;
    char out[RFC3339_BYTES];
    int64_t time_us;
    (void)state;
    for (int64_t t = first_us; t <= last_us; t += INT64_C(86399) * US_PER_S * 97 + 123457) {
        rfc3339_format(t, out);
        assert_int_equal(strlen(out), RFC3339_BYTES - 1);
        assert_true(rfc3339_parse(text_from(out), &time_us));
        if (time_us != t)
            fail_msg("%s", out);
    }
    rfc3339_format(INT64_C(1767323045678901), out);
    assert_string_equal(out, "2026-01-02T03:04:05.678901Z");
    rfc3339_format(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999999Z");
    rfc3339_format(INT64_MIN, out);
    assert_string_equal(out, "0000-01-01T00:00:00.000000Z");
    rfc3339_format(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
}

static void clocks_run(void **state) {
    int64_t before_us = clock_monotonic_us();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now_us = clock_monotonic_us();
        assert_true(now_us >= before_us);
        before_us = now_us;
    }
    assert_true(clock_real_us() > INT64_C(1767225600) * US_PER_S); /* 2026 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(malformed_times_are_refused),
        cmocka_unit_test(times_go_both_ways),
        cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
