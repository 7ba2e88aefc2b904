/*
 * The life of events in imgproc, in a world made here: the bus, the feed, the object storage and the decoder are replaced by
 * what this file defines. Everything that the actor begins waits in a list until the test lets it happen, in the order that
 * the test wants, or fail. Whatever the order and the faults, the end is the one that the world's last state asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/imgproc/imgproc.h"
#include "base/clock.h"

#define IMAGE "image/key é"
#define IMAGE_ENCODED "image/key+%C3%A9"
#define MEMORY_BYTES 1000
#define IMAGE_BYTES 100 /* of each object; two thirds of them fit the memory at a time, as one takes the limit */
#define IMAGE_BYTES_MAX 400
#define UNDER_WAY_MAX 32
#define STEPS_MAX 10000 /* more: it never ends */

/* ---- the world ---- */

struct actor {
    char name[8];
};

enum content { NOTHING, GOOD_1, GOOD_2, GOOD_3, CORRUPT, TOO_BIG };

struct world {
    enum content object, thumbnail;
    unsigned version; /* of the object: its ETag */
    bool item;
    enum item_state state;
    enum content shown; /* what the item's width tells of */
    char sequencer[16];
    char reason[LIMIT_REASON_BYTES + 1];
};

enum kind { S3_GET, S3_PUT, S3_HEAD, S3_DELETE, FEED_STATUS, FEED_READY, FEED_REJECTED, DECODE };

struct step {
    enum kind kind;
    struct s3_request s3;
    bool of_thumbnail;
    enum content content;
    char sequencer[16]; /* "": none */
    uint64_t width;
    void (*told)(void *context, enum error error, const void *reply);
    void *context;
    struct pool_job *job;
};

enum fault { NO_FAULT, FAULT_BEFORE, FAULT_AFTER }; /* it did not happen, or it did and nobody heard of it */

struct delivery {
    struct ask ask; /* first */
    bool answered;
    enum error error;
    struct imgproc_object_event_outcome outcome;
};

static struct {
    struct world world;
    struct step step[UNDER_WAY_MAX];
    unsigned count, steps;
    unsigned happened[DECODE + 1];
    bool no_room; /* the S3 client's queue and the pool's are full */
    enum fault decode_fault;
    struct actor actor;
    struct imgproc imgproc;
} stage;

static const char *const contents[] = {"", "good 1", "good 2", "good 3", "corrupt", "too big"};

static enum content content_of(struct text bytes) {
    for (unsigned i = GOOD_1; i <= TOO_BIG; i++)
        if (text_starts_with(bytes, text_from(contents[i])))
            return (enum content)i;
    fail_msg("no image of ours");
    return NOTHING;
}

static struct step *add(enum kind kind) {
    assert_true(stage.count < UNDER_WAY_MAX);
    stage.step[stage.count] = (struct step){.kind = kind};
    return &stage.step[stage.count++];
}

/* ---- what the actor calls ---- */

void ask_reply(struct ask *ask, const void *reply) {
    struct delivery *delivery = (struct delivery *)ask;
    assert_false(delivery->answered);
    assert_int_equal(proto_check(ask->message->reply, reply, NULL), OK);
    delivery->answered = true;
    delivery->error = OK;
    delivery->outcome = *(const struct imgproc_object_event_outcome *)reply;
}

void ask_fail(struct ask *ask, enum error error, const char *detail) {
    struct delivery *delivery = (struct delivery *)ask;
    assert_false(delivery->answered);
    assert_true(error != OK && detail != NULL);
    delivery->answered = true;
    delivery->error = error;
}

