/* The broker's core alone: frames in, frames out, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/broker/core.h"
#include "bus/wire.h"

#define HEARTBEAT_US 100000
#define ITEMS_MAX 512

/* One peer's inbox: what the core sent to it, item by item. */
struct inbox {
    char id[WIRE_ID_BYTES];
    struct wire_item items[ITEMS_MAX];
    char *frames[ITEMS_MAX];
    size_t count, frame_count;
    bool unreachable, blocked;
};

struct world {
    struct broker_core *core;
    int64_t now_us;
    struct inbox peers[8];
    size_t peer_count;
};

static struct text id_of(const struct inbox *peer) {
    return (struct text){peer->id, WIRE_ID_BYTES};
}

static void deliver(struct world *world, struct text id, struct text frame) {
    for (size_t i = 0; i < world->peer_count; i++) {
        struct inbox *peer = &world->peers[i];
        if (!text_equal(id, id_of(peer)))
            continue;
        char *copy = peer->frames[peer->frame_count++] = malloc(frame.size);
        memcpy(copy, frame.data, frame.size);
        struct msgpack_reader reader = msgpack_reader((struct text){copy, frame.size});
        while (wire_read(&reader, &peer->items[peer->count]))
            assert_true(++peer->count < ITEMS_MAX);
        assert_false(reader.failed);
    }
}

static struct inbox *find(struct world *world, struct text id) {
    for (size_t i = 0; i < world->peer_count; i++)
        if (text_equal(id, id_of(&world->peers[i])))
            return &world->peers[i];
    fail_msg("output for a peer that nobody knows");
    return NULL;
}

static void flush(struct world *world) {
    struct text id, frame;
    while (broker_core_output(world->core, &id, &frame)) {
        struct inbox *peer = find(world, id);
        if (peer->unreachable) {
            broker_core_unreachable(world->core, world->now_us);
        } else if (peer->blocked) {
            broker_core_blocked(world->core, world->now_us);
        } else {
            deliver(world, id, frame);
            broker_core_sent(world->core);
        }
    }
}

static void say(struct world *world, struct inbox *peer, enum wire_verb verb, const void *header, struct text body) {
    struct buffer frame = {0};
    wire_write(&frame, verb, header, body);
    assert_true(buffer_ok(&frame));
    broker_core_receive(world->core, id_of(peer), buffer_text(&frame), world->now_us);
    buffer_free(&frame);
    flush(world);
}

static void advance(struct world *world, int64_t us) {
    world->now_us += us;
    broker_core_tick(world->core, world->now_us);
    flush(world);
}

static struct inbox *join(struct world *world, const char *service, unsigned credit) {
    struct inbox *peer = &world->peers[world->peer_count++];
    memset(peer->id, (int)world->peer_count, WIRE_ID_BYTES);
    struct wire_hello hello = {.version_min = 1,
                               .version_max = 1,
                               .instance = text_from("test"),
                               .service = text_from(service),
                               .credit = credit,
                               .heartbeat_us = HEARTBEAT_US};
    say(world, peer, WIRE_HELLO, &hello, (struct text){0});
    return peer;
}

static void send_ask(struct world *world, struct inbox *client, uint64_t id, const char *service, int64_t remaining_us,
                     unsigned lane) {
    struct wire_ask ask = {.id = id,
                           .service = text_from(service),
                           .message = 200,
                           .lane = lane,
                           .attempt = 1,
                           .remaining_us = (uint64_t)remaining_us};
    say(world, client, WIRE_ASK, &ask, TEXT("body"));
}

static void send_reply(struct world *world, struct inbox *instance, uint64_t id) {
    struct wire_reply reply = {.id = id, .service_us = 5};
    say(world, instance, WIRE_REPLY, &reply, TEXT("result"));
}

/* The last item of this verb, or NULL. */
static struct wire_item *last(struct inbox *peer, enum wire_verb verb) {
    for (size_t i = peer->count; i > 0; i--)
        if (peer->items[i - 1].verb == (unsigned)verb)
            return &peer->items[i - 1];
    return NULL;
}

static size_t count_of(const struct inbox *peer, enum wire_verb verb) {
    size_t count = 0;
    for (size_t i = 0; i < peer->count; i++)
        count += peer->items[i].verb == (unsigned)verb;
    return count;
}

