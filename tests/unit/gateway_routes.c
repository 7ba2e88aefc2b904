/* The gateway's route table, its router, and the translation of requests, replies and errors, without nginx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "gateway/replies.h"

#define API "/api/v0"

static struct arena arena;
static struct route_match match;

static enum error find(const char *method, const char *path) {
    arena_reset(&arena);
    return route_find(text_from(method), text_from(path), &arena, &match);
}

static void assert_text(struct text text, const char *expected) {
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void assert_allowed(const char *expected) {
    struct buffer allow = {0};
    route_allow(match.allowed, &allow);
    assert_text(buffer_text(&allow), expected);
    buffer_free(&allow);
}

static void every_route_is_reached_and_is_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        const struct route *route = &route_table[i];
        char path[128];
        size_t size = 0;
        for (const char *c = route->pattern; *c != '\0'; c++) /* a {field} becomes 7 */
            if (*c == '{') {
                path[size++] = '7';
                c = strchr(c, '}');
            } else {
                path[size++] = *c;
            }
        path[size] = '\0';
        assert_int_equal(find(route_method_name(route->method), path), OK);
        assert_ptr_equal(match.route, route);
        path[size++] = '/';
        path[size] = '\0';
        assert_int_equal(find(route_method_name(route->method), path), OK);
        assert_ptr_equal(match.route, route);
        if (route->kind != ROUTE_MESSAGE)
            continue;
        const struct proto_message *message = proto_message_find(route->message);
        assert_non_null(message);
        assert_true(message->request->size <= TRANSLATE_REQUEST_BYTES_MAX);
        assert_true(route->list == NULL || proto_field_named(message->reply, text_from(route->list)) != NULL);
        for (size_t k = 0; k < match.capture_count; k++)
            assert_non_null(proto_field_named(message->request, match.captures[k].name));
    }
}

static void methods(void **state) {
    (void)state;
    assert_int_equal(find("HEAD", API "/feed"), OK);
    assert_int_equal(match.route->message, MESSAGE_feed_list);
    assert_int_equal(find("PUT", API "/feed"), ERROR_method_not_allowed);
    assert_allowed("GET, HEAD, POST, OPTIONS");
    assert_int_equal(find("FOO", API "/feed/7"), ERROR_method_not_allowed);
    assert_allowed("GET, HEAD, PATCH, DELETE, OPTIONS");
    assert_int_equal(find("PATCH", API "/feed/thumbnails"), ERROR_method_not_allowed);
    assert_allowed("GET, HEAD, OPTIONS");
    assert_int_equal(find("get", API "/feed"), ERROR_method_not_allowed);
    assert_int_equal(find("FOO", "/nope"), ERROR_not_found);
    assert_int_equal(find("OPTIONS", API "/users/auth"), OK);
    assert_true(match.preflight);
    assert_allowed("POST, OPTIONS");
}

