/*
 * The feed actor's handlers with a real Postgres. The bus runtime and the object storage are replaced by what this file
 * defines: asks are made by hand, deletions are noted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/feed/actor.h"
#include "actors/feed/feed.h"
#include "base/clock.h"
#include "base/log.h"
#include "sql/migrate.h"
#include "tests/unit/postgres.h"

/* ---- the runtime ---- */

struct actor {
    struct settings settings;
    struct loop *loop;
    void *application;
    unsigned left; /* answers that the loop runs for */
};

struct answer {
    struct ask ask; /* first */
    unsigned times;
    enum error error;
    struct text encoded; /* in the arena */
    union {
        struct feed_page page;
        struct feed_item item;
        struct feed_deleted deleted;
        struct feed_signed_url signed_url;
        struct feed_image_status status;
    } reply;
    int64_t after_us;
};

struct loop *actor_loop(struct actor *actor) {
    return actor->loop;
}

const struct settings *actor_settings(struct actor *actor) {
    return &actor->settings;
}

void *actor_application(struct actor *actor) {
    return actor->application;
}

static void answered(struct ask *ask, enum error error) {
    struct answer *answer = (struct answer *)ask;
    answer->times++;
    answer->error = error;
    answer->after_us = clock_monotonic_us() - answer->after_us;
    assert_int_equal(answer->times, 1);
    if (--ask->actor->left == 0)
        loop_stop(ask->actor->loop);
}

void ask_fail(struct ask *ask, enum error error, const char *detail) {
    (void)detail;
    answered(ask, error);
}

void ask_reply_encoded(struct ask *ask, struct text reply) {
    struct answer *answer = (struct answer *)ask;
    answer->encoded = arena_copy(&ask->arena, reply);
    assert_int_equal(proto_decode(ask->message->reply, answer->encoded, &ask->arena, &answer->reply, NULL), OK);
    answered(ask, OK);
}

void ask_reply(struct ask *ask, const void *reply) {
    struct buffer encoded = {0};
    proto_encode(ask->message->reply, reply, &encoded);
    assert_true(buffer_ok(&encoded));
    ask_reply_encoded(ask, buffer_text(&encoded));
    buffer_free(&encoded);
}

/* ---- the storage ---- */

#define DELETIONS_MAX 256

struct s3_operation {
    struct loop_timer timer;
    struct s3_request request;
    bool refused;
};

static struct {
    unsigned count, refuse; /* the next so many are refused */
    char objects[DELETIONS_MAX][96];
    struct loop *loop;
} storage;

struct s3_client *s3_client_open(const struct s3_client_options *options) {
    storage.loop = options->loop;
    return (struct s3_client *)&storage;
}

void s3_client_close(struct s3_client *client) {
    (void)client;
}

const char *s3_outcome_name(enum s3_outcome outcome) {
    return outcome == S3_OK ? "ok" : "unavailable";
}

bool s3_endpoint_of_region(const char *region, char out[S3_ENDPOINT_BYTES]) {
    return snprintf(out, S3_ENDPOINT_BYTES, "https://s3.%s.example.org", region) > 0;
}

static void storage_done(struct loop_timer *timer) {
    struct s3_operation *operation = timer->context;
    struct s3_result result = {.outcome = operation->refused ? S3_UNAVAILABLE : S3_OK};
    (void)snprintf(result.detail, sizeof result.detail, "%s", operation->refused ? "SlowDown" : "");
    operation->request.done(operation->request.context, &result);
    free(operation);
}

struct s3_operation *s3_delete(struct s3_client *client, const struct s3_request *request) {
    struct s3_operation *operation = calloc(1, sizeof *operation);
    assert_ptr_equal(client, &storage);
    assert_true(storage.count < DELETIONS_MAX);
    operation->request = *request;
    operation->refused = storage.refuse > 0;
    storage.refuse -= operation->refused ? 1 : 0;
    if (!operation->refused)
        (void)snprintf(storage.objects[storage.count++], sizeof *storage.objects, "%.*s/%.*s", TEXT_ARGUMENTS(request->bucket),
                       TEXT_ARGUMENTS(request->key));
    operation->timer = (struct loop_timer){.fire = storage_done, .context = operation};
    loop_timer_set(storage.loop, &operation->timer, loop_now_us(storage.loop));
    return operation;
}