/* Everybody but the silent one is heard of; turns go on unless stuck. */
static void beat(struct world *world, struct inbox *peer, uint64_t turns) {
    char hex[2 * WIRE_ID_BYTES + 1];
    hex_encode((const uint8_t *)peer->id, WIRE_ID_BYTES, hex);
    struct wire_heartbeat heartbeat = {.peer = text_from(hex), .turns = turns};
    say(world, peer, WIRE_HEARTBEAT, &heartbeat, (struct text){0});
}

/* The counts of a service, which must add up whatever happened. */
static struct bus_service stats(struct world *world, struct inbox *client, const char *service) {
    struct wire_ask ask = {.id = 1000000 + (uint64_t)client->count,
                           .service = text_from("bus"),
                           .message = MESSAGE_bus_services,
                           .attempt = 1,
                           .remaining_us = 1000};
    struct bus_services_reply reply;
    struct bus_service found = {0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    say(world, client, WIRE_ASK, &ask, (struct text){0});
    struct wire_item *item = last(client, WIRE_REPLY);
    assert_int_equal(proto_decode(&proto_record_bus_services_reply, item->body, &arena, &reply, NULL), OK);
    for (size_t i = 0; i < reply.services_count; i++)
        if (text_equal(reply.services[i].name, text_from(service)))
            found = reply.services[i];
    arena_free(&arena);
    assert_int_equal(found.asked, found.replied + found.busy + found.unavailable + found.expired_queued +
                                      found.expired_in_flight + found.cancelled + found.lost + found.queued + found.in_flight);
    return found;
}

static int begin(void **state) {
    struct world *world = calloc(1, sizeof *world);
    struct broker_options options = {.id = "broker", .heartbeat_us = HEARTBEAT_US, .queue_messages = 4};
    world->now_us = 1000000;
    world->core = broker_core_new(&options, world->now_us);
    *state = world;
    return world->core == NULL;
}

static int end(void **state) {
    struct world *world = *state;
    for (size_t i = 0; i < world->peer_count; i++)
        for (size_t k = 0; k < world->peers[i].frame_count; k++)
            free(world->peers[i].frames[k]);
    broker_core_free(world->core);
    free(world);
    return 0;
}

static void test_ask_and_reply(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1);
    assert_non_null(last(client, WIRE_WELCOME));
    send_ask(world, client, 7, "feed", 50000, 1);
    struct wire_item *ask = last(feed, WIRE_ASK);
    assert_non_null(ask);
    assert_true(text_equal(ask->body, TEXT("body")));
    assert_int_equal(ask->ask.remaining_us, 50000);
    world->now_us += 1000;
    send_reply(world, feed, ask->ask.id);
    struct wire_item *reply = last(client, WIRE_REPLY);
    assert_int_equal(reply->reply.id, 7);
    assert_int_equal(reply->reply.error, OK);
    assert_true(text_equal(reply->body, TEXT("result")));
    assert_int_equal(stats(world, client, "feed").replied, 1);
}

static void test_unknown_service(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0);
    send_ask(world, client, 1, "nobody", 50000, 1);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_unavailable);
}

static void test_credit_is_never_exceeded(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 2);
    for (uint64_t id = 1; id <= 5; id++)
        send_ask(world, client, id, "feed", 50000, 1);
    assert_int_equal(count_of(feed, WIRE_ASK), 2);
    assert_int_equal(stats(world, client, "feed").queued, 3);
    send_reply(world, feed, last(feed, WIRE_ASK)->ask.id);
    assert_int_equal(count_of(feed, WIRE_ASK), 3);
}

static void test_full_queue_is_busy_at_once(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0);
    (void)join(world, "feed", 1);
    for (uint64_t id = 1; id <= 6; id++)
        send_ask(world, client, id, "feed", 50000, 1);
    assert_int_equal(last(client, WIRE_REPLY)->reply.id, 6);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_busy);
    assert_int_equal(stats(world, client, "feed").busy, 1);
}

static void test_lanes_go_first(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1);
    send_ask(world, client, 1, "feed", 50000, 1);
    uint64_t first = last(feed, WIRE_ASK)->ask.id;
    send_ask(world, client, 2, "feed", 50000, 2);
    send_ask(world, client, 3, "feed", 50000, 1);
    send_reply(world, feed, first);
    assert_int_equal(last(feed, WIRE_ASK)->ask.lane, 1);
}