void actor_ask(struct actor *actor, const struct ask *cause, unsigned message, const void *request, int64_t timeout_us,
               void (*done)(void *context, enum error error, const void *reply), void *context) {
    /* The three begin alike. */
    const struct feed_image_request *image = request;
    const struct proto_message *described = proto_message_find(message);
    struct step *step = add(message == MESSAGE_feed_image_status  ? FEED_STATUS
                            : message == MESSAGE_feed_image_ready ? FEED_READY
                                                                  : FEED_REJECTED);
    assert_int_equal(proto_check(described->request, request, NULL), OK);
    assert_true(actor == &stage.actor && cause != NULL && timeout_us > 0);
    assert_true(text_equal(image->image_id, TEXT(IMAGE)));
    struct text sequencer = image->sequencer;
    if (message == MESSAGE_feed_image_ready) {
        const struct feed_image_ready_request *ready = request;
        sequencer = ready->sequencer;
        step->width = ready->width;
        assert_int_equal(ready->height, 7);
    } else if (message == MESSAGE_feed_image_rejected) {
        const struct feed_image_rejected_request *rejected = request;
        sequencer = rejected->sequencer;
        assert_true(text_copy(rejected->reason, stage.world.reason, sizeof stage.world.reason));
    }
    if (sequencer.data != NULL)
        assert_true(text_copy(sequencer, step->sequencer, sizeof step->sequencer));
    step->told = done;
    step->context = context;
}

static struct s3_operation *begin(enum kind kind, const struct s3_request *request, enum content content) {
    if (stage.no_room)
        return NULL;
    struct step *step = add(kind);
    assert_true(text_equal(request->key, TEXT(IMAGE)));
    step->of_thumbnail = text_equal(request->bucket, TEXT("thumbs"));
    assert_true(step->of_thumbnail || text_equal(request->bucket, TEXT("media")));
    assert_true(step->of_thumbnail == (kind == S3_PUT || kind == S3_DELETE)); /* never a write to the bucket of the events */
    step->s3 = *request;
    step->content = content;
    return (struct s3_operation *)&stage; /* one that nobody looks at */
}

struct s3_operation *s3_get(struct s3_client *client, const struct s3_request *request, size_t bytes_max, struct text if_match) {
    (void)client;
    assert_int_equal(bytes_max, IMAGE_BYTES_MAX);
    assert_null(if_match.data);
    return begin(S3_GET, request, NOTHING);
}

struct s3_operation *s3_put(struct s3_client *client, const struct s3_request *request, struct text body,
                            struct text content_type, struct text cache_control) {
    (void)client;
    assert_true(text_equal(content_type, TEXT("image/jpeg")) && cache_control.size > 0);
    return begin(S3_PUT, request, content_of(body));
}

struct s3_operation *s3_head(struct s3_client *client, const struct s3_request *request) {
    (void)client;
    return begin(S3_HEAD, request, NOTHING);
}

struct s3_operation *s3_delete(struct s3_client *client, const struct s3_request *request) {
    (void)client;
    return begin(S3_DELETE, request, NOTHING);
}

const char *s3_outcome_name(enum s3_outcome outcome) {
    return outcome == S3_OK ? "ok" : "trouble";
}

bool pool_submit(struct pool *pool, struct pool_job *job) {
    (void)pool;
    if (stage.no_room)
        return false;
    add(DECODE)->job = job;
    return true;
}

bool decoders_decode(struct decoders *decoders, struct text image, struct decode_result *ret_result) {
    enum content content = content_of(image);
    (void)decoders;
    *ret_result = (struct decode_result){.decoded = content != CORRUPT};
    if (stage.decode_fault != NO_FAULT)
        return false;
    if (content == CORRUPT) {
        (void)snprintf(ret_result->reason, sizeof ret_result->reason, "The image cannot be decoded.");
        return true;
    }
    ret_result->jpeg = (uint8_t *)strdup(contents[content]);
    ret_result->jpeg_bytes = strlen(contents[content]);
    ret_result->width = 10 * (uint32_t)content;
    ret_result->height = 7;
    return true;
}

/* ---- what happens ---- */

static void happen_in_feed(const struct step *step, enum fault fault) {
    struct world *world = &stage.world;
    bool newest = step->sequencer[0] == '\0' || strcmp(step->sequencer, world->sequencer) >= 0;
    struct feed_image_status status = {.wanted = world->item && (step->kind != FEED_STATUS || newest)};
    if (fault != FAULT_BEFORE && step->kind != FEED_STATUS && world->item && newest) {
        world->state = step->kind == FEED_READY ? ITEM_READY : ITEM_REJECTED;
        world->shown = (enum content)(step->width / 10);
        if (step->sequencer[0] != '\0')
            memcpy(world->sequencer, step->sequencer, sizeof world->sequencer);
    }
    step->told(step->context, fault == NO_FAULT ? OK : ERROR_unavailable, fault == NO_FAULT ? &status : NULL);
}