/* ---- asking ---- */

static struct postgres postgres;
static char database[192];

static const struct bus_caller nobody = {0}, ann = {1, {"Ann@Example.org", 15}}, bob = {2, {"bob@example.org", 15}};

static void open_actor(struct actor *actor) {
    *actor = (struct actor){.settings = {.database_url = database,
                                         .database_connections = 2,
                                         .database_timeout_ms = 400,
                                         .aws_region = "eu-west-1",
                                         .s3_endpoint = "http://127.0.0.1:9000",
                                         .access_key_id = "AKIAEXAMPLE",
                                         .secret_access_key = "a secret",
                                         .media_bucket = "media",
                                         .thumbnails_bucket = "thumbs",
                                         .presign_seconds = 300},
                            .loop = loop_new()};
    assert_non_null(actor->loop);
    assert_true(feed_actor.open(actor, &actor->application));
}

static void close_actor(struct actor *actor) {
    feed_actor.close(actor->application);
    loop_free(actor->loop);
}

static struct answer *ask(struct actor *actor, unsigned message, struct bus_caller caller, const void *request) {
    struct answer *answer = calloc(1, sizeof *answer);
    answer->ask = (struct ask){.message = proto_message_find(message),
                               .caller = caller,
                               .deadline_us = clock_monotonic_us() + 3 * US_PER_S,
                               .actor = actor};
    arena_init(&answer->ask.arena, LIMIT_ARENA_BYTES);
    answer->after_us = clock_monotonic_us();
    actor->left++;
    for (size_t i = 0; i < feed_actor.handler_count; i++)
        if (feed_actor.handlers[i].message == message)
            feed_actor.handlers[i].handle(&answer->ask, request);
    return answer;
}

static void run(struct actor *actor) {
    if (actor->left > 0)
        loop_run(actor->loop);
    assert_int_equal(actor->left, 0);
}

static struct answer *one(struct actor *actor, unsigned message, struct bus_caller caller, const void *request) {
    struct answer *answer = ask(actor, message, caller, request);
    run(actor);
    return answer;
}

static void done(struct answer *answer) {
    arena_free(&answer->ask.arena);
    free(answer);
}

/* Ask, and only look at the error. */
static enum error error_of(struct actor *actor, unsigned message, struct bus_caller caller, const void *request) {
    struct answer *answer = one(actor, message, caller, request);
    enum error error = answer->error;
    done(answer);
    return error;
}

static bool wanted(struct actor *actor, unsigned message, const void *request) {
    struct answer *answer = one(actor, message, nobody, request);
    bool result = answer->reply.status.wanted;
    assert_int_equal(answer->error, OK);
    done(answer);
    return result;
}

static void stop_loop(struct loop_timer *timer) {
    loop_stop(timer->context);
}

/* Turn the loop for a moment. */
static void turn(struct actor *actor, int64_t time_us) {
    struct loop_timer timer = {.fire = stop_loop, .context = actor->loop};
    loop_timer_set(actor->loop, &timer, loop_now_us(actor->loop) + time_us);
    loop_run(actor->loop);
    loop_timer_clear(&timer);
}

static void assert_value(const char *sql, const char *expected) {
    char value[256];
    postgres_value(database, sql, value, sizeof value);
    assert_string_equal(value, expected);
}

/* Turn until the query's value is so; a test that waits in vain runs into its time limit. */
static void turn_until(struct actor *actor, const char *sql, const char *expected) {
    char value[256] = "";
    do {
        turn(actor, US_PER_MS);
        postgres_value(database, sql, value, sizeof value);
    } while (strcmp(value, expected) != 0);
}

/* The first look into the outbox is over: no query is under way but those that a test asks for. */
static void settle(struct actor *actor) {
    struct feed *feed = actor->application;
    while (!pg_available(feed->pg) || pg_load(feed->pg) > 0)
        turn(actor, US_PER_MS);
}