static void paths(void **state) {
    (void)state;
    static const char *const unknown[] = {"",
                                          "/",
                                          "//",
                                          API,
                                          API "//feed",
                                          API "/feed//",
                                          API "/fee",
                                          API "/feedx",
                                          "api/v0/feed",
                                          API "/users/",
                                          API "/feed%2F7",
                                          API "/feed/7/thumbnail/x",
                                          API "/FEED",
                                          "/healthz/x/",
                                          "/a/b/c/d/e/f",
                                          "/a/b/c/d/e/f/g/h"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(find("GET", unknown[i]), ERROR_not_found);
    assert_int_equal(find("GET", API "/users/a%40b.cd"), OK);
    assert_text(match.captures[0].value, "a@b.cd");
    assert_int_equal(find("GET", API "/users/a%2540b"), OK); /* once */
    assert_text(match.captures[0].value, "a%40b");
    assert_int_equal(find("GET", API "/users/a%2Fb"), OK);
    assert_text(match.captures[0].value, "a/b");
    assert_int_equal(find("GET", API "/%66eed"), OK);
    assert_int_equal(find("GET", API "/users/%zz"), ERROR_bad_request);
    assert_int_equal(find("GET", API "/users/%4"), ERROR_bad_request);
    assert_int_equal(find("GET", API "/users/%00"), ERROR_bad_request);
}

static void services(void **state) {
    (void)state;
    struct text names[ROUTE_SERVICES_MAX];
    assert_int_equal(route_services(names), 2);
    assert_text(names[0], "users");
    assert_text(names[1], "feed");
}

/* What a request is translated to; the record is left in `record`. */
static _Alignas(max_align_t) char record[TRANSLATE_REQUEST_BYTES_MAX];

static enum error translate(const char *method, const char *path, const char *query, const char *body) {
    struct text detail = {0};
    assert_int_equal(find(method, path), OK);
    return translate_request(&match, text_from(query), text_from(body), &arena, record, &detail);
}

static void requests_with_bodies(void **state) {
    (void)state;
    const struct users_credentials *credentials = (const void *)record;
    assert_int_equal(translate("POST", API "/users/auth", NULL, "{\"email\":\"a@b.cd\",\"password\":\"p\",\"x\":[1]}"), OK);
    assert_text(credentials->email, "a@b.cd");
    assert_text(credentials->password, "p");
    assert_int_equal(translate("POST", API "/users/auth", NULL, "{\"password\":\"p\"}"), ERROR_email_malformed);
    assert_int_equal(translate("POST", API "/users/auth/login", NULL, "{\"email\":\"a@b.cd\"}"), ERROR_password_required);
    assert_int_equal(translate("POST", API "/users/auth/login", NULL, "{\"email\":7}"), ERROR_email_malformed);
    assert_int_equal(translate("POST", API "/feed", NULL, ""), ERROR_body_not_json);
    assert_int_equal(translate("POST", API "/feed", NULL, "[]"), ERROR_body_not_json);
    assert_int_equal(translate("POST", API "/feed", NULL, "{\"caption\":\"a\"} x"), ERROR_body_not_json);
    assert_int_equal(translate("POST", API "/feed", NULL, "{}"), ERROR_caption_malformed);
    assert_int_equal(translate("POST", API "/feed", NULL, "{\"caption\":\"a\"}"), OK);
    const struct feed_update_request *update = (const void *)record;
    assert_int_equal(translate("PATCH", API "/feed/7", NULL, "{\"caption\":\"n\",\"id\":9}"), OK);
    assert_int_equal(update->id, 7); /* the path wins */
    assert_text(update->caption, "n");
    assert_int_equal(translate("PATCH", API "/feed/x", NULL, "{\"caption\":\"n\"}"), ERROR_item_not_editable);
    assert_int_equal(translate("PATCH", API "/feed/7", NULL, "{}"), ERROR_caption_malformed);
}

static void requests_without_bodies(void **state) {
    (void)state;
    static const char *const bad_ids[] = {"0", "-1", "x", "+1", "1e3", "99999999999999999999", "%20", "1%20"};
    const struct feed_get_request *get = (const void *)record;
    assert_int_equal(translate("GET", API "/feed/2147483648", NULL, NULL), OK);
    assert_int_equal(get->id, 2147483648u);
    for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, API "/feed/%s", bad_ids[i]);
        assert_int_equal(translate("GET", path, NULL, NULL), ERROR_item_not_found);
        assert_int_equal(translate("DELETE", path, NULL, NULL), ERROR_item_not_editable);
    }
    assert_int_equal(translate("GET", API "/feed/7/thumbnail", NULL, NULL), OK);
    const struct feed_sign_request *sign = (const void *)record;
    assert_int_equal(translate("GET", API "/feed/signed-url/0123abc", NULL, NULL), OK);
    assert_text(sign->image_id, "0123abc");
    const struct users_get_request *user = (const void *)record;
    assert_int_equal(translate("GET", API "/users/a%40b.cd", NULL, NULL), OK);
    assert_text(user->email, "a@b.cd");
    assert_int_equal(translate("GET", API "/users/auth/verification", NULL, NULL), OK);
}

