/* Every record and message of the tables: round trips, limits, forms, golden bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <msgpack.h>

#include <cmocka.h>

#include "proto/proto.h"
#include "json/json.h"

static struct arena arena;

static int begin(void **state) {
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int end(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct text filler(size_t size) {
    char *text = arena_alloc(&arena, size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    return (struct text){text, size};
}

enum fill { FILL_LEAST, FILL_MOST };

/* Give a field the least or the most that it may hold. */
static void fill_field(const struct proto_field *field, void *value, enum fill fill);

static void fill_record(const struct proto_record *record, void *value, enum fill fill) {
    for (size_t i = 0; i < record->field_count; i++)
        fill_field(&record->fields[i], value, fill);
}

static void fill_field(const struct proto_field *field, void *value, enum fill fill) {
    void *place = proto_field_at(field, value);
    bool most = fill == FILL_MOST;
    if (!most && field->presence == PROTO_OPTIONAL)
        return;
    switch (field->kind) {
    case PROTO_UINT: *(uint64_t *)place = most ? field->maximum : field->minimum; break;
    case PROTO_BOOL: *(bool *)place = most; break;
    case PROTO_TIME: *(int64_t *)place = most ? INT64_C(253402300799999999) : INT64_C(-62167219200000000); break;
    case PROTO_TEXT:
    case PROTO_SECRET: *(struct text *)place = filler(most ? field->maximum : field->minimum); break;
    case PROTO_ENUM: *(unsigned *)place = field->values->values[most ? field->values->count - 1 : 0].number; break;
    case PROTO_LIST: {
        size_t count = most ? 3 : 0;
        char *items = arena_array(&arena, count, field->item->size);
        assert_non_null(items);
        for (size_t i = 0; i < count; i++)
            fill_record(field->item, items + i * field->item->size, fill);
        *(char **)place = items;
        *(size_t *)(void *)((char *)value + field->count_offset) = count;
    }
    }
}

static struct buffer encoded(const struct proto_record *record, const void *value) {
    struct buffer buffer = {0};
    proto_encode(record, value, &buffer);
    assert_true(buffer_ok(&buffer));
    return buffer;
}

static void test_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        for (enum fill fill = FILL_LEAST; fill <= FILL_MOST; fill++) {
            void *value = calloc(1, record->size + 1), *back = calloc(1, record->size + 1);
            fill_record(record, value, fill);
            assert_int_equal(proto_check(record, value, NULL), OK);
            struct buffer first = encoded(record, value);
            assert_int_equal(proto_decode(record, buffer_text(&first), &arena, back, NULL), OK);
            struct buffer second = encoded(record, back);
            assert_int_equal(first.size, second.size);
            assert_memory_equal(first.data, second.data, first.size);
            buffer_free(&first);
            buffer_free(&second);
            free(value);
            free(back);
        }
    }
}

/* What we write is what msgpack-c reads, to the last byte. */
static void test_msgpack_c_agrees(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        void *value = calloc(1, record->size + 1);
        fill_record(record, value, FILL_MOST);
        struct buffer bytes = encoded(record, value);
        msgpack_unpacked result;
        size_t at = 0;
        msgpack_unpacked_init(&result);
        assert_int_equal(msgpack_unpack_next(&result, bytes.data, bytes.size, &at), MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(at, bytes.size);
        assert_int_equal(result.data.type, MSGPACK_OBJECT_ARRAY);
        assert_int_equal(result.data.via.array.size, record->field_count);
        msgpack_unpacked_destroy(&result);
        buffer_free(&bytes);
        free(value);
    }
}

static void test_truncation_is_malformed(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        void *value = calloc(1, record->size + 1), *back = calloc(1, record->size + 1);
        fill_record(record, value, FILL_LEAST);
        struct buffer bytes = encoded(record, value);
        for (size_t size = 0; size < bytes.size; size++) {
            char *exact = malloc(size + 1); /* at its exact size, so that a sanitizer sees a read beyond it */
            memcpy(exact, bytes.data, size);
            assert_int_not_equal(proto_decode(record, (struct text){exact, size}, &arena, back, NULL), OK);
            free(exact);
        }
        buffer_append(&bytes, "\xc0", 1);
        assert_int_equal(proto_decode(record, buffer_text(&bytes), &arena, back, NULL), ERROR_malformed_message);
        buffer_free(&bytes);
        free(value);
        free(back);
    }
}

/* One more than the most, and one less than the least, are refused with the field's own error on every way in and out. */
static void check_limit(const struct proto_record *record, const struct proto_field *field, void *value) {
    const char *name = NULL;
    struct buffer bytes = {0};
    assert_int_equal(proto_check(record, value, &name), field->error);
    assert_string_equal(name, field->name);
    proto_encode(record, value, &bytes);
    assert_false(buffer_ok(&bytes));
    buffer_free(&bytes);
}