static void begin_test(struct actor *actor) {
    postgres_run(database, "truncate feeditems, object_deletions, users restart identity");
    memset(&storage, 0, sizeof storage);
    open_actor(actor);
}

/* ---- the tests ---- */

static void an_item_lives(void **state) {
    struct actor actor;
    struct feed_create_request create = {.caption = TEXT("first light")};
    (void)state;
    begin_test(&actor);
    struct answer *created = one(&actor, MESSAGE_feed_create, ann, &create);
    struct feed_item item = created->reply.item;
    assert_int_equal(created->error, OK);
    assert_true(item.editable && item.state == ITEM_PENDING && item.width == 0 && item.created_at == item.updated_at);
    assert_true(clock_real_us() - item.created_at < 60 * US_PER_S && clock_real_us() >= item.created_at);
    assert_true(text_equal(item.caption, TEXT("first light")));
    assert_true(text_starts_with(item.url, TEXT("http://127.0.0.1:9000/media/")));
    char image_id[33], thumbnail[80];
    assert_true(text_copy((struct text){item.url.data + 28, 32}, image_id, sizeof image_id));
    assert_int_equal(strspn(image_id, "0123456789abcdef"), 32);

    struct feed_sign_request sign = {.image_id = text_from(image_id)};
    assert_int_equal(error_of(&actor, MESSAGE_feed_sign, ann, &sign), OK);
    assert_int_equal(error_of(&actor, MESSAGE_feed_sign, bob, &sign), ERROR_image_not_found);

    struct feed_get_request get = {.id = item.id};
    struct answer *seen = one(&actor, MESSAGE_feed_get, bob, &get);
    assert_false(seen->reply.item.editable);
    done(seen);
    seen = one(&actor, MESSAGE_feed_thumbnail, nobody, &get);
    (void)snprintf(thumbnail, sizeof thumbnail, "http://127.0.0.1:9000/thumbs/%s", image_id);
    assert_true(text_equal(seen->reply.item.url, text_from(thumbnail)));
    done(seen);

    struct feed_update_request update = {.id = item.id, .caption = TEXT("second thought")};
    struct bus_caller ann_otherwise = {1, TEXT("aNN@example.ORG")};
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, bob, &update), ERROR_item_not_editable);
    struct answer *updated = one(&actor, MESSAGE_feed_update, ann_otherwise, &update);
    assert_true(text_equal(updated->reply.item.caption, TEXT("second thought")));
    assert_true(updated->reply.item.updated_at > item.updated_at && updated->reply.item.created_at == item.created_at);

    struct feed_image_ready_request ready = {.image_id = text_from(image_id), .width = 4000, .height = 3000};
    assert_true(wanted(&actor, MESSAGE_feed_image_ready, &ready));
    seen = one(&actor, MESSAGE_feed_get, ann, &get);
    assert_true(seen->reply.item.editable && seen->reply.item.state == ITEM_READY);
    assert_int_equal(seen->reply.item.width, 4000);
    assert_int_equal(seen->reply.item.updated_at, updated->reply.item.updated_at); /* the feed's order stays */
    done(seen);
    done(updated);
    assert_int_equal(error_of(&actor, MESSAGE_feed_sign, ann, &sign), ERROR_image_not_found);

    struct feed_delete_request delete = {.id = item.id};
    assert_int_equal(error_of(&actor, MESSAGE_feed_delete, bob, &delete), ERROR_item_not_editable);
    struct answer *deleted = one(&actor, MESSAGE_feed_delete, ann, &delete);
    assert_int_equal(deleted->reply.deleted.id, item.id);
    done(deleted);
    assert_int_equal(error_of(&actor, MESSAGE_feed_delete, ann, &delete), ERROR_item_not_editable);
    assert_int_equal(error_of(&actor, MESSAGE_feed_get, ann, &get), ERROR_item_not_found);
    assert_false(wanted(&actor, MESSAGE_feed_image_ready, &ready)); /* its thumbnail must go */
    turn_until(&actor, "select count(*) from object_deletions", "0");
    assert_int_equal(storage.count, 2);
    assert_true(strstr(storage.objects[0], image_id) != NULL && strstr(storage.objects[1], image_id) != NULL);
    done(created);
    close_actor(&actor);
}

