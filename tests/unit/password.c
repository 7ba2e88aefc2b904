/*
 * Password hashes: those of other implementations verify, absurd ones are refused before they cost anything, what is old
 * is found to be old, and a wrong password takes the same time whoever it is for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "auth/password.h"
#include "base/clock.h"

#define PASSWORD TEXT("correct horse \xe2\x9c\x93")

/* By argon2-cffi 23.1 with the parameters of the older system. */
#define OLD_SALT_16 "$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU"
#define OLD_SALT_8 "$argon2id$v=19$m=4096,t=3,p=1$AQIDBAUGBwg$jZ/kxdck52wjxKi/pBXHwUtJDHunY2RrWm9kwnX3EAo"
/* Of "password". */
#define OTHER_19456 "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$PL01amPyeUuxG7H0vIr5X+qHkZvWnHmGBGXFYvh8z2E"
#define OTHER_LANES "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$F1jG2CV3/Nr+yRuIsPKw0J9r4s7cJHBU"
#define OTHER_ARGON2I "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$mJ2mVFjovhRArlVdCzyKw6ZYTg0ikLncyRWminHkHB4"

static const struct password_cost cheap = {64, 1, 1};
static const struct password_cost usual = {19456, 2, 1};

static void what_is_hashed_verifies(void **state) {
    char phc[PASSWORD_PHC_BYTES], again[PASSWORD_PHC_BYTES];
    (void)state;
    assert_true(password_hash(&cheap, PASSWORD, phc));
    assert_memory_equal(phc, "$argon2id$v=19$m=64,t=1,p=1$", 28);
    assert_int_equal(strlen(phc), 28 + 22 + 1 + 43);
    assert_int_equal(password_verify(text_from(phc), PASSWORD), PASSWORD_MATCHES);
    assert_int_equal(password_verify(text_from(phc), TEXT("correct horse")), PASSWORD_DIFFERS);
    assert_int_equal(password_verify(text_from(phc), TEXT("")), PASSWORD_DIFFERS);
    assert_true(password_hash(&cheap, PASSWORD, again));
    assert_string_not_equal(phc, again); /* the salts differ */
    assert_true(password_hash(&usual, PASSWORD, phc));
    assert_int_equal(password_verify(text_from(phc), PASSWORD), PASSWORD_MATCHES);
}

/* No byte of a password is lost: not behind a NUL, not at the end of the longest. */
static void all_of_a_password_counts(void **state) {
    char phc[PASSWORD_PHC_BYTES], longest[LIMIT_PASSWORD_BYTES];
    (void)state;
    assert_true(password_hash(&cheap, TEXT("a\0b"), phc));
    assert_int_equal(password_verify(text_from(phc), TEXT("a\0b")), PASSWORD_MATCHES);
    assert_int_equal(password_verify(text_from(phc), TEXT("a\0c")), PASSWORD_DIFFERS);
    assert_int_equal(password_verify(text_from(phc), TEXT("a")), PASSWORD_DIFFERS);
    memset(longest, 'x', sizeof longest);
    assert_true(password_hash(&cheap, (struct text){longest, sizeof longest}, phc));
    assert_int_equal(password_verify(text_from(phc), (struct text){longest, sizeof longest}), PASSWORD_MATCHES);
    longest[sizeof longest - 1] = 'y';
    assert_int_equal(password_verify(text_from(phc), (struct text){longest, sizeof longest}), PASSWORD_DIFFERS);
}

static void hashes_of_other_implementations_verify(void **state) {
    (void)state;
    assert_int_equal(password_verify(TEXT(OLD_SALT_16), PASSWORD), PASSWORD_MATCHES);
    assert_int_equal(password_verify(TEXT(OLD_SALT_8), PASSWORD), PASSWORD_MATCHES);
    assert_int_equal(password_verify(TEXT(OTHER_19456), TEXT("password")), PASSWORD_MATCHES);
    assert_int_equal(password_verify(TEXT(OTHER_LANES), TEXT("password")), PASSWORD_MATCHES);
    assert_int_equal(password_verify(TEXT(OLD_SALT_16), TEXT("correct horse")), PASSWORD_DIFFERS);
    assert_int_equal(password_verify(TEXT(OTHER_19456), TEXT("Password")), PASSWORD_DIFFERS);
}

#define TAIL "$c2FsdHNhbHRzYWx0c2FsdA$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU"

