/* The heap of timers, against a plain list that is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timers.h"

#define COUNT 300
#define STEPS 20000

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525 + 1013904223; /* the same in every run */
    return *seed >> 8;
}

/* The earliest of those that are set; INT64_MAX if none is. */
static int64_t earliest(const struct timer *all) {
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < COUNT; i++)
        if (timer_is_set(&all[i]) && all[i].due_us < due_us)
            due_us = all[i].due_us;
    return due_us;
}

static void the_earliest_is_always_first(void **state) {
    static struct timer all[COUNT];
    struct timers timers = {0};
    uint32_t seed = 1;
    size_t taken = 0;
    (void)state;
    assert_true(timers_due_us(&timers) == INT64_MAX);
    assert_null(timers_take_due(&timers, INT64_MAX));
    for (int step = 0; step < STEPS; step++) {
        struct timer *timer = &all[next_random(&seed) % COUNT];
        int64_t now_us = next_random(&seed) % 1000;
        switch (next_random(&seed) % 4) {
        case 0:
        case 1: timers_set(&timers, timer, now_us); break; /* or moved */
        case 2: timers_clear(&timers, timer); break;       /* or not set at all */
        default: {
            int64_t due_us = earliest(all);
            struct timer *due = timers_take_due(&timers, now_us);
            assert_int_equal(due != NULL, due_us <= now_us);
            if (due != NULL) {
                assert_int_equal(due->due_us, due_us);
                assert_false(timer_is_set(due));
                taken++;
            }
        }
        }
        assert_true(timers_due_us(&timers) == earliest(all));
    }
    assert_true(taken > STEPS / 20);
    for (int64_t last_us = -1; timers.count > 0;) { /* the rest comes in order */
        struct timer *due = timers_take_due(&timers, INT64_MAX);
        assert_true(due->due_us >= last_us);
        last_us = due->due_us;
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_false(timer_is_set(&all[i]));
    timers_free(&timers);
    timers_free(&timers);
}

static void a_timer_is_due_at_its_time(void **state) {
    struct timers timers = {0};
    struct timer timer = {0};
    (void)state;
    timers_set(&timers, &timer, 100);
    assert_null(timers_take_due(&timers, 99));
    assert_ptr_equal(timers_take_due(&timers, 100), &timer);
    assert_null(timers_take_due(&timers, 100)); /* once */
    timers_free(&timers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_is_always_first),
        cmocka_unit_test(a_timer_is_due_at_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