static void queries(void **state) {
    (void)state;
    static const struct {
        const char *query;
        enum error error;
    } bad[] = {
        {"limit=0", ERROR_limit_malformed},     {"limit=", ERROR_limit_malformed},    {"limit", ERROR_limit_malformed},
        {"limit=-1", ERROR_limit_malformed},    {"limit=1e9", ERROR_limit_malformed}, {"limit=1&limit=1", ERROR_limit_malformed},
        {"l%69mit=x", ERROR_limit_malformed},   {"before=", ERROR_before_malformed},  {"before=x", ERROR_before_malformed},
        {"before=%zz", ERROR_before_malformed}, {"cursor=", ERROR_cursor_malformed},  {"state=foo", ERROR_state_malformed},
        {"state=READY", ERROR_state_malformed},
    };
    const struct feed_list_request *list = (const void *)record;
    assert_int_equal(translate("GET", API "/feed", NULL, NULL), OK);
    assert_int_equal(list->limit, 0);
    assert_int_equal(translate("GET", API "/feed", "limit=1000000000&state=ready&x=%zz&%zz=1&&cursor=abc", NULL), OK);
    assert_int_equal(list->limit, 1000000000);
    assert_int_equal(list->state, FILTER_READY);
    assert_text(list->cursor, "abc");
    assert_int_equal(translate("GET", API "/feed/thumbnails", "before=1970-01-01T00:00:01%2B00:00", NULL), OK);
    assert_int_equal(list->before, 1000000);
    /* A plus that was not escaped is what its writer meant: a plus. */
    assert_int_equal(translate("GET", API "/feed", "before=1970-01-01T01:00:01+01:00", NULL), OK);
    assert_int_equal(list->before, 1000000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(translate("GET", API "/feed", bad[i].query, NULL), bad[i].error);
}

static void replies(void **state) {
    (void)state;
    struct buffer packed = {0}, json = {0}, link = {0};
    const struct feed_item item = {
        .id = 7, .caption = TEXT("a\"b"), .url = TEXT("http://u"), .created_at = 1, .updated_at = 2, .state = ITEM_READY};
    const struct feed_page page = {.items = &item, .items_count = 1, .next_cursor = TEXT("c-_1")};
    proto_encode(proto_message_find(MESSAGE_feed_list)->reply, &page, &packed);
    assert_int_equal(find("GET", API "/feed"), OK);
    assert_int_equal(translate_reply(match.route, text_from("limit=1&cursor=old&x=<\"\r&c%75rsor=2"), buffer_text(&packed),
                                     &arena, &json, &link),
                     OK);
    assert_text(buffer_text(&link), "<" API "/feed?limit=1&x=%3C%22%0D&cursor=c-_1>; rel=\"next\"");
    assert_text(
        buffer_text(&json),
        "[{\"id\":7,\"caption\":\"a\\\"b\",\"url\":\"http://u\",\"editable\":false,\"created_at\":\"1970-01-01T00:00:00.000001Z\","
        "\"updated_at\":\"1970-01-01T00:00:00.000002Z\",\"state\":\"ready\"}]");
    buffer_clear(&json);
    buffer_clear(&link);
    buffer_clear(&packed);
    const struct feed_page last = {0};
    proto_encode(proto_message_find(MESSAGE_feed_list)->reply, &last, &packed);
    assert_int_equal(translate_reply(match.route, (struct text){0}, buffer_text(&packed), &arena, &json, &link), OK);
    assert_text(buffer_text(&json), "[]");
    assert_int_equal(link.size, 0);
    assert_int_equal(find("POST", API "/users/auth/login"), OK);
    const struct users_session session = {.auth = true, .token = TEXT("t"), .user = TEXT("a@b.cd")};
    buffer_clear(&json);
    buffer_clear(&packed);
    proto_encode(proto_message_find(MESSAGE_users_login)->reply, &session, &packed);
    assert_int_equal(translate_reply(match.route, (struct text){0}, buffer_text(&packed), &arena, &json, &link), OK);
    assert_text(buffer_text(&json), "{\"auth\":true,\"token\":\"t\",\"user\":\"a@b.cd\"}"); /* not masked */
    assert_int_equal(translate_reply(match.route, (struct text){0}, TEXT("junk"), &arena, &json, &link), ERROR_internal);
    buffer_free(&packed);
    buffer_free(&json);
    buffer_free(&link);
}

/* The same answer as without a memory, in whatever order pages and queries come. */
static void remembered_replies(void **state) {
    (void)state;
    struct replies *memory = replies_new();
    struct buffer packed[6] = {0}, json = {0}, link = {0}, expected_json = {0}, expected_link = {0};
    static const char *const queries[] = {"", "limit=1", "limit=2&cursor=x"};
    static char long_caption[LIMIT_CAPTION_BYTES];
    struct feed_item items[10];
    memset(long_caption, 'x', sizeof long_caption);
    for (size_t i = 0; i < 6; i++) { /* of the same size but for the last one, which is too long to be remembered */
        struct feed_item item = {.id = 1 + i, .caption = TEXT("c"), .url = TEXT("u"), .state = ITEM_READY};
        struct feed_page page = {.items = &item, .items_count = 1, .next_cursor = TEXT("n")};
        if (i == 5) {
            item.caption = (struct text){long_caption, sizeof long_caption};
            for (size_t k = 0; k < 10; k++)
                items[k] = item;
            page = (struct feed_page){.items = items, .items_count = 10};
        }
        proto_encode(proto_message_find(MESSAGE_feed_list)->reply, &page, &packed[i]);
    }
    buffer_append_text(&json, TEXT("before"));
    buffer_append_text(&expected_json, TEXT("before"));
    for (unsigned step = 0, dice = 1; step < 2000; step++, dice = dice * 1103515245 + 12345) {
        struct text query = text_from(queries[(dice >> 16) % 3]);
        const struct buffer *reply = &packed[(dice >> 20) % 6];
        assert_int_equal(find("GET", (dice >> 24) % 2 ? API "/feed" : API "/feed/thumbnails"), OK);
        json.size = expected_json.size = 6;
        buffer_clear(&link);
        buffer_clear(&expected_link);
        assert_int_equal(replies_translate(memory, match.route, query, buffer_text(reply), &arena, &json, &link), OK);
        assert_int_equal(translate_reply(match.route, query, buffer_text(reply), &arena, &expected_json, &expected_link), OK);
        assert_true(text_equal(buffer_text(&json), buffer_text(&expected_json)));
        assert_true(text_equal(buffer_text(&link), buffer_text(&expected_link)));
        arena_reset(&arena);
    }
    assert_int_equal(replies_translate(memory, match.route, TEXT(""), TEXT("junk"), &arena, &json, &link), ERROR_internal);
    for (size_t i = 0; i < 6; i++)
        buffer_free(&packed[i]);
    buffer_free(&json), buffer_free(&link), buffer_free(&expected_json), buffer_free(&expected_link);
    replies_free(memory);
}

static void assert_error(enum error error, const char *detail, const char *expected) {
    struct buffer json = {0};
    translate_error(error, text_from(detail), &json);
    assert_text(buffer_text(&json), expected);
    buffer_free(&json);
}

static void errors(void **state) {
    (void)state;
    assert_error(ERROR_item_not_found, NULL, "{\"code\":404,\"message\":\"Feed item not found\"}");
    assert_error(ERROR_body_not_json, "line \"1\"",
                 "{\"code\":400,\"message\":\"The body is not a JSON object: line \\\"1\\\"\"}");
    assert_error(ERROR_internal, "the secret reason", "{\"code\":500,\"message\":\"An internal error has occurred\"}");
    assert_error(ERROR_bad_request, "\xff", "{\"code\":400,\"message\":\"Bad request\"}");
}

static void header_values(void **state) {
    (void)state;
    assert_true(translate_is_json(TEXT("application/json")));
    assert_true(translate_is_json(TEXT("Application/JSON ; Charset=\"UTF-8\"")));
    assert_true(translate_is_json(TEXT("application/json;")));
    assert_false(translate_is_json(TEXT("")));
    assert_false(translate_is_json(TEXT("application/jsonx")));
    assert_false(translate_is_json(TEXT("application/json; charset=latin1")));
    assert_false(translate_is_json(TEXT("application/json; charset=utf-8; charset=utf-8")));
    assert_false(translate_is_json(TEXT("text/plain, application/json")));
    assert_true(translate_is_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
    assert_true(translate_is_traceparent(TEXT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")));
    assert_false(translate_is_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")));
    assert_false(translate_is_traceparent(TEXT("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
    assert_false(translate_is_traceparent(TEXT("00-00000000000000000000000000000000-b7ad6b7169203331-01")));
    assert_false(translate_is_traceparent(TEXT("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
    assert_false(translate_is_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_reached_and_is_whole),
        cmocka_unit_test(methods),
        cmocka_unit_test(paths),
        cmocka_unit_test(services),
        cmocka_unit_test(requests_with_bodies),
        cmocka_unit_test(requests_without_bodies),
        cmocka_unit_test(queries),
        cmocka_unit_test(replies),
        cmocka_unit_test(remembered_replies),
        cmocka_unit_test(errors),
        cmocka_unit_test(header_values),
    };
    arena_init(&arena, LIMIT_ARENA_BYTES);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return failed;
}