static void happen_in_storage(const struct step *step, enum fault fault) {
    struct world *world = &stage.world;
    enum content *object = step->of_thumbnail ? &world->thumbnail : &world->object;
    struct s3_result result = {.outcome = S3_OK};
    if (fault != FAULT_BEFORE && (step->kind == S3_PUT || step->kind == S3_DELETE))
        *object = step->content;
    if (step->kind == S3_GET || step->kind == S3_HEAD) {
        result.outcome = *object == NOTHING ? S3_MISSING : *object == TOO_BIG && step->kind == S3_GET ? S3_TOO_LARGE : S3_OK;
        (void)snprintf(result.etag, sizeof result.etag, "%u", world->version);
    }
    if (step->kind == S3_GET && result.outcome == S3_OK)
        buffer_append_text(&result.body, text_from(contents[*object]));
    if (fault != NO_FAULT)
        result.outcome = S3_UNAVAILABLE;
    step->s3.done(step->s3.context, &result);
    buffer_free(&result.body);
}

static void happen(unsigned index, enum fault fault) {
    struct step step = stage.step[index];
    assert_true(stage.steps++ < STEPS_MAX);
    stage.count--;
    memmove(stage.step + index, stage.step + index + 1, (stage.count - index) * sizeof *stage.step);
    stage.happened[step.kind]++;
    if (step.kind == DECODE) {
        stage.decode_fault = fault;
        step.job->work(step.job);
        stage.decode_fault = NO_FAULT;
        step.job->done(step.job);
    } else if (step.kind >= FEED_STATUS) {
        happen_in_feed(&step, fault);
    } else {
        happen_in_storage(&step, fault);
    }
    assert_true(stage.imgproc.memory.used_bytes <= MEMORY_BYTES);
}

/* ---- deliveries ---- */

static void deliver(struct delivery *delivery, const char *notification) {
    *delivery = (struct delivery){.ask = {.message = proto_message_find(MESSAGE_imgproc_object_event),
                                          .deadline_us = clock_monotonic_us() + 60 * US_PER_S,
                                          .actor = &stage.actor}};
    arena_init(&delivery->ask.arena, LIMIT_ARENA_BYTES);
    event_begin(&stage.imgproc, &delivery->ask, text_from(notification));
}

static enum error finish(struct delivery *delivery) {
    assert_true(delivery->answered);
    arena_free(&delivery->ask.arena);
    return delivery->error;
}

static void record(char *out, size_t size, const char *name, const char *bucket, unsigned sequencer) {
    (void)snprintf(
        out, size,
        "{\"eventVersion\":\"2.1\",\"eventSource\":\"aws:s3\",\"eventName\":\"%s\",\"s3\":{\"bucket\":{\"name\":\"%s\"},"
        "\"object\":{\"key\":\"%s\",\"size\":%d,\"sequencer\":\"%08X\"}}}",
        name, bucket, IMAGE_ENCODED, IMAGE_BYTES, sequencer);
}

static void notification(char *out, size_t size, bool created, unsigned sequencer) {
    char one[512];
    record(one, sizeof one, created ? "ObjectCreated:Put" : "ObjectRemoved:Delete", "media", sequencer);
    (void)snprintf(out, size, "{\"Records\":[%s]}", one);
}

static void stage_open(struct world world) {
    memset(&stage, 0, sizeof stage);
    stage.world = world;
    stage.imgproc = (struct imgproc){.actor = &stage.actor,
                                     .memory = {.limit_bytes = MEMORY_BYTES},
                                     .media_bucket = TEXT("media"),
                                     .thumbnails_bucket = TEXT("thumbs"),
                                     .image_bytes_max = IMAGE_BYTES_MAX};
}

static void stage_close(void) {
    assert_null(stage.imgproc.events);
    assert_int_equal(stage.count, 0);
    assert_int_equal(stage.imgproc.memory.used_bytes, 0);
    assert_null(stage.imgproc.memory.first);
}