static void refuses_who_and_what_it_must(void **state) {
    struct actor actor;
    struct feed_create_request create = {.caption = TEXT("x")};
    struct feed_get_request get = {.id = 1}, huge = {.id = INT64_MAX};
    struct feed_update_request update = {.id = INT64_MAX, .caption = TEXT("x")};
    struct feed_delete_request delete = {.id = (uint64_t)INT32_MAX + 1};
    struct feed_sign_request sign = {.image_id = TEXT("x")};
    struct feed_image_request image = {.image_id = TEXT("x"), .sequencer = TEXT("not hexadecimal")};
    (void)state;
    begin_test(&actor);
    assert_int_equal(error_of(&actor, MESSAGE_feed_create, nobody, &create), ERROR_unauthorized);
    assert_int_equal(error_of(&actor, MESSAGE_feed_get, nobody, &get), ERROR_unauthorized);
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, nobody, &update), ERROR_unauthorized);
    assert_int_equal(error_of(&actor, MESSAGE_feed_delete, nobody, &delete), ERROR_unauthorized);
    assert_int_equal(error_of(&actor, MESSAGE_feed_sign, nobody, &sign), ERROR_unauthorized);
    assert_int_equal(error_of(&actor, MESSAGE_feed_get, ann, &get), ERROR_item_not_found);
    assert_int_equal(error_of(&actor, MESSAGE_feed_get, ann, &huge), ERROR_item_not_found);
    assert_int_equal(error_of(&actor, MESSAGE_feed_thumbnail, nobody, &huge), ERROR_item_not_found);
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, ann, &update), ERROR_item_not_editable);
    assert_int_equal(error_of(&actor, MESSAGE_feed_delete, ann, &delete), ERROR_item_not_editable);
    assert_int_equal(error_of(&actor, MESSAGE_feed_image_status, nobody, &image), ERROR_malformed_message);
    assert_value("select count(*) from feeditems", "0");
    close_actor(&actor);
}

/* 250 items, ten on each time stamp, so that page borders fall between equal ones. */
#define MANY_ITEMS                                                                                                           \
    "insert into feeditems (created_by, image_id, caption, created_at, updated_at, state) "                                  \
    "select 'bob@example.org', 'image' || n, 'item ' || n, '2026-01-01', timestamp '2026-01-01' + n / 10 * interval '1 s', " \
    "case n % 5 when 0 then 'pending' when 1 then 'rejected' else 'ready' end from generate_series(0, 249) n"

static void pages_hold_each_item_once(void **state) {
    struct actor actor;
    struct feed_list_request request = {.limit = 7};
    char cursor[LIMIT_CURSOR_BYTES + 1];
    unsigned count = 0, pages = 0;
    uint64_t last_id = 0;
    int64_t last_us = INT64_MAX;
    (void)state;
    begin_test(&actor);
    postgres_run(database, MANY_ITEMS);
    for (bool more = true; more; pages++) {
        struct answer *answer = one(&actor, MESSAGE_feed_list, nobody, &request);
        const struct feed_page *page = &answer->reply.page;
        assert_int_equal(answer->error, OK);
        for (size_t i = 0; i < page->items_count; i++, count++) {
            const struct feed_item *item = &page->items[i];
            assert_true(item->updated_at < last_us || (item->updated_at == last_us && item->id < last_id));
            last_us = item->updated_at;
            last_id = item->id;
        }
        more = page->next_cursor.data != NULL;
        assert_int_equal(page->items_count, more ? 7 : 250 % 7);
        if (more)
            assert_true(text_copy(page->next_cursor, cursor, sizeof cursor));
        if (pages == 3) { /* the item at the border goes: the cursor needs no row */
            char sql[80];
            (void)snprintf(sql, sizeof sql, "delete from feeditems where id = %llu", (unsigned long long)last_id);
            postgres_run(database, sql);
        }
        request.cursor = text_from(cursor);
        done(answer);
    }
    assert_int_equal(count, 250);
    cursor[3] = cursor[3] == 'A' ? 'B' : 'A';
    assert_int_equal(error_of(&actor, MESSAGE_feed_list, nobody, &request), ERROR_cursor_malformed);
    close_actor(&actor);
}

