/* S3 notifications: those recorded from several servers, the shapes of others, and what is none. */
#include "aws/s3_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buffer.h"

#define CORPUS "tests/fuzz/corpus/s3_event/"

static struct arena arena;
static char problem[S3_EVENT_PROBLEM_BYTES];

static int setup(void **state) {
    (void)state;
    arena_init(&arena, LIMIT_ARENA_BYTES);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

static bool decode(const char *json, struct s3_event *ret_event) {
    problem[0] = '\0';
    return s3_event_decode(text_from(json), &arena, ret_event, problem);
}

static struct s3_event_record recorded(const char *name) {
    char path[256], document[8192];
    struct s3_event event;
    (void)snprintf(path, sizeof path, CORPUS "%s.json", name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t size = fread(document, 1, sizeof document, file);
    (void)fclose(file);
    assert_true(s3_event_decode((struct text){document, size}, &arena, &event, problem));
    assert_int_equal(event.count, 1);
    return event.records[0];
}

static void assert_text(struct text text, const char *expected) {
    assert_non_null(text.data);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

#define UNICODE_KEY "up/my cat+\xc3\xbcn\xc3\xaf & \xf0\x9f\x96\xbc.jpg"

static void test_recorded_events(void **state) {
    (void)state;
    static const struct {
        const char *file;
        enum s3_event_kind kind;
        const char *name, *bucket, *key, *etag, *sequencer;
        int64_t size; /* -1: none */
    } cases[] = {
        {"ministack-put-plain", S3_EVENT_CREATED, "ObjectCreated:Put", "ev-media29508", "up/cat.jpg",
         "b798abe6e1b1318ee36b0dcb3fb9e4d3", "000006610644651575", 3},
        {"ministack-put-unicode", S3_EVENT_CREATED, "ObjectCreated:Put", "ev-media29508", UNICODE_KEY,
         "b798abe6e1b1318ee36b0dcb3fb9e4d3", "000006610644651576", 3},
        {"ministack-delete", S3_EVENT_REMOVED, "ObjectRemoved:Delete", "ev-media29508", "up/cat.jpg", NULL, "00000661064465157d",
         0},
        {"ministack-delete-unicode", S3_EVENT_REMOVED, "ObjectRemoved:Delete", "ev-media29508", UNICODE_KEY, NULL,
         "00000661064465157e", 0},
        {"ministack-versioned-delete-marker", S3_EVENT_REMOVED, "ObjectRemoved:DeleteMarkerCreated", "ev-media29508", "up/v.jpg",
         NULL, "000006610644651582", 0},
        {"ministack-copy", S3_EVENT_CREATED, "ObjectCreated:Copy", "ev-media29508", "up/copy.jpg",
         "fe5067706fde605fcc635835a1e52fc8", "00000661064465157a", 4},
        {"ministack-multipart", S3_EVENT_CREATED, "ObjectCreated:CompleteMultipartUpload", "ev-media29508", "up/mp.jpg",
         "bccb8986cc6b395e4f045d410c776698-1", "00000661064465157b", 100},
        {"moto-put-unicode", S3_EVENT_CREATED, "ObjectCreated:Put", "ev-media29128", UNICODE_KEY,
         "b798abe6e1b1318ee36b0dcb3fb9e4d3", NULL, 3},
        {"moto-delete", S3_EVENT_REMOVED, "ObjectRemoved:Delete", "ev-media29128", "up/cat.jpg",
         "fe5067706fde605fcc635835a1e52fc8", NULL, 4},
        {"versitygw-webhook-put-plain", S3_EVENT_CREATED, "ObjectCreated:Put", "ev-media", "up/cat.jpg",
         "b798abe6e1b1318ee36b0dcb3fb9e4d3", "6228", 3},
        {"versitygw-webhook-delete", S3_EVENT_REMOVED, "ObjectRemoved:Delete", "ev-media", "up/cat.jpg", NULL, "622a", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_event_record record = recorded(cases[i].file);
        assert_int_equal(record.kind, cases[i].kind);
        assert_text(record.name, cases[i].name);
        assert_text(record.bucket, cases[i].bucket);
        assert_text(record.key, cases[i].key);
        if (cases[i].etag != NULL)
            assert_text(record.etag, cases[i].etag);
        else
            assert_null(record.etag.data);
        if (cases[i].sequencer != NULL)
            assert_text(record.sequencer, cases[i].sequencer);
        else
            assert_null(record.sequencer.data);
        assert_int_equal(record.has_size ? (int64_t)record.size : -1, cases[i].size);
    }
}

static void test_versions(void **state) {
    (void)state;
    assert_text(recorded("ministack-versioned-put").version_id, "b85856b7-999c-4d2b-9db2-186eb914d2d0");
    assert_null(recorded("ministack-put-plain").version_id.data);
    assert_null(recorded("versitygw-webhook-put-plain").version_id.data);
}

static void test_notifications_without_records(void **state) {
    (void)state;
    struct s3_event event = {.count = 9};
    assert_true(decode("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Bucket\":\"b\"}", &event));
    assert_int_equal(event.count, 0);
    event.count = 9;
    assert_true(decode("{\"Records\":[]}", &event));
    assert_int_equal(event.count, 0);
}

static void test_what_is_no_notification(void **state) {
    (void)state;
    static const char *const malformed[] = {
        "",
        "{",
        "null",
        "[]",
        "3",
        "{}",
        "{\"Event\":\"s3:Other\"}",
        "{\"Records\":null}",
        "{\"Records\":{}}",
        "{\"Records\":[3]}",
        "{\"Records\":[{}]}",
        "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\"}]}",
        "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{}}}]}",
        "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"\"},\"object\":{\"key\":\"k\"}}}]}",
        "{\"Records\":[{\"eventName\":7,\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"k\"}}}]}",
        "{\"Records\":[]} x",
        "\xef\xbb\xbf{\"Records\":[]}",
        "{\"Records\":[],\"Records\":[]}",
        "{\"Records\":[\"\\ud800\"]}",
        "{\"Type\":\"Notification\",\"Message\":\"{}\"}",
    };
    struct s3_event event;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_false(decode(malformed[i], &event));
        assert_true(problem[0] != '\0');
    }
}

static void test_many_records(void **state) {
    (void)state;
    static const char one[] =
        "{\"eventName\":\"ObjectCreated:P\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"k\"}}}";
    struct buffer document = {0};
    struct s3_event event;
    for (int count = 500; count <= 1100; count += 600) {
        buffer_clear(&document);
        buffer_append_text(&document, TEXT("{\"Records\":["));
        for (int i = 0; i < count; i++)
            buffer_printf(&document, "%s%s", i > 0 ? "," : "", one);
        buffer_append_text(&document, TEXT("]}"));
        bool fits = count <= 500;
        assert_int_equal(s3_event_decode(buffer_text(&document), &arena, &event, problem), fits);
        if (fits)
            assert_int_equal(event.count, 500);
    }
    buffer_free(&document);
}

static struct s3_event_record one_record(const char *members, const char *object) {
    struct buffer document = {0};
    struct s3_event event;
    buffer_printf(&document, "{\"Records\":[{%s,\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{%s}}}]}", members, object);
    assert_true(s3_event_decode(buffer_text(&document), &arena, &event, problem));
    buffer_free(&document);
    assert_int_equal(event.count, 1);
    return event.records[0];
}

static void test_kinds(void **state) {
    (void)state;
    static const struct {
        const char *members;
        enum s3_event_kind kind;
    } cases[] = {
        {"\"eventName\":\"ObjectCreated:Post\"", S3_EVENT_CREATED},
        {"\"eventName\":\"s3:ObjectCreated:CompleteMultipartUpload\",\"eventSource\":\"minio:s3\",\"eventVersion\":\"2.0\"",
         S3_EVENT_CREATED},
        {"\"eventName\":\"LifecycleExpiration:DeleteMarkerCreated\"", S3_EVENT_REMOVED},
        {"\"eventName\":\"ObjectTagging:Put\"", S3_EVENT_OTHER},
        {"\"eventName\":\"ObjectRestore:Completed\"", S3_EVENT_OTHER},
        {"\"eventName\":\"ObjectCreated\"", S3_EVENT_OTHER},
        {"\"eventName\":\"ObjectCreated:Put\",\"eventSource\":\"aws:sns\"", S3_EVENT_OTHER},
        {"\"eventName\":\"ObjectCreated:Put\",\"eventVersion\":\"3.0\"", S3_EVENT_OTHER},
        {"\"eventName\":\"ObjectCreated:Put\",\"eventVersion\":\"2.99\"", S3_EVENT_CREATED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(one_record(cases[i].members, "\"key\":\"k\"").kind, cases[i].kind);
}

static void test_keys(void **state) {
    (void)state;
    static const struct {
        const char *encoded, *key; /* NULL: malformed */
    } cases[] = {
        {"a+b", "a b"},
        {"a%2Bb", "a+b"},
        {"a%252Bb", "a%2Bb"},
        {"a%2bb", "a+b"},
        {"..%2F../x", "../../x"},
        {"/leading", "/leading"},
        {"trailing.", "trailing."},
        {"a%0Ab", "a\nb"},
        {"%C3%BC", "\xc3\xbc"},
        {"%00", NULL},
        {"a%00b", NULL},
        {"%zz", NULL},
        {"%", NULL},
        {"%4", NULL},
        {"", NULL},
        {"%ff", NULL},
        {"%C3", NULL},
        {"%ED%A0%80", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text key = s3_event_key(text_from(cases[i].encoded), &arena);
        if (cases[i].key == NULL)
            assert_null(key.data);
        else
            assert_text(key, cases[i].key);
    }
    char longest[LIMIT_OBJECT_KEY_BYTES + 2];
    memset(longest, 'k', sizeof longest);
    assert_non_null(s3_event_key((struct text){longest, LIMIT_OBJECT_KEY_BYTES}, &arena).data);
    assert_null(s3_event_key((struct text){longest, LIMIT_OBJECT_KEY_BYTES + 1}, &arena).data);
    assert_int_equal(one_record("\"eventName\":\"ObjectCreated:Put\"", "\"key\":\"%zz\"").kind, S3_EVENT_OTHER);
}

/* Padded with zeroes to the same length, as S3 says, these are in ascending order; equal ones stand in one row. */
static void test_sequencers_compare_as_strings(void **state) {
    (void)state;
    static const char *const ascending[][3] = {{"0055AED6DCD90281E4", "0055aed6dcd90281e4", "0055AED6DCD90281E400"},
                                               {"0055AED6DCD90281E5"},
                                               {"0055aed6dcd90281e501"},
                                               {"6", "60", "600"},
                                               {"61"},
                                               {"617f08299329d189"}};
    struct text before = {0};
    for (size_t i = 0; i < sizeof ascending / sizeof *ascending; i++) {
        struct text first = {0};
        for (size_t k = 0; k < 3 && ascending[i][k] != NULL; k++) {
            char object[128];
            (void)snprintf(object, sizeof object, "\"key\":\"k\",\"sequencer\":\"%s\"", ascending[i][k]);
            struct text sequencer = one_record("\"eventName\":\"ObjectCreated:Put\"", object).sequencer;
            assert_non_null(sequencer.data);
            if (k == 0)
                first = sequencer;
            else
                assert_true(text_equal(first, sequencer));
        }
        if (before.data != NULL)
            assert_true(strcmp(before.data, first.data) < 0);
        before = first;
    }
    static const char *const none[] = {"", "xyz", "12 34", "-1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char object[128];
        (void)snprintf(object, sizeof object, "\"key\":\"k\",\"sequencer\":\"%s\"", none[i]);
        assert_null(one_record("\"eventName\":\"ObjectCreated:Put\"", object).sequencer.data);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    static const char document[] = "{\"Records\":[{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"b\"},"
                                   "\"object\":{\"key\":\"k\",\"eTag\":\"e\",\"versionId\":\"v\",\"sequencer\":\"1\"}}}]}";
    struct s3_event event;
    bool decoded = false;
    for (size_t limit = 0; !decoded; limit += 16) {
        struct arena small;
        arena_init(&small, limit);
        decoded = s3_event_decode(text_from(document), &small, &event, problem) && event.records[0].sequencer.data != NULL;
        arena_free(&small);
        assert_true(limit < 65536);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_events),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_notifications_without_records),
        cmocka_unit_test(test_what_is_no_notification),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sequencers_compare_as_strings),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