static void test_deadline_in_queue_and_in_flight(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1);
    send_ask(world, client, 1, "feed", 20000, 1);
    send_ask(world, client, 2, "feed", 10000, 1);
    advance(world, 10000);
    assert_int_equal(last(client, WIRE_REPLY)->reply.id, 2);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_timeout);
    advance(world, 10000);
    assert_int_equal(last(client, WIRE_REPLY)->reply.id, 1);
    assert_non_null(last(feed, WIRE_CANCEL));
    /* The late reply finds nobody, but gives the credit back. */
    size_t replies = count_of(client, WIRE_REPLY);
    send_reply(world, feed, last(feed, WIRE_ASK)->ask.id);
    assert_int_equal(count_of(client, WIRE_REPLY), replies);
    send_ask(world, client, 3, "feed", 20000, 1);
    assert_int_equal(count_of(feed, WIRE_ASK), 2);
    struct bus_service counts = stats(world, client, "feed");
    assert_int_equal(counts.expired_queued, 1);
    assert_int_equal(counts.expired_in_flight, 1);
}

static void test_cancel(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1);
    send_ask(world, client, 1, "feed", 50000, 1);
    send_ask(world, client, 2, "feed", 50000, 1);
    struct wire_cancel cancel = {.id = 2};
    say(world, client, WIRE_CANCEL, &cancel, (struct text){0});
    assert_null(last(feed, WIRE_CANCEL)); /* it never reached the instance */
    cancel.id = 1;
    say(world, client, WIRE_CANCEL, &cancel, (struct text){0});
    assert_int_equal(last(feed, WIRE_CANCEL)->cancel.id, last(feed, WIRE_ASK)->ask.id);
    assert_int_equal(stats(world, client, "feed").cancelled, 2);
}

static void test_unreachable_instance_fails_its_work_at_once(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 4);
    send_ask(world, client, 1, "feed", 50000, 1);
    feed->unreachable = true;
    broker_core_probe(world->core);
    flush(world);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_instance_lost);
    send_ask(world, client, 2, "feed", 50000, 1);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_unavailable);
    assert_int_equal(stats(world, client, "feed").lost, 1);
}

static void test_silent_instance_is_dead_and_told_so(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 4);
    send_ask(world, client, 1, "feed", 50000000, 1);
    for (uint64_t turn = 1; turn <= 4; turn++) {
        beat(world, client, turn);
        advance(world, HEARTBEAT_US);
    }
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_instance_lost);
    assert_non_null(last(feed, WIRE_STRANGER)); /* what it was sent is void */
}

static void test_wedged_instance_gets_no_new_work(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 4);
    for (uint64_t turn = 1; turn <= 8; turn++) {
        beat(world, client, turn);
        beat(world, feed, 42); /* its thread lives, its loop stands */
        advance(world, HEARTBEAT_US / 2);
    }
    send_ask(world, client, 1, "feed", 50000000, 1);
    assert_null(last(feed, WIRE_ASK));
    assert_int_equal(stats(world, client, "feed").instances, 0);
    beat(world, feed, 43);
    assert_non_null(last(feed, WIRE_ASK));
}

static void test_lost_client_cancels_its_asks(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1), *other = join(world, NULL, 0);
    send_ask(world, client, 1, "feed", 50000, 1);
    send_ask(world, client, 2, "feed", 50000, 1);
    client->unreachable = true;
    broker_core_probe(world->core);
    flush(world);
    assert_non_null(last(feed, WIRE_CANCEL));
    struct bus_service counts = stats(world, other, "feed");
    assert_int_equal(counts.cancelled, 2);
    assert_int_equal(counts.queued + counts.in_flight, 0);
}

static void test_drain_of_an_instance(void **state) {
    struct world *world = *state;
    static const struct wire_empty nothing;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 2), *second = join(world, "feed", 2);
    send_ask(world, client, 1, "feed", 50000, 1);
    say(world, feed, WIRE_DRAIN, &nothing, (struct text){0});
    assert_non_null(last(feed, WIRE_DRAINED));
    size_t before = count_of(feed, WIRE_ASK);
    send_ask(world, client, 2, "feed", 50000, 1);
    send_ask(world, client, 3, "feed", 50000, 1);
    assert_int_equal(count_of(feed, WIRE_ASK), before);
    if (before == 1)
        send_reply(world, feed, last(feed, WIRE_ASK)->ask.id);
    say(world, feed, WIRE_LEAVE, &nothing, (struct text){0});
    assert_int_equal(stats(world, client, "feed").lost, 0);
    assert_true(count_of(second, WIRE_ASK) >= 2);
}