static size_t page_size(struct actor *actor, struct feed_list_request request) {
    struct answer *answer = one(actor, MESSAGE_feed_thumbnails, ann, &request);
    size_t count = answer->reply.page.items_count;
    assert_int_equal(answer->error, OK);
    done(answer);
    return count;
}

static void pages_are_bounded_and_filtered(void **state) {
    struct actor actor;
    int64_t first_us = INT64_C(1767225600) * US_PER_S; /* 2026-01-01 */
    (void)state;
    begin_test(&actor);
    postgres_run(database, MANY_ITEMS);
    assert_int_equal(page_size(&actor, (struct feed_list_request){0}), DEFAULT_PAGE_ITEMS);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.limit = 1}), 1);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.limit = 100}), 100);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.limit = INT64_MAX}), LIMIT_PAGE_ITEMS);
    /* Strictly older: none of that very time. */
    assert_int_equal(page_size(&actor, (struct feed_list_request){.before = first_us + US_PER_S}), 10);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.before = first_us + US_PER_S + 1}), 20);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.before = first_us}), 0);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.before = INT64_MIN}), 0);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.before = INT64_MAX - 1}), 20);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.limit = 100, .state = FILTER_PENDING}), 50);
    assert_int_equal(page_size(&actor, (struct feed_list_request){.limit = 100, .state = FILTER_READY}), 100);
    assert_int_equal(
        page_size(&actor, (struct feed_list_request){.limit = 100, .state = FILTER_READY, .before = first_us + 9 * US_PER_S}),
        54);
    close_actor(&actor);
}

/* Many readers in one turn, of whom some own items: one query for each page wanted, and everybody sees it as their own. */
static void readers_share_a_query(void **state) {
    struct actor actor;
    struct feed_list_request request = {.limit = 10}, other = {.limit = 11};
    struct feed_get_request get = {.id = 3}, missing = {.id = 9999};
    struct answer *answers[60];
    (void)state;
    begin_test(&actor);
    postgres_run(database, MANY_ITEMS);
    postgres_run(database, "update feeditems set created_by = 'ann@example.org' where id % 2 = 0");
    settle(&actor);
    for (size_t i = 0; i < 30; i++)
        answers[i] = ask(&actor, MESSAGE_feed_list, i % 3 == 0 ? nobody : i % 3 == 1 ? ann : bob, i < 27 ? &request : &other);
    for (size_t i = 30; i < 60; i++)
        answers[i] = ask(&actor, MESSAGE_feed_get, i % 2 == 0 ? ann : bob, i < 50 ? &get : &missing);
    struct feed *feed = actor.application;
    assert_int_equal(pg_load(feed->pg), 0); /* nothing begins before all of the turn are there */
    turn(&actor, 0);
    assert_int_equal(pg_load(feed->pg), 3);
    run(&actor);
    for (size_t i = 0; i < 30; i++) {
        const struct feed_page *page = &answers[i]->reply.page;
        assert_int_equal(answers[i]->error, OK);
        assert_int_equal(page->items_count, i < 27 ? 10 : 11);
        for (size_t k = 0; k < page->items_count; k++)
            assert_int_equal(page->items[k].editable, i % 3 == 0 ? false : (page->items[k].id % 2 == 0) == (i % 3 == 1));
    }
    for (size_t i = 30; i < 60; i++) {
        assert_int_equal(answers[i]->error, i < 50 ? OK : ERROR_item_not_found);
        assert_int_equal(answers[i]->reply.item.editable, i < 50 && i % 2 == 1);
    }
    for (size_t i = 0; i < 60; i++)
        done(answers[i]);
    close_actor(&actor);
}

/*
 * A page's query is answered by the server, and its answer is on the way; then an item is posted, and then somebody asks
 * for the same page. The answer on the way is older than this request, so it must not be used for it.
 */
