/* The arena and the buffer: contents, limits, and what happens at them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"

static void arena_memory_is_zeroed_aligned_and_apart(void **state) {
    struct arena arena;
    unsigned char *blocks[200];
    (void)state;
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            blocks[i] = arena_alloc(&arena, i);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < i; k++)
                assert_int_equal(blocks[i][k], 0); /* also where an earlier round wrote */
            memset(blocks[i], (int)i, i);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < i; k++)
                assert_int_equal(blocks[i][k], i);
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    arena_free(&arena);
    arena_free(&arena);
    arena_free(NULL);
    arena_free(&(struct arena){0});
    arena_reset(&(struct arena){0});
}

static void arena_keeps_its_limit(void **state) {
    struct arena arena;
    (void)state;
    arena_init(&arena, 10000);
    assert_null(arena_alloc(&arena, 10001));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
    assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_array(&arena, 101, 100));
    assert_non_null(arena_array(&arena, 50, 100));
    assert_non_null(arena_alloc(&arena, 4992));
    assert_null(arena_alloc(&arena, 16));
    assert_null(arena_copy(&arena, TEXT("0123456789abcdef")).data);
    assert_null(arena_printf(&arena, "%0100d", 1).data);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 10000)); /* all of it again, larger than a chunk */
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 10000));
    arena_free(&arena);
}

static void arena_copies(void **state) {
    struct arena arena;
    struct text copy;
    (void)state;
    arena_init(&arena, 1 << 20);
    copy = arena_copy(&arena, TEXT("a\0b"));
    assert_int_equal(copy.size, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
    copy = arena_copy(&arena, TEXT(""));
    assert_int_equal(copy.size, 0);
    assert_string_equal(copy.data, ""); /* empty is not absent */
    assert_null(arena_copy(&arena, (struct text){0}).data);
    copy = arena_printf(&arena, "%s-%d", "x", 42);
    assert_string_equal(copy.data, "x-42");
    assert_int_equal(copy.size, 4);
    copy = arena_printf(&arena, "%020000d", 7); /* more than a chunk */
    assert_int_equal(copy.size, 20000);
    assert_int_equal(strlen(copy.data), 20000);
    arena_free(&arena);
}

static void buffer_grows(void **state) {
    struct buffer buffer = {0};
    (void)state;
    assert_true(buffer_ok(&buffer));
    assert_int_equal(buffer_text(&buffer).size, 0);
    assert_non_null(buffer_text(&buffer).data);
    buffer_append(&buffer, NULL, 0);
    for (int i = 0; i < 10000; i++) {
        buffer_append_text(&buffer, TEXT("ab"));
        buffer_printf(&buffer, "%d", i % 10);
    }
    assert_true(buffer_ok(&buffer));
    assert_int_equal(buffer.size, 30000);
    for (size_t i = 0; i < 10000; i++) {
        assert_memory_equal(buffer.data + 3 * i, "ab", 2);
        assert_int_equal(buffer.data[3 * i + 2], '0' + i % 10);
    }
    buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    char *place = buffer_reserve(&buffer, 5);
    assert_non_null(place);
    memcpy(place, "hello", 5);
    assert_int_equal(buffer.size, 0);
    buffer_claim(&buffer, 5);
    assert_true(text_equal(buffer_text(&buffer), TEXT("hello")));
    buffer_free(&buffer);
    buffer_free(&buffer);
    buffer_free(NULL);
}

/* A failure sticks, and leaves what was there; clearing it ends it, and keeps the limit. */
static void buffer_keeps_its_limit(void **state) {
    struct buffer buffer = {.limit_bytes = 10};
    (void)state;
    buffer_append(&buffer, "0123456789", 10);
    assert_true(buffer_ok(&buffer));
    buffer_append(&buffer, "", 0);
    assert_true(buffer_ok(&buffer));
    buffer_append(&buffer, "x", 1);
    assert_false(buffer_ok(&buffer));
    buffer_append(&buffer, "", 0);
    assert_false(buffer_ok(&buffer));
    assert_true(text_equal(buffer_text(&buffer), TEXT("0123456789")));
    buffer_clear(&buffer);
    assert_true(buffer_ok(&buffer));
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    assert_false(buffer_ok(&buffer));
    buffer_clear(&buffer);
    buffer_printf(&buffer, "%d", 123456789);
    assert_true(buffer_ok(&buffer));
    buffer_printf(&buffer, "%d", 123456789);
    assert_false(buffer_ok(&buffer));
    assert_true(text_equal(buffer_text(&buffer), TEXT("123456789")));
    buffer_free(&buffer);
    assert_int_equal(buffer.limit_bytes, 10);
    assert_true(buffer_ok(&buffer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_keeps_its_limit),
        cmocka_unit_test(arena_copies),
        cmocka_unit_test(buffer_grows),
        cmocka_unit_test(buffer_keeps_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