static void test_limits(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        for (size_t k = 0; k < record->field_count; k++) {
            const struct proto_field *field = &record->fields[k];
            void *value = calloc(1, record->size + 1), *place = proto_field_at(field, value);
            fill_record(record, value, FILL_MOST);
            if (field->kind == PROTO_UINT && field->maximum < UINT64_MAX) {
                *(uint64_t *)place = field->maximum + 1;
                check_limit(record, field, value);
            } else if (field->kind == PROTO_TEXT || field->kind == PROTO_SECRET) {
                *(struct text *)place = filler(field->maximum + 1);
                check_limit(record, field, value);
                if (field->minimum > 0) {
                    *(struct text *)place = filler(field->minimum - 1);
                    check_limit(record, field, value);
                }
                *(struct text *)place = (struct text){"\xff", 1};
                if (field->minimum <= 1)
                    assert_int_equal(proto_check(record, value, NULL), field->error);
            } else if (field->kind == PROTO_ENUM) {
                *(unsigned *)place = 999;
                check_limit(record, field, value);
            }
            free(value);
        }
    }
}

static void test_missing_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        enum error expected = OK;
        const char *field = NULL, *expected_field = NULL;
        for (size_t k = record->field_count; k > 0; k--) {
            if (record->fields[k - 1].presence == PROTO_REQUIRED) {
                expected = record->fields[k - 1].error;
                expected_field = record->fields[k - 1].name;
            }
        }
        void *back = calloc(1, record->size + 1);
        assert_int_equal(proto_decode(record, TEXT("\x90"), &arena, back, &field), expected);
        if (expected_field != NULL)
            assert_string_equal(field, expected_field);
        free(back);
    }
}

static void test_later_fields_are_skipped(void **state) {
    (void)state;
    struct feed_get_request request;
    assert_int_equal(proto_decode(&proto_record_feed_get_request, TEXT("\x93\x07\x82\xa1\x61\x01\xa1\x62\x92\x01\x02\xc0"),
                                  &arena, &request, NULL),
                     OK);
    assert_int_equal(request.id, 7);
}

/* A count that cannot be true is refused before anything is allocated for it. */
static void test_claimed_counts(void **state) {
    struct feed_page page;
    struct arena tiny;
    (void)state;
    arena_init(&tiny, 1024);
    assert_int_not_equal(proto_decode(&proto_record_feed_page, TEXT("\x92\xdd\xff\xff\xff\xff\xc0"), &tiny, &page, NULL), OK);
    assert_int_not_equal(proto_decode(&proto_record_feed_page, TEXT("\xdd\xff\xff\xff\xff"), &tiny, &page, NULL), OK);
    assert_int_equal(tiny.used_bytes, 0);
    arena_free(&tiny);
}

/* Nested arrays deeper than any of ours end in an error, not on the stack's end. */
static void test_depth(void **state) {
    struct feed_get_request request;
    char deep[2002];
    (void)state;
    memset(deep, 0x91, sizeof deep);
    deep[0] = (char)0x92;
    deep[1] = 1;
    assert_int_equal(proto_decode(&proto_record_feed_get_request, (struct text){deep, sizeof deep}, &arena, &request, NULL),
                     ERROR_malformed_message);
}

static void test_json_form(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_record_count; i++) {
        const struct proto_record *record = proto_record_table[i];
        void *value = calloc(1, record->size + 1), *back = calloc(1, record->size + 1);
        struct buffer json = {0}, again = {0};
        struct text detail = {0};
        char problem[JSON_PROBLEM_BYTES];
        fill_record(record, value, FILL_MOST);
        proto_to_json(record, value, false, &json);
        struct json *document = json_parse(buffer_text(&json), problem);
        assert_int_equal(json_kind(document), JSON_KIND_OBJECT);
        for (size_t k = 0; k < record->field_count; k++)
            assert_non_null(json_member(document, record->fields[k].name));
        json_free(document);
        assert_int_equal(proto_from_json(record, buffer_text(&json), &arena, back, &detail), OK);
        proto_to_json(record, back, false, &again);
        assert_int_equal(json.size, again.size);
        assert_memory_equal(json.data, again.data, json.size);
        buffer_free(&json);
        buffer_free(&again);
        free(value);
        free(back);
    }
}

static void test_secrets_are_masked(void **state) {
    struct users_credentials value = {.email = TEXT("a@b"), .password = TEXT("hush")};
    struct buffer json = {0};
    (void)state;
    proto_to_json(&proto_record_users_credentials, &value, true, &json);
    buffer_append(&json, "", 1);
    assert_string_equal(json.data, "{\"email\":\"a@b\",\"password\":\"***\"}");
    buffer_free(&json);
}