static void no_read_is_older_than_its_request(void **state) {
    struct actor actor;
    struct feed_list_request request = {0};
    struct feed_get_request get = {.id = 1};
    unsigned crossed = 0;
    (void)state;
    begin_test(&actor);
    postgres_run(database, "insert into feeditems (created_by, image_id, caption) values ('x', 'y', 'before')");
    settle(&actor);
    for (unsigned i = 0; i < 20; i++) {
        char sql[120], answered_by_server[8] = "";
        struct answer *page_before = ask(&actor, MESSAGE_feed_list, nobody, &request);
        struct answer *item_before = ask(&actor, MESSAGE_feed_get, ann, &get);
        turn(&actor, 0);
        struct feed *feed = actor.application;
        assert_int_equal(pg_load(feed->pg), 2);
        while (strcmp(answered_by_server, "0") != 0) /* both sessions are idle again */
            postgres_value(database,
                           "select count(*) from pg_stat_activity where application_name = 'pixbus-feed' "
                           "and datname = current_database() and (state <> 'idle' or query_start < now() - interval '1 hour')",
                           answered_by_server, sizeof answered_by_server);
        (void)snprintf(sql, sizeof sql,
                       "insert into feeditems (created_by, image_id) values ('x', 'y'); "
                       "update feeditems set caption = 'after %u' where id = 1",
                       i);
        postgres_run(database, sql);
        struct answer *page_after = ask(&actor, MESSAGE_feed_list, nobody, &request);
        struct answer *item_after = ask(&actor, MESSAGE_feed_get, ann, &get);
        run(&actor);
        (void)snprintf(sql, sizeof sql, "after %u", i);
        assert_int_equal(page_after->reply.page.items_count, i + 2 < 20 ? i + 2 : 20);
        assert_true(page_after->reply.page.items[0].id == i + 2);
        assert_true(text_equal(item_after->reply.item.caption, text_from(sql)));
        /* On a busy machine the server may have seemed idle before it had the query: then nothing crossed in this round. */
        crossed += page_before->reply.page.items[0].id == i + 1 && !text_equal(item_before->reply.item.caption, text_from(sql));
        done(page_before);
        done(page_after);
        done(item_before);
        done(item_after);
    }
    assert_true(crossed > 0);
    close_actor(&actor);
}

static void events_come_in_any_order(void **state) {
    struct actor actor;
    struct feed_image_request status = {.image_id = TEXT("picture"), .sequencer = TEXT("0055AED6")};
    struct feed_image_ready_request ready = {
        .image_id = TEXT("picture"), .sequencer = TEXT("0055AED600"), .width = 10, .height = 20};
    struct feed_image_rejected_request rejected = {
        .image_id = TEXT("picture"), .sequencer = TEXT("0055AED5"), .reason = TEXT("no image")};
    (void)state;
    begin_test(&actor);
    assert_false(wanted(&actor, MESSAGE_feed_image_status, &status)); /* nobody's */
    assert_false(wanted(&actor, MESSAGE_feed_image_rejected, &rejected));
    postgres_run(database, "insert into feeditems (created_by, image_id) values ('ann@example.org', 'picture')");
    assert_true(wanted(&actor, MESSAGE_feed_image_status, &status));
    assert_true(wanted(&actor, MESSAGE_feed_image_ready, &ready));
    assert_true(wanted(&actor, MESSAGE_feed_image_ready, &ready)); /* once more */
    assert_true(wanted(&actor, MESSAGE_feed_image_status, &status));
    assert_value("select state || width || 'x' || height from feeditems", "ready10x20");
    /* Older: not worth work, and without effect when it comes nevertheless. */
    status.sequencer = TEXT("0055aed5ffff");
    assert_false(wanted(&actor, MESSAGE_feed_image_status, &status));
    assert_true(wanted(&actor, MESSAGE_feed_image_rejected, &rejected));
    assert_value("select state || width || 'x' || height from feeditems", "ready10x20");
    /* Newer, in another case and length. */
    rejected.sequencer = TEXT("0055aed6000001");
    assert_true(wanted(&actor, MESSAGE_feed_image_rejected, &rejected));
    assert_value("select state || reject_reason || coalesce(width::text, '-') from feeditems", "rejectedno image-");
    assert_true(wanted(&actor, MESSAGE_feed_image_ready, &ready));
    assert_value("select state from feeditems", "rejected");
    /* Without a sequencer nothing can be said of the order. */
    ready.sequencer = (struct text){0};
    assert_true(wanted(&actor, MESSAGE_feed_image_ready, &ready));
    assert_value("select state || sequencer || coalesce(reject_reason, '-') from feeditems", "ready0055aed6000001-");
    close_actor(&actor);
}