static const char *const unusable[] = {
    "",
    "$",
    "password",
    "$argon2id$",
    OTHER_ARGON2I,
    "$argon2d$v=19$m=4096,t=3,p=1" TAIL,
    "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
    "$argon2id$v=16$m=4096,t=3,p=1" TAIL,
    "$argon2id$m=4096,t=3,p=1" TAIL,
    "$argon2id$v=19$m=4194304,t=3,p=1" TAIL, /* 4 GiB */
    "$argon2id$v=19$m=1048577,t=1,p=1" TAIL,
    "$argon2id$v=19$m=4294967295,t=3,p=1" TAIL,
    "$argon2id$v=19$m=4294971392,t=3,p=1" TAIL, /* 4096 in 32 bits */
    "$argon2id$v=19$m=99999999999999999999,t=3,p=1" TAIL,
    "$argon2id$v=19$m=-4096,t=3,p=1" TAIL,
    "$argon2id$v=19$m=+4096,t=3,p=1" TAIL,
    "$argon2id$v=19$m= 4096,t=3,p=1" TAIL,
    "$argon2id$v=19$m=04096,t=3,p=1" TAIL,
    "$argon2id$v=19$m=7,t=3,p=1" TAIL,
    "$argon2id$v=19$m=0,t=3,p=1" TAIL,
    "$argon2id$v=19$m=,t=3,p=1" TAIL,
    "$argon2id$v=19$m=4096,t=0,p=1" TAIL,
    "$argon2id$v=19$m=4096,t=17,p=1" TAIL,
    "$argon2id$v=19$m=4096,t=4294967295,p=1" TAIL,
    "$argon2id$v=19$m=4096,t=3,p=0" TAIL,
    "$argon2id$v=19$m=4096,t=3,p=17" TAIL,
    "$argon2id$v=19$m=4096,t=3,p=16777215" TAIL,
    "$argon2id$v=19$m=64,t=3,p=16" TAIL, /* less than 8 KiB a lane */
    "$argon2id$v=19$t=3,m=4096,p=1" TAIL,
    "$argon2id$v=19$m=4096,t=3" TAIL,
    "$argon2id$v=19$m=4096,t=3,p=1,x=1" TAIL,
    "$argon2id$v=19$m=4096,t=3,p=1",
    "$argon2id$v=19$m=4096,t=3,p=1$",
    "$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA",
    "$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$",
    "$argon2id$v=19$m=4096,t=3,p=1$$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU",
    "$argon2id$v=19$m=4096,t=3,p=1$c2FsdA$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU",
    "$argon2id$v=19$m=4096,t=3,p=1$!!!!!!!!!!!$aJI+3msIsiZ7BQv+5B/6Bdvi7z0p+MKYY5XA3uGNPdU",
    "$argon2id$v=19$m=4096,t=3,p=1" TAIL "$",
    "$argon2id$v=19$m=4096,t=3,p=1" TAIL " ",
    " $argon2id$v=19$m=4096,t=3,p=1" TAIL,
};

static int64_t cpu_us(void) {
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * US_PER_S + time.tv_nsec / 1000;
}

/* All of them together take less than one hash: nothing was filled. */
static void unusable_hashes_cost_nothing(void **state) {
    int64_t began_us = cpu_us();
    char long_phc[1000];
    (void)state;
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++)
        if (password_verify(text_from(unusable[i]), PASSWORD) != PASSWORD_UNUSABLE)
            fail_msg("not unusable: %s", unusable[i]);
    assert_int_equal(password_verify((struct text){0}, PASSWORD), PASSWORD_UNUSABLE);
    assert_int_equal(password_verify(TEXT(OLD_SALT_16 "\0"), PASSWORD), PASSWORD_UNUSABLE);
    memset(long_phc, 'A', sizeof long_phc);
    memcpy(long_phc, OLD_SALT_16, sizeof OLD_SALT_16 - 1);
    assert_int_equal(password_verify((struct text){long_phc, sizeof long_phc}, PASSWORD), PASSWORD_UNUSABLE);
    assert_in_range(cpu_us() - began_us, 0, 100 * US_PER_MS);
}