/* Deliver and let everything happen in order; the step of number `fault_at` (from 1; 0: none) goes wrong. */
static struct delivery one(const char *text, unsigned fault_at, enum fault fault) {
    struct delivery delivery;
    deliver(&delivery, text);
    for (unsigned i = 1; stage.count > 0; i++)
        happen(0, i == fault_at ? fault : NO_FAULT);
    (void)finish(&delivery);
    return delivery;
}

static struct delivery one_event(bool created, unsigned sequencer) {
    char text[600];
    notification(text, sizeof text, created, sequencer);
    return one(text, 0, NO_FAULT);
}

static void assert_outcome(const struct delivery *delivery, uint64_t ready, uint64_t rejected, uint64_t removed,
                           uint64_t ignored) {
    assert_int_equal(delivery->error, OK);
    assert_int_equal(delivery->outcome.ready, ready);
    assert_int_equal(delivery->outcome.rejected, rejected);
    assert_int_equal(delivery->outcome.removed, removed);
    assert_int_equal(delivery->outcome.ignored, ignored);
}

/* ---- single events ---- */

static const struct world uploaded = {.object = GOOD_1, .version = 1, .item = true, .state = ITEM_PENDING};

static void test_created(void **state) {
    (void)state;
    stage_open(uploaded);
    struct delivery delivery = one_event(true, 1);
    assert_outcome(&delivery, 1, 0, 0, 0);
    assert_true(stage.world.thumbnail == GOOD_1 && stage.world.state == ITEM_READY && stage.world.shown == GOOD_1);
    delivery = one_event(true, 1); /* again: the same once more */
    assert_outcome(&delivery, 1, 0, 0, 0);
    assert_int_equal(stage.happened[DECODE], 2);
    stage.world.object = GOOD_2;
    stage.world.version = 2;
    delivery = one_event(true, 2);
    assert_outcome(&delivery, 1, 0, 0, 0);
    assert_true(stage.world.thumbnail == GOOD_2 && stage.world.shown == GOOD_2);
    stage.world.thumbnail = GOOD_1;
    delivery = one_event(true, 1); /* an older one, whose first delivery left its thumbnail: the newer object counts */
    assert_outcome(&delivery, 1, 0, 0, 0);
    assert_true(stage.world.thumbnail == GOOD_2 && stage.world.shown == GOOD_2 && strcmp(stage.world.sequencer, "00000002") == 0);
    stage_close();
}