static void adopted_items_are_shown(void **state) {
    struct actor actor;
    struct feed_get_request get = {.id = 1};
    struct bus_caller variant = {3, TEXT("BOB@example.org")};
    struct feed_update_request update = {.id = 2, .caption = TEXT("mine")};
    struct feed_create_request create = {.caption = TEXT("x")};
    (void)state;
    begin_test(&actor);
    postgres_run(database, "insert into users (email) values ('bob@example.org'); "
                           "insert into users (email, case_variant) values ('BOB@example.org', true);"
                           "insert into feeditems (created_by, image_id, caption, state) values "
                           "('ann@example.org', 'a b', repeat('\xc3\xa4', 20000), 'ready');"
                           "insert into feeditems (created_by, image_id, caption, state, owner_exact) values "
                           "('bob@example.org', 'i', null, 'ready', true)");
    struct answer *answer = one(&actor, MESSAGE_feed_get, ann, &get);
    assert_int_equal(answer->reply.item.caption.size, LIMIT_CAPTION_BYTES);
    assert_true(answer->reply.item.editable);
    done(answer);
    /* Two accounts whose addresses differ in case: each has its own items. */
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, variant, &update), ERROR_item_not_editable);
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, bob, &update), OK);
    answer = one(&actor, MESSAGE_feed_create, variant, &create);
    update.id = answer->reply.item.id;
    done(answer);
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, bob, &update), ERROR_item_not_editable);
    assert_int_equal(error_of(&actor, MESSAGE_feed_update, variant, &update), OK);
    close_actor(&actor);
}

static void deletions_are_repeated_until_done(void **state) {
    struct actor actor;
    (void)state;
    begin_test(&actor);
    storage.refuse = 3;
    postgres_run(database,
                 "insert into object_deletions (bucket, object_key) select 'media', 'k' || n from generate_series(1, 40) n");
    struct feed *feed = actor.application;
    outbox_wake(feed->outbox);
    turn_until(&actor, "select count(*) from object_deletions", "3");
    turn_until(&actor,
               "select count(*) from object_deletions where last_error = 'SlowDown' and attempts = 1 and due_at > created_at",
               "3");
    assert_int_equal(storage.count, 37);
    postgres_run(database, "update object_deletions set due_at = created_at");
    outbox_wake(feed->outbox);
    turn_until(&actor, "select count(*) from object_deletions", "0");
    assert_int_equal(storage.count, 40);
    close_actor(&actor);
}

/* A plan that was made while the table was empty must not claim everything at once. */
static void a_claim_is_bounded(void **state) {
    struct actor actor;
    (void)state;
    begin_test(&actor);
    close_actor(&actor);
    postgres_run(database, "vacuum analyze object_deletions");
    open_actor(&actor);
    struct outbox *outbox = ((struct feed *)actor.application)->outbox;
    turn_until(&actor, "select count(*) from pg_stat_activity where application_name = 'pixbus-feed' and state = 'idle'", "2");
    outbox_wake(outbox); /* from now on the same session claims, with the plan that it makes here */
    turn(&actor, US_PER_MS);
    settle(&actor);
    postgres_run(database,
                 "insert into object_deletions (bucket, object_key) select 'media', 'k' || n from generate_series(1, 100) n");
    outbox_wake(outbox);
    turn_until(&actor, "select count(*) from object_deletions", "0");
    assert_int_equal(storage.count, 100);
    close_actor(&actor);
}