static void test_json_refusals(void **state) {
    static const struct {
        const char *json;
        enum error error;
    } cases[] = {
        {"", ERROR_body_not_json},
        {"[]", ERROR_body_not_json},
        {"null", ERROR_body_not_json},
        {"{\"caption\":\"a\"} x", ERROR_body_not_json},
        {"{\"caption\":\"a\",\"caption\":\"b\"}", ERROR_body_not_json},
        {"{\"caption\":\"\\u0000\"}", ERROR_body_not_json},
        {"{\"caption\":\"\\ud800\"}", ERROR_body_not_json},
        {"{\"caption\":\"\xff\"}", ERROR_body_not_json},
        {"{\"x\":99999999999999999999}", ERROR_body_not_json},
        {"{\"caption\":1}", ERROR_caption_malformed},
        {"{\"caption\":\"\"}", ERROR_caption_malformed},
        {"{\"caption\":[]}", ERROR_caption_malformed},
        {"{\"caption\":\"\xf0\x9f\x96\xbc\",\"more\":[{}]}", OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct feed_create_request request = {0};
        struct text detail = {0};
        assert_int_equal(proto_from_json(&proto_record_feed_create_request, text_from(cases[i].json), &arena, &request, &detail),
                         cases[i].error);
        assert_int_equal(cases[i].error == ERROR_body_not_json, detail.data != NULL);
    }
}

static void test_text_form(void **state) {
    struct feed_list_request request = {0};
    const struct proto_field *limit = proto_field_named(&proto_record_feed_list_request, TEXT("limit"));
    const struct proto_field *before = proto_field_named(&proto_record_feed_list_request, TEXT("before"));
    const struct proto_field *filter = proto_field_named(&proto_record_feed_list_request, TEXT("state"));
    static const char *const bad_limits[] = {"0", "-1", "+1", " 1", "1e9", "x", "", "18446744073709551616"};
    (void)state;
    for (size_t i = 0; i < sizeof bad_limits / sizeof *bad_limits; i++)
        assert_int_equal(proto_set_from_text(limit, text_from(bad_limits[i]), &request), ERROR_limit_malformed);
    assert_int_equal(proto_set_from_text(limit, TEXT("1000000000"), &request), OK);
    assert_int_equal(request.limit, 1000000000);
    assert_int_equal(proto_set_from_text(before, TEXT("2026-01-02T03:04:05.678901Z"), &request), OK);
    assert_int_equal(request.before, INT64_C(1767323045678901));
    assert_int_equal(proto_set_from_text(before, TEXT("yesterday"), &request), ERROR_before_malformed);
    assert_int_equal(proto_set_from_text(filter, TEXT("pending"), &request), OK);
    assert_int_equal(request.state, FILTER_PENDING);
    assert_int_equal(proto_set_from_text(filter, TEXT("Pending"), &request), ERROR_state_malformed);
    assert_null(proto_field_named(&proto_record_feed_list_request, TEXT("nothing")));
}

/* The wire form of today: a change here is a change of the protocol. */
static void test_golden_bytes(void **state) {
    static const unsigned char expected[] = {0x9a, 0x07, 0xa2, 'h',  'i',  0xa1, 'u',  0xc3, 0xcf, 0x00, 0x06, 0x47,
                                             0x5e, 0xf6, 0x57, 0x4e, 0x35, 0xcf, 0x00, 0x06, 0x47, 0x5e, 0xf6, 0x57,
                                             0x4e, 0x36, 0x02, 0xc0, 0xcd, 0x0f, 0xa0, 0xcd, 0x0b, 0xb8};
    struct feed_item item = {.id = 7,
                             .caption = TEXT("hi"),
                             .url = TEXT("u"),
                             .editable = true,
                             .created_at = INT64_C(1767323045678645),
                             .updated_at = INT64_C(1767323045678646),
                             .state = ITEM_READY,
                             .width = 4000,
                             .height = 3000};
    (void)state;
    struct buffer bytes = encoded(&proto_record_feed_item, &item);
    assert_int_equal(bytes.size, sizeof expected);
    assert_memory_equal(bytes.data, expected, sizeof expected);
    buffer_free(&bytes);
}

static void test_tables(void **state) {
    (void)state;
    for (size_t i = 0; i < proto_message_count; i++) {
        const struct proto_message *message = &proto_message_table[i];
        assert_ptr_equal(proto_message_find(message->number), message);
        assert_ptr_equal(proto_message_named(text_from(message->name)), message);
        assert_true(i == 0 || proto_message_table[i - 1].number < message->number);
        assert_true(text_starts_with(text_from(message->name), message->service));
    }
    assert_null(proto_message_find(0));
    assert_null(proto_message_find(65535));
    for (size_t i = 0; i < error_count; i++) {
        assert_ptr_equal(error_describe(error_table[i].error), &error_table[i]);
        assert_true(error_table[i].http_status >= 400 && error_table[i].http_status <= 599);
    }
    assert_int_equal(error_describe((enum error)65000)->error, ERROR_internal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_msgpack_c_agrees),
        cmocka_unit_test(test_truncation_is_malformed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_missing_fields),
        cmocka_unit_test(test_later_fields_are_skipped),
        cmocka_unit_test(test_claimed_counts),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_json_form),
        cmocka_unit_test(test_secrets_are_masked),
        cmocka_unit_test(test_json_refusals),
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests_name("proto", tests, begin, end);
}