static void test_rejected(void **state) {
    static const struct {
        enum content content;
        const char *reason;
    } cases[] = {{CORRUPT, "The image cannot be decoded."}, {TOO_BIG, "The file is too large"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        stage_open((struct world){.object = cases[i].content, .version = 2, .item = true, .thumbnail = GOOD_1});
        struct delivery delivery = one_event(true, 2);
        assert_outcome(&delivery, 0, 1, 0, 0);
        assert_true(stage.world.state == ITEM_REJECTED && stage.world.thumbnail == NOTHING);
        assert_true(text_starts_with(text_from(stage.world.reason), text_from(cases[i].reason)));
        stage_close();
    }
}

static void test_removed(void **state) {
    (void)state;
    stage_open((struct world){.thumbnail = GOOD_1});
    struct delivery delivery = one_event(false, 2);
    assert_outcome(&delivery, 0, 0, 1, 0);
    assert_int_equal(stage.world.thumbnail, NOTHING);
    delivery = one_event(false, 2);
    assert_outcome(&delivery, 0, 0, 1, 0);
    stage.world.thumbnail = GOOD_1;
    delivery = one_event(true, 1); /* late, of an item that is gone; its first delivery had left a thumbnail */
    assert_outcome(&delivery, 0, 0, 0, 1);
    assert_int_equal(stage.world.thumbnail, NOTHING);
    assert_int_equal(stage.happened[S3_GET], 0);
    stage_close();
    /* A removal that arrives after the next upload removes nothing. */
    stage_open((struct world){.object = GOOD_2, .version = 3, .thumbnail = GOOD_2, .item = true, .state = ITEM_READY});
    delivery = one_event(false, 2);
    assert_outcome(&delivery, 1, 0, 0, 0);
    assert_true(stage.world.thumbnail == GOOD_2 && stage.happened[S3_DELETE] == 0);
    stage_close();
    /* The object is gone though the item is not. */
    stage_open((struct world){.item = true, .state = ITEM_READY, .thumbnail = GOOD_1});
    delivery = one_event(true, 1);
    assert_outcome(&delivery, 0, 0, 1, 0);
    assert_int_equal(stage.world.thumbnail, NOTHING);
    stage_close();
}

static void test_item_goes_while_the_thumbnail_is_made(void **state) {
    char text[600];
    struct delivery delivery;
    (void)state;
    stage_open(uploaded);
    notification(text, sizeof text, true, 1);
    deliver(&delivery, text);
    while (stage.step[0].kind != FEED_READY)
        happen(0, NO_FAULT);
    assert_int_equal(stage.world.thumbnail, GOOD_1);
    stage.world.item = false; /* its objects are deleted later, or were deleted before the thumbnail was written */
    while (stage.count > 0)
        happen(0, NO_FAULT);
    assert_int_equal(finish(&delivery), OK);
    assert_outcome(&delivery, 0, 0, 0, 1);
    assert_int_equal(stage.world.thumbnail, NOTHING);
    stage_close();
}

static void test_many_records(void **state) {
    char records[6][512], text[4096];
    (void)state;
    stage_open(uploaded);
    record(records[0], sizeof *records, "ObjectCreated:Put", "thumbs", 1);
    record(records[1], sizeof *records, "s3:ObjectCreated:CompleteMultipartUpload", "media", 1);
    record(records[2], sizeof *records, "ObjectTagging:Put", "media", 2);
    record(records[3], sizeof *records, "ObjectCreated:Put", "someone-elses", 3);
    (void)snprintf(records[4], sizeof *records, "%s",
                   "{\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"media\"},\"object\":{\"key\":\"%ff\"}}}");
    record(records[5], sizeof *records, "ObjectRemoved:Delete", "media", 1);
    (void)snprintf(text, sizeof text, "{\"Records\":[%s,%s,%s,%s,%s,%s]}", records[0], records[1], records[2], records[3],
                   records[4], records[5]);
    struct delivery delivery = one(text, 0, NO_FAULT);
    assert_outcome(&delivery, 2, 0, 0, 4);
    /* A record that is none makes the notification malformed, before anything begins. */
    (void)snprintf(text, sizeof text, "{\"Records\":[%s,{\"eventName\":3}]}", records[1]);
    stage.steps = 0;
    assert_int_equal(one(text, 0, NO_FAULT).error, ERROR_event_malformed);
    assert_int_equal(one("{\"Records\":[", 0, NO_FAULT).error, ERROR_event_malformed);
    assert_int_equal(stage.steps, 0);
    delivery = one("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\"}", 0, NO_FAULT);
    assert_outcome(&delivery, 0, 0, 0, 0);
    /* What keeps the thumbnails beside the originals gets no events from its own work. */
    stage.imgproc.media_bucket = TEXT("thumbs");
    (void)snprintf(text, sizeof text, "{\"Records\":[%s]}", records[0]);
    delivery = one(text, 0, NO_FAULT);
    assert_outcome(&delivery, 0, 0, 0, 1);
    stage_close();
}

/* More events at once than their images fit the memory: they take turns, and an end in between leaves nothing behind. */
static void test_memory_is_shared(void **state) {
    struct delivery deliveries[16];
    char text[600];
    (void)state;
    notification(text, sizeof text, true, 1);
    for (int round = 0; round < 2; round++) {
        stage_open(uploaded);
        for (size_t i = 0; i < 16; i++)
            deliver(&deliveries[i], text);
        for (size_t i = 0; i < 16; i++)
            happen(0, NO_FAULT);
        assert_int_equal(stage.count, MEMORY_BYTES / IMAGE_BYTES);
        if (round == 1) { /* the actor closes; what is under way ends without a word */
            event_drop_all(&stage.imgproc);
            stage.count = 0;
        }
        while (stage.count > 0)
            happen(0, stage.steps % 11 == 0 ? FAULT_BEFORE : NO_FAULT);
        for (size_t i = 0; i < 16; i++) {
            assert_int_equal(deliveries[i].answered, round == 0);
            arena_free(&deliveries[i].ask.arena);
        }
        stage_close();
    }
}

static void test_no_room(void **state) {
    char text[600];
    (void)state;
    notification(text, sizeof text, true, 1);
    for (unsigned full_at = 1; full_at <= 6; full_at++) { /* get, decode, put and the last look */
        struct delivery delivery;
        stage_open(uploaded);
        deliver(&delivery, text);
        for (unsigned i = 1; stage.count > 0; i++) {
            stage.no_room = i == full_at;
            happen(0, NO_FAULT);
        }
        assert_int_equal(finish(&delivery), full_at == 4 || full_at == 6 ? OK : ERROR_busy);
        stage_close();
    }
}

/* ---- all orders, and a fault at every step ---- */

/* What happens in the world, and the event that it makes. */
struct change {
    enum content object;
    bool item_goes, objects_go, event;
};

struct history {
    const char *name;
    struct change changes[4];
    unsigned count;
};

static const struct history histories[] = {
    {"uploaded twice, deleted",
     {{.object = GOOD_1, .event = true},
      {.object = GOOD_2, .event = true},
      {.item_goes = true, .objects_go = true, .event = true}},
     3},
    {"uploaded, then nothing that can be shown, then again",
     {{.object = GOOD_1, .event = true}, {.object = CORRUPT, .event = true}, {.object = GOOD_3, .event = true}},
     3},
    {"ends with what cannot be shown",
     {{.object = CORRUPT, .event = true}, {.object = GOOD_2, .event = true}, {.object = TOO_BIG, .event = true}},
     3},
    {"the object goes, the item stays; uploaded again",
     {{.object = GOOD_1, .event = true}, {.objects_go = true, .event = true}, {.object = GOOD_2, .event = true}},
     3},
    {"the item goes first, its objects some time later",
     {{.object = GOOD_1, .event = true},
      {.object = GOOD_2, .event = true},
      {.item_goes = true},
      {.objects_go = true, .event = true}},
     4},
};
#define HISTORY_COUNT (sizeof histories / sizeof *histories)

static void change(const struct change *change) {
    struct world *world = &stage.world;
    if (change->item_goes)
        world->item = false;
    if (change->objects_go)
        world->object = world->thumbnail = NOTHING;
    if (change->object != NOTHING) {
        world->object = change->object;
        world->version++;
    }
}

static void assert_end(const char *what) {
    const struct world *world = &stage.world;
    bool good = world->object >= GOOD_1 && world->object <= GOOD_3;
    enum content expected = world->item && good ? world->object : NOTHING;
    if (world->thumbnail != expected)
        fail_msg("%s: the thumbnail is of '%s', not of '%s'", what, contents[world->thumbnail], contents[expected]);
    if (world->item && world->object != NOTHING &&
        (world->state != (good ? ITEM_READY : ITEM_REJECTED) || world->shown != expected))
        fail_msg("%s: the item tells of '%s', not of '%s'", what, contents[world->shown], contents[expected]);
}

static void event_of(const struct history *history, unsigned number, char *out, size_t size) {
    notification(out, size, history->changes[number].object != NOTHING, number + 1);
}

/*
 * One order: each digit of `order` is a change, in the order of the history, or the delivery of an event that has been.
 * A delivery that fails is repeated at the end. Returns how many steps there were.
 */
static unsigned play(const struct history *history, const unsigned *order, unsigned length, unsigned fault_at, enum fault fault) {
    char text[600];
    unsigned failed[16], failed_count = 0;
    stage_open((struct world){.item = true, .state = ITEM_PENDING});
    for (unsigned i = 0; i < length + failed_count; i++) {
        unsigned number = i < length ? order[i] : failed[i - length];
        if (number >= history->count) {
            change(&history->changes[number - history->count]);
            continue;
        }
        unsigned fault_here = fault_at > stage.steps ? fault_at - stage.steps : 0;
        event_of(history, number, text, sizeof text);
        if (one(text, fault_here, fault).error != OK) {
            assert_true(failed_count < 16);
            failed[failed_count++] = number;
        }
    }
    assert_true((failed_count > 0) == (fault_at > 0 && fault_at <= stage.steps));
    assert_end(history->name);
    stage_close();
    return stage.steps;
}

struct search {
    const struct history *history;
    unsigned order[16], length, changed, deliveries_left[4], orders, plays;
    bool faults;
};

static void search_orders(struct search *search) {
    bool extended = false;
    search->length++;
    unsigned *last = &search->order[search->length - 1];
    if (search->changed < search->history->count) {
        *last = search->history->count + search->changed++;
        search_orders(search);
        search->changed--;
        extended = true;
    }
    for (unsigned i = 0; i < search->history->count; i++) {
        extended |= search->deliveries_left[i] > 0;
        if (search->deliveries_left[i] == 0 || i >= search->changed)
            continue;
        search->deliveries_left[i]--;
        *last = i;
        search_orders(search);
        search->deliveries_left[i]++;
    }
    search->length--;
    if (extended)
        return;
    unsigned steps = play(search->history, search->order, search->length, 0, NO_FAULT);
    search->orders++;
    for (unsigned at = 1; search->faults && at <= steps; at++) {
        (void)play(search->history, search->order, search->length, at, FAULT_BEFORE);
        (void)play(search->history, search->order, search->length, at, FAULT_AFTER);
        search->plays += 2;
    }
}

/* Every event once, a fault at every step; every event twice without faults. */
static void test_every_order_comes_to_the_same_end(void **state) {
    (void)state;
    for (size_t i = 0; i < HISTORY_COUNT; i++) {
        for (unsigned times = 1; times <= 2; times++) {
            struct search search = {.history = &histories[i], .faults = times == 1};
            for (unsigned j = 0; j < histories[i].count; j++)
                search.deliveries_left[j] = histories[i].changes[j].event ? times : 0;
            search_orders(&search);
            assert_true(search.orders >= 15);
            assert_true(!search.faults || search.plays > 100);
        }
    }
}

/* ---- several events at the same time ---- */

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* Changes, deliveries (each event twice, more if they fail) and steps in an order made from the seed. */
static void play_at_once(const struct history *history, uint64_t seed) {
    struct delivery deliveries[8];
    unsigned waiting[8], of[8], changed = 0, failures_left = 6;
    bool under_way[8] = {0};
    char text[600], name[128];
    unsigned waiting_count = 0;
    (void)snprintf(name, sizeof name, "%s, seed %llu", history->name, (unsigned long long)seed);
    stage_open((struct world){.item = true, .state = ITEM_PENDING});
    for (;;) {
        unsigned choice = next_random(&seed) % 8, slot = 0, active = 0;
        for (unsigned i = 0; i < 8; i++)
            active += under_way[i];
        if (changed == history->count && waiting_count == 0 && active == 0)
            break;
        if (choice == 0 && changed < history->count) {
            change(&history->changes[changed]);
            for (unsigned i = 0; i < 2 && history->changes[changed].event; i++)
                waiting[waiting_count++] = changed;
            changed++;
        } else if (choice < 3 && waiting_count > 0 && active < 4) {
            unsigned pick = next_random(&seed) % waiting_count;
            while (under_way[slot])
                slot++;
            under_way[slot] = true;
            of[slot] = waiting[pick];
            waiting[pick] = waiting[--waiting_count];
            event_of(history, of[slot], text, sizeof text);
            deliver(&deliveries[slot], text);
        } else if (stage.count > 0) {
            bool failing = failures_left > 0 && next_random(&seed) % 16 == 0;
            failures_left -= failing;
            happen(next_random(&seed) % stage.count, !failing ? NO_FAULT : next_random(&seed) % 2 ? FAULT_BEFORE : FAULT_AFTER);
        }
        for (unsigned i = 0; i < 8; i++) {
            if (!under_way[i] || !deliveries[i].answered)
                continue;
            under_way[i] = false;
            if (finish(&deliveries[i]) != OK)
                waiting[waiting_count++] = of[i];
        }
    }
    assert_end(name);
    stage_close();
}

static void test_at_once_comes_to_the_same_end(void **state) {
    (void)state;
    for (size_t i = 0; i < HISTORY_COUNT; i++)
        for (uint64_t seed = 1; seed <= 1000; seed++)
            play_at_once(&histories[i], seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_created),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_item_goes_while_the_thumbnail_is_made),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_every_order_comes_to_the_same_end),
        cmocka_unit_test(test_at_once_comes_to_the_same_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