/* Two instances at one table: each object is deleted once. */
static void instances_share_the_deletions(void **state) {
    struct actor first, second;
    (void)state;
    begin_test(&first);
    postgres_run(database,
                 "insert into object_deletions (bucket, object_key) select 'media', 'k' || n from generate_series(1, 100) n");
    open_actor(&second);
    storage.loop = first.loop; /* either loop may run the storage's answers */
    char left[16] = "";
    while (strcmp(left, "0") != 0) {
        outbox_wake(((struct feed *)first.application)->outbox);
        outbox_wake(((struct feed *)second.application)->outbox);
        turn(&first, US_PER_MS);
        turn(&second, US_PER_MS);
        postgres_value(database, "select count(*) from object_deletions", left, sizeof left);
    }
    assert_int_equal(storage.count, 100);
    close_actor(&second);
    close_actor(&first);
}

static void database_away(void **state) {
    struct actor actor;
    struct feed_list_request list = {0};
    struct feed_get_request get = {.id = 1};
    struct feed_create_request create = {.caption = TEXT("x")};
    struct answer *answers[3];
    (void)state;
    begin_test(&actor);
    assert_int_equal(error_of(&actor, MESSAGE_feed_list, nobody, &list), OK);
    for (unsigned round = 0; round < 2; round++) {
        if (round == 0)
            postgres_signal_all(&postgres, SIGSTOP);
        else
            postgres_stop(&postgres, SIGQUIT);
        for (unsigned i = 0; i < 3; i++) {
            answers[0] = ask(&actor, MESSAGE_feed_list, nobody, &list);
            answers[1] = ask(&actor, MESSAGE_feed_thumbnail, nobody, &get);
            answers[2] = ask(&actor, MESSAGE_feed_create, ann, &create);
            run(&actor);
            for (size_t k = 0; k < 3; k++) {
                assert_int_equal(answers[k]->error, ERROR_database_unavailable);
                assert_true(answers[k]->after_us < 1500 * US_PER_MS);
                done(answers[k]);
            }
        }
        if (round == 0)
            postgres_signal_all(&postgres, SIGCONT);
        else
            postgres_start(&postgres);
        while (!pg_available(((struct feed *)actor.application)->pg))
            turn(&actor, US_PER_MS);
        assert_int_equal(error_of(&actor, MESSAGE_feed_list, nobody, &list), OK);
    }
    close_actor(&actor);
}

/* The program ends with asks in hand: each is answered. */
static void closes_with_asks(void **state) {
    struct actor actor;
    struct feed_list_request list = {0};
    struct feed_get_request get = {.id = 1};
    struct answer *answers[6];
    (void)state;
    begin_test(&actor);
    for (size_t i = 0; i < 6; i++) {
        answers[i] = i % 2 == 0 ? ask(&actor, MESSAGE_feed_list, nobody, &list)
                                : ask(&actor, MESSAGE_feed_thumbnail, nobody, &get);
        if (i == 2)
            turn(&actor, 0);
    }
    feed_actor.close(actor.application);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(answers[i]->times, 1);
        done(answers[i]);
    }
    loop_free(actor.loop);
}

static int set_up(void **state) {
    struct buffer problem = {0};
    struct migrate_options options = {.connection = database};
    (void)state;
    log_open("test", LOG_LEVEL_ERROR);
    postgres_create(&postgres);
    postgres_database(&postgres, "feed", database);
    return migrate_run(&options, &problem) == MIGRATE_DONE ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    postgres_destroy(&postgres);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_lives),
        cmocka_unit_test(refuses_who_and_what_it_must),
        cmocka_unit_test(pages_hold_each_item_once),
        cmocka_unit_test(pages_are_bounded_and_filtered),
        cmocka_unit_test(readers_share_a_query),
        cmocka_unit_test(no_read_is_older_than_its_request),
        cmocka_unit_test(events_come_in_any_order),
        cmocka_unit_test(adopted_items_are_shown),
        cmocka_unit_test(deletions_are_repeated_until_done),
        cmocka_unit_test(a_claim_is_bounded),
        cmocka_unit_test(instances_share_the_deletions),
        cmocka_unit_test(database_away),
        cmocka_unit_test(closes_with_asks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