static void test_drain_of_the_broker(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 2);
    send_ask(world, client, 1, "feed", 50000, 1);
    broker_core_drain(world->core);
    send_ask(world, client, 2, "feed", 50000, 1);
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_draining);
    assert_false(broker_core_is_idle(world->core));
    send_reply(world, feed, last(feed, WIRE_ASK)->ask.id);
    assert_true(broker_core_is_idle(world->core));
}

static void test_hello_again_voids_what_was(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 1);
    send_ask(world, client, 1, "feed", 50000, 1);
    struct wire_hello hello = {.version_min = 1,
                               .version_max = 1,
                               .instance = TEXT("again"),
                               .service = TEXT("feed"),
                               .credit = 1,
                               .heartbeat_us = HEARTBEAT_US};
    say(world, feed, WIRE_HELLO, &hello, (struct text){0});
    assert_int_equal(last(client, WIRE_REPLY)->reply.error, ERROR_instance_lost);
    send_ask(world, client, 2, "feed", 50000, 1);
    assert_int_equal(count_of(feed, WIRE_ASK), 2);
}

static void test_strangers_and_garbage(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0);
    struct inbox *stranger = &world->peers[world->peer_count++];
    memset(stranger->id, 99, WIRE_ID_BYTES);
    send_ask(world, stranger, 1, "feed", 50000, 1);
    assert_non_null(last(stranger, WIRE_STRANGER));
    assert_null(last(stranger, WIRE_REPLY));
    broker_core_receive(world->core, id_of(client), TEXT("\xdd\xff\xff\xff\xff garbage"), world->now_us);
    broker_core_receive(world->core, TEXT("short id"), TEXT("\x90"), world->now_us);
    flush(world);
    struct wire_hello hello = {
        .version_min = 2, .version_max = 9, .instance = TEXT("late"), .credit = 0, .heartbeat_us = HEARTBEAT_US};
    say(world, stranger, WIRE_HELLO, &hello, (struct text){0});
    assert_non_null(last(stranger, WIRE_REFUSED));
}

static void test_blocked_peer_is_tried_again(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *feed = join(world, "feed", 2);
    feed->blocked = true;
    send_ask(world, client, 1, "feed", 500000, 1);
    assert_null(last(feed, WIRE_ASK));
    feed->blocked = false;
    assert_true(broker_core_due_us(world->core) <= world->now_us + 10000);
    advance(world, 10000);
    assert_non_null(last(feed, WIRE_ASK));
}

static void test_work_is_spread(void **state) {
    struct world *world = *state;
    struct inbox *client = join(world, NULL, 0), *one = join(world, "feed", 8), *two = join(world, "feed", 8);
    for (uint64_t id = 1; id <= 8; id++)
        send_ask(world, client, id, "feed", 50000, 1);
    assert_int_equal(count_of(one, WIRE_ASK), 4);
    assert_int_equal(count_of(two, WIRE_ASK), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_and_reply, begin, end),
        cmocka_unit_test_setup_teardown(test_unknown_service, begin, end),
        cmocka_unit_test_setup_teardown(test_credit_is_never_exceeded, begin, end),
        cmocka_unit_test_setup_teardown(test_full_queue_is_busy_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_lanes_go_first, begin, end),
        cmocka_unit_test_setup_teardown(test_deadline_in_queue_and_in_flight, begin, end),
        cmocka_unit_test_setup_teardown(test_cancel, begin, end),
        cmocka_unit_test_setup_teardown(test_unreachable_instance_fails_its_work_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_silent_instance_is_dead_and_told_so, begin, end),
        cmocka_unit_test_setup_teardown(test_wedged_instance_gets_no_new_work, begin, end),
        cmocka_unit_test_setup_teardown(test_lost_client_cancels_its_asks, begin, end),
        cmocka_unit_test_setup_teardown(test_drain_of_an_instance, begin, end),
        cmocka_unit_test_setup_teardown(test_drain_of_the_broker, begin, end),
        cmocka_unit_test_setup_teardown(test_hello_again_voids_what_was, begin, end),
        cmocka_unit_test_setup_teardown(test_strangers_and_garbage, begin, end),
        cmocka_unit_test_setup_teardown(test_blocked_peer_is_tried_again, begin, end),
        cmocka_unit_test_setup_teardown(test_work_is_spread, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