static void costs_have_limits(void **state) {
    static const struct password_cost good[] = {{8, 1, 1}, {1048576, 16, 1}, {128, 1, 16}, {19456, 2, 1}};
    static const struct password_cost bad[] = {{7, 1, 1},     {1048577, 1, 1}, {64, 0, 1},         {64, 17, 1},        {64, 1, 0},
                                               {4096, 1, 17}, {127, 1, 16},    {UINT32_MAX, 1, 1}, {64, 1, UINT32_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(password_cost_valid(&good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(password_cost_valid(&bad[i]));
}

static void costs_are_read_back(void **state) {
    struct password_cost cost = {0};
    char phc[PASSWORD_PHC_BYTES];
    (void)state;
    assert_true(password_cost_of(TEXT(OTHER_LANES), &cost));
    assert_int_equal(cost.memory_kib, 65536);
    assert_int_equal(cost.passes, 2);
    assert_int_equal(cost.lanes, 4);
    assert_false(password_cost_of(TEXT(OTHER_ARGON2I), &cost));
    assert_int_equal(cost.memory_kib, 65536);

    assert_true(password_hash(&cheap, PASSWORD, phc));
    assert_false(password_needs_rehash(text_from(phc), &cheap));
    assert_true(password_needs_rehash(text_from(phc), &(struct password_cost){65, 1, 1}));
    assert_true(password_needs_rehash(text_from(phc), &(struct password_cost){64, 2, 1}));
    assert_true(password_needs_rehash(text_from(phc), &usual));
    assert_true(password_needs_rehash(TEXT(OLD_SALT_16), &usual));
    assert_false(password_needs_rehash(TEXT(OLD_SALT_16), &(struct password_cost){4096, 3, 1}));
    assert_true(password_needs_rehash(TEXT(OLD_SALT_8), &(struct password_cost){4096, 3, 1})); /* a shorter salt */
    assert_false(password_needs_rehash(TEXT("nonsense"), &usual));
}

#define KINDS 4
#define ROUNDS 15

static int compare_times(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/*
 * A wrong password for: an account of today, one of the older system, one that is unusable, and nobody. The kinds take
 * turns, CPU time is counted and medians are compared, so that a busy machine does not decide. A check that is skipped
 * would be a hundred times faster, one that is not padded three times.
 */
static void wrong_passwords_take_the_same_time(void **state) {
    static int64_t times_us[KINDS][ROUNDS];
    char today[PASSWORD_PHC_BYTES];
    (void)state;
    assert_true(password_hash(&usual, PASSWORD, today));
    const struct text stored[KINDS] = {text_from(today), TEXT(OLD_SALT_16), TEXT("$argon2id$v=19$m=4194304,t=3,p=1" TAIL), {0}};
    static const enum password_verdict expected[KINDS] = {PASSWORD_DIFFERS, PASSWORD_DIFFERS, PASSWORD_UNUSABLE,
                                                          PASSWORD_UNUSABLE};
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            int64_t began_us = cpu_us();
            assert_int_equal(password_verify_evenly(stored[kind], TEXT("wrong"), &usual), expected[kind]);
            times_us[kind][round] = cpu_us() - began_us;
        }
    for (size_t kind = 0; kind < KINDS; kind++)
        qsort(times_us[kind], ROUNDS, sizeof(int64_t), compare_times);
    for (size_t kind = 0; kind < KINDS; kind++) {
        double ratio = (double)times_us[kind][ROUNDS / 2] / (double)times_us[0][ROUNDS / 2];
        print_message("kind %zu: median %jd us, ratio %.3f\n", kind, (intmax_t)times_us[kind][ROUNDS / 2], ratio);
        assert_true(ratio > 0.75 && ratio < 1.33);
    }
}

static void the_right_password_matches_evenly_too(void **state) {
    char phc[PASSWORD_PHC_BYTES];
    (void)state;
    assert_true(password_hash(&cheap, PASSWORD, phc));
    assert_int_equal(password_verify_evenly(text_from(phc), PASSWORD, &usual), PASSWORD_MATCHES);
    assert_int_equal(password_verify_evenly(TEXT(OLD_SALT_16), PASSWORD, &cheap), PASSWORD_MATCHES);
    assert_int_equal(password_verify_evenly(TEXT(OLD_SALT_16), TEXT("wrong"), &cheap), PASSWORD_DIFFERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hashed_verifies),
        cmocka_unit_test(all_of_a_password_counts),
        cmocka_unit_test(hashes_of_other_implementations_verify),
        cmocka_unit_test(unusable_hashes_cost_nothing),
        cmocka_unit_test(costs_have_limits),
        cmocka_unit_test(costs_are_read_back),
        cmocka_unit_test(wrong_passwords_take_the_same_time),
        cmocka_unit_test(the_right_password_matches_evenly_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
