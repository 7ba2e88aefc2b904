#include "bus/client.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "base/random.h"
#include "base/timers.h"
#include "bus/heartbeat.h"
#include "bus/socket.h"

#define WORK_ID_BITS 48         /* of a work id; the bits above say which registration it belongs to */
#define KEPT_BYTES (256 * 1024) /* memory that the output keeps after a burst */

enum link_state {
    LINK_DOWN,    /* no connection */
    LINK_HELLO,   /* connected; hello is said, not answered yet */
    LINK_WELCOME, /* registered */
    LINK_REFUSED, /* the broker will not have us; tried again when the connection changes */
};

/* An ask of ours without an outcome yet. */
struct pending {
    uint64_t id;
    void (*done)(void *context, const struct bus_outcome *outcome);
    void *context;
    enum error failure; /* not OK: never sent, delivered by the next bus_client_process() */
    struct timer timer;
    struct pending *prev, *next; /* in `failed` */
    UT_hash_handle hh;
};

/* Work that has arrived in this turn and is not delivered yet. Points into the frames. */
struct arrival {
    struct wire_ask header;
    struct text body;
    bool is_void; /* cancelled, or the broker took it back */
};

struct bus_client {
    struct bus_client_options options; /* but for its texts, which are these: */
    char instance[LIMIT_INSTANCE_NAME_BYTES + 1], service[LIMIT_SERVICE_NAME_BYTES + 1];
    struct bus_socket *socket;
    struct heartbeat *heartbeat; /* NULL for those that only ask: they beat on the main socket */
    uint8_t id[WIRE_ID_BYTES];
    enum link_state link;
    bool draining, drained;
    char broker[LIMIT_INSTANCE_NAME_BYTES + 1]; /* whose welcome we had */
    int64_t broker_heartbeat_us, heard_us, beat_us;
    atomic_uint_fast64_t turns;
    struct pending *pending; /* by id */
    struct pending *failed;  /* those of them that failed at once */
    struct timers timers;
    uint64_t last_id;
    uint64_t registration; /* counts them; work of an earlier one is void, whoever still works on it */
    struct buffer output;
    struct bus_frame *frames; /* of this turn */
    size_t frame_count, frame_capacity;
    struct arrival *arrivals; /* of this turn */
    size_t arrival_count, arrival_capacity;
};

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct bus_client *bus_client_open(const struct bus_client_options *options, const char **ret_problem) {
    struct bus_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        *ret_problem = "out of memory";
        return NULL;
    }
    client->options = *options;
    if (!text_copy(text_from(options->instance), client->instance, sizeof client->instance) ||
        !text_copy(text_from(options->service != NULL ? options->service : ""), client->service, sizeof client->service)) {
        *ret_problem = "the name of the instance or of the service is too long";
        free(client);
        return NULL;
    }
    client->output.limit_bytes = LIMIT_BATCH_BYTES;
    client->broker_heartbeat_us = options->heartbeat_us;
    random_bytes(client->id, sizeof client->id);
    client->id[0] |= 1; /* a routing id does not begin with zero */
    client->socket = bus_socket_connect(options->endpoint, client->id);
    if (client->socket == NULL) {
        *ret_problem = strerror(errno);
        bus_client_close(client);
        return NULL;
    }
    if (options->service != NULL) {
        client->heartbeat = heartbeat_start(client->socket, client->id, options->heartbeat_us, &client->turns);
        if (client->heartbeat == NULL) {
            *ret_problem = strerror(errno);
            bus_client_close(client);
            return NULL;
        }
    }
    return client;
}

/* The ask is over: `done` hears of it, once. */
static void finish(struct bus_client *client, struct pending *pending, const struct bus_outcome *outcome) {
    timers_clear(&client->timers, &pending->timer);
    HASH_DEL(client->pending, pending);
    if (pending->failure != OK)
        DL_DELETE(client->failed, pending);
    void (*done)(void *, const struct bus_outcome *) = pending->done;
    void *context = pending->context;
    free(pending);
    if (done != NULL)
        done(context, outcome);
}

/* The oldest come first; `done` may ask anew, which is not meant, or cancel others. */
static void finish_all(struct bus_client *client, enum error error) {
    struct bus_outcome outcome = {.error = error};
    uint64_t last = client->last_id;
    while (client->pending != NULL && client->pending->id <= last)
        finish(client, client->pending, &outcome);
}

static void send_verb(struct bus_client *client, enum wire_verb verb) {
    static const struct wire_empty nothing;
    wire_write(&client->output, verb, &nothing, (struct text){0});
}

void bus_client_close(struct bus_client *client) {
    if (client == NULL)
        return;
    finish_all(client, ERROR_broker_lost);
    if (client->link == LINK_WELCOME) {
        send_verb(client, WIRE_LEAVE);
        (void)bus_client_flush(client);
    }
    heartbeat_stop(client->heartbeat);
    bus_socket_close(client->socket);
    struct pending *pending, *next;
    HASH_ITER(hh, client->pending, pending, next) { /* asked by a `done` just now: nobody is left to hear */
        HASH_DEL(client->pending, pending);
        free(pending);
    }
    timers_free(&client->timers);
    buffer_free(&client->output);
    free(client->frames);
    free(client->arrivals);
    free(client);
}

int bus_client_fd(const struct bus_client *client) {
    return bus_socket_fd(client->socket);
}

bool bus_client_connected(const struct bus_client *client) {
    return client->link == LINK_WELCOME;
}

/* The broker is gone, or has forgotten us: nothing of before counts any more. */
static void link_lost(struct bus_client *client, enum link_state now) {
    client->link = now;
    client->registration++;
    client->drained = client->draining;
    if (client->heartbeat != NULL)
        heartbeat_enable(client->heartbeat, false);
    buffer_clear(&client->output);
    for (size_t i = 0; i < client->arrival_count; i++)
        client->arrivals[i].is_void = true;
    finish_all(client, ERROR_broker_lost);
}

static void say_hello(struct bus_client *client, int64_t now_us) {
    struct wire_hello hello = {
        .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .instance = text_from(client->instance),
        .service = text_from(client->draining || client->service[0] == '\0' ? NULL : client->service),
        .credit = client->options.credit,
        .heartbeat_us = (uint64_t)client->options.heartbeat_us,
    };
    client->link = LINK_HELLO;
    client->heard_us = now_us;
    wire_write(&client->output, WIRE_HELLO, &hello, (struct text){0});
}

static void welcomed(struct bus_client *client, const struct wire_welcome *welcome) {
    client->link = LINK_WELCOME;
    client->broker_heartbeat_us = (int64_t)welcome->heartbeat_us;
    (void)!text_copy(welcome->broker, client->broker, sizeof client->broker);
    if (client->heartbeat != NULL)
        heartbeat_enable(client->heartbeat, true);
}

static void replied(struct bus_client *client, const struct wire_reply *reply, struct text body) {
    struct pending *pending;
    HASH_FIND(hh, client->pending, &reply->id, sizeof reply->id, pending);
    if (pending == NULL)
        return; /* late: its deadline has passed, or it was cancelled */
    struct bus_outcome outcome = {.error = (enum error)reply->error,
                                  .detail = reply->detail,
                                  .body = body,
                                  .queue_us = (int64_t)reply->queue_us,
                                  .service_us = (int64_t)reply->service_us};
    finish(client, pending, &outcome);
}

static void *grown(void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    size_t larger = *capacity == 0 ? 64 : *capacity * 2;
    void *moved = realloc(array, larger * size);
    if (moved == NULL)
        abort(); /* a frame that is dropped would break the promise of one outcome for each ask */
    *capacity = larger;
    return moved;
}

static void arrived(struct bus_client *client, const struct wire_ask *header, struct text body) {
    client->arrivals = grown(client->arrivals, client->arrival_count, &client->arrival_capacity, sizeof *client->arrivals);
    client->arrivals[client->arrival_count++] = (struct arrival){.header = *header, .body = body};
}

/* The broker numbers the asks of its life from 1; a registration makes the numbers ours. */
static uint64_t work_id(const struct bus_client *client, uint64_t ask_id) {
    return (client->registration & UINT16_MAX) << WORK_ID_BITS | (ask_id & ((UINT64_C(1) << WORK_ID_BITS) - 1));
}

/* The work is not begun if it still lies here; otherwise whoever has it is told. */
static void cancelled(struct bus_client *client, uint64_t id) {
    for (size_t i = 0; i < client->arrival_count; i++) {
        if (client->arrivals[i].header.id == id && !client->arrivals[i].is_void) {
            client->arrivals[i].is_void = true;
            bus_client_answer(client, work_id(client, id), ERROR_cancelled, (struct text){0}, (struct text){0}, 0);
            return;
        }
    }
    if (client->options.cancel != NULL)
        client->options.cancel(client->options.context, work_id(client, id));
}

static void receive_item(struct bus_client *client, const struct wire_item *item, int64_t now_us) {
    switch (item->verb) {
    case WIRE_WELCOME: welcomed(client, &item->welcome); break;
    case WIRE_REFUSED: link_lost(client, LINK_REFUSED); break;
    case WIRE_STRANGER:
        if (client->link == LINK_WELCOME) { /* otherwise hello is on its way already */
            link_lost(client, LINK_HELLO);
            say_hello(client, now_us);
        }
        break;
    case WIRE_ASK:
        if (client->options.work != NULL)
            arrived(client, &item->ask, item->body);
        break;
    case WIRE_REPLY: replied(client, &item->reply, item->body); break;
    case WIRE_CANCEL: cancelled(client, item->cancel.id); break;
    case WIRE_DRAINED: client->drained = client->draining; break;
    default: break; /* a ping, or a verb of a later version */
    }
}

static void receive_frame(struct bus_client *client, const struct bus_frame *frame, int64_t now_us) {
    struct msgpack_reader reader = msgpack_reader(frame->bytes);
    struct wire_item item;
    client->heard_us = now_us;
    while (wire_read(&reader, &item))
        receive_item(client, &item, now_us);
}

static void follow_link(struct bus_client *client, int64_t now_us) {
    enum bus_link link;
    while ((link = bus_socket_link(client->socket)) != BUS_LINK_NONE) {
        if (link == BUS_LINK_UP) {
            if (client->link == LINK_WELCOME || client->link == LINK_HELLO)
                link_lost(client, LINK_DOWN);
            say_hello(client, now_us);
        } else if (client->link != LINK_DOWN) {
            link_lost(client, LINK_DOWN);
        }
    }
}

/* Everything that is readable is taken in before any work begins: what is void by then is never begun. */
static void take_in(struct bus_client *client, int64_t now_us) {
    do {
        follow_link(client, now_us);
        client->frames = grown(client->frames, client->frame_count, &client->frame_capacity, sizeof *client->frames);
        while (bus_socket_receive(client->socket, &client->frames[client->frame_count])) {
            receive_frame(client, &client->frames[client->frame_count++], now_us);
            client->frames = grown(client->frames, client->frame_count, &client->frame_capacity, sizeof *client->frames);
        }
    } while (bus_socket_readable(client->socket));
}

static void begin_work(struct bus_client *client, int64_t now_us) {
    for (size_t i = 0; i < client->arrival_count; i++) {
        const struct arrival *arrival = &client->arrivals[i];
        const struct wire_ask *header = &arrival->header;
        if (arrival->is_void)
            continue;
        struct bus_work work = {
            .id = work_id(client, header->id),
            .message = (unsigned)header->message,
            .attempt = (unsigned)header->attempt,
            .deadline_us = now_us + (int64_t)header->remaining_us,
            .request_id = header->request_id,
            .traceparent = header->traceparent,
            .caller = {.user_id = header->user_id, .email = header->email},
            .body = arrival->body,
        };
        client->options.work(client->options.context, &work);
    }
    client->arrival_count = 0;
    for (size_t i = 0; i < client->frame_count; i++)
        bus_frame_free(&client->frames[i]);
    client->frame_count = 0;
}

static void deliver_failures(struct bus_client *client) {
    uint64_t last = client->last_id;
    while (client->failed != NULL && client->failed->id <= last) {
        struct bus_outcome outcome = {.error = client->failed->failure};
        finish(client, client->failed, &outcome);
    }
}

static void expire(struct bus_client *client, int64_t now_us) {
    struct bus_outcome outcome = {.error = ERROR_timeout};
    struct timer *timer;
    while ((timer = timers_take_due(&client->timers, now_us)) != NULL) {
        struct pending *pending = CONTAINER(timer, struct pending, timer);
        struct wire_cancel cancel = {.id = pending->id};
        if (client->link == LINK_WELCOME)
            wire_write(&client->output, WIRE_CANCEL, &cancel, (struct text){0});
        finish(client, pending, &outcome);
    }
}

static bool is_silent(const struct bus_client *client, int64_t now_us) {
    return client->link != LINK_DOWN && now_us - client->heard_us > WIRE_HEARTBEATS_MISSED * client->broker_heartbeat_us;
}

/* Say that we live; find out whether the broker does. */
static void keep_alive(struct bus_client *client, int64_t now_us) {
    if (is_silent(client, now_us)) {
        link_lost(client, LINK_HELLO);
        say_hello(client, now_us);
    }
    if (now_us < client->beat_us)
        return;
    client->beat_us = now_us + client->options.heartbeat_us;
    if (client->heartbeat == NULL && client->link == LINK_WELCOME) {
        char id[2 * WIRE_ID_BYTES + 1];
        hex_encode(client->id, sizeof client->id, id);
        struct wire_heartbeat beat = {.peer = text_from(id), .turns = atomic_load_explicit(&client->turns, memory_order_relaxed)};
        wire_write(&client->output, WIRE_HEARTBEAT, &beat, (struct text){0});
    }
}

void bus_client_process(struct bus_client *client, int64_t now_us) {
    atomic_fetch_add_explicit(&client->turns, 1, memory_order_relaxed);
    take_in(client, now_us);
    begin_work(client, now_us);
    deliver_failures(client);
    expire(client, now_us);
    keep_alive(client, now_us);
}

int64_t bus_client_due_us(const struct bus_client *client) {
    int64_t due_us = timers_due_us(&client->timers);
    if (client->failed != NULL)
        return 0;
    return due_us < client->beat_us ? due_us : client->beat_us;
}

bool bus_client_flush(struct bus_client *client) {
    if (client->output.size == 0 || client->link == LINK_DOWN)
        return false;
    if (bus_socket_send(client->socket, (struct text){0}, buffer_text(&client->output)) != BUS_SENT)
        return bus_socket_readable(client->socket);
    if (client->output.capacity > KEPT_BYTES)
        buffer_free(&client->output);
    else
        buffer_clear(&client->output);
    return bus_socket_readable(client->socket);
}

static void write_ask(struct bus_client *client, const struct bus_ask *ask, const struct proto_message *message, uint64_t id,
                      int64_t remaining_us) {
    struct buffer body = {.limit_bytes = LIMIT_MESSAGE_BYTES};
    struct wire_ask header = {
        .id = id,
        .service = message->service,
        .message = message->number,
        .lane = message->lane,
        .attempt = 1,
        .remaining_us = (uint64_t)(remaining_us > LIMIT_DEADLINE_MS * 1000 ? LIMIT_DEADLINE_MS * 1000 : remaining_us),
        .request_id = ask->request_id,
        .traceparent = ask->traceparent,
        .user_id = ask->caller.user_id,
        .email = ask->caller.email,
    };
    if (ask->encoded.data != NULL) {
        wire_write(&client->output, WIRE_ASK, &header, ask->encoded);
        return;
    }
    proto_encode(message->request, ask->request, &body);
    if (buffer_ok(&body))
        wire_write(&client->output, WIRE_ASK, &header, buffer_text(&body));
    else
        client->output.failed = true;
    buffer_free(&body);
}

/* OK, or why it cannot be sent. */
static enum error try_ask(struct bus_client *client, const struct bus_ask *ask, uint64_t id, int64_t now_us) {
    const struct proto_message *message = proto_message_find(ask->message);
    size_t before = client->output.size;
    if (message == NULL)
        return ERROR_unknown_message;
    if (client->link != LINK_WELCOME)
        return ERROR_unavailable;
    if (ask->deadline_us <= now_us)
        return ERROR_timeout;
    if (HASH_COUNT(client->pending) > LIMIT_ASKS_IN_FLIGHT)
        return ERROR_busy;
    write_ask(client, ask, message, id, ask->deadline_us - now_us);
    if (!buffer_ok(&client->output)) {
        bool was_full = client->output.size + LIMIT_MESSAGE_BYTES > LIMIT_BATCH_BYTES;
        client->output.size = before;
        client->output.failed = false;
        return was_full ? ERROR_busy : ERROR_malformed_message;
    }
    return OK;
}

uint64_t bus_client_ask(struct bus_client *client, const struct bus_ask *ask, int64_t now_us) {
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        abort(); /* there is no way left to report an outcome */
    pending->id = ++client->last_id;
    pending->done = ask->done;
    pending->context = ask->context;
    HASH_ADD(hh, client->pending, id, sizeof pending->id, pending);
    pending->failure = try_ask(client, ask, pending->id, now_us);
    if (pending->failure != OK)
        DL_APPEND(client->failed, pending);
    else
        timers_set(&client->timers, &pending->timer, ask->deadline_us);
    return pending->id;
}

void bus_client_cancel(struct bus_client *client, uint64_t id) {
    struct wire_cancel cancel = {.id = id};
    struct pending *pending;
    HASH_FIND(hh, client->pending, &id, sizeof id, pending);
    if (pending == NULL)
        return;
    if (pending->failure == OK && client->link == LINK_WELCOME)
        wire_write(&client->output, WIRE_CANCEL, &cancel, (struct text){0});
    pending->done = NULL;
    finish(client, pending, NULL);
}

void bus_client_answer(struct bus_client *client, uint64_t id, enum error error, struct text detail, struct text body,
                       int64_t service_us) {
    struct wire_reply reply = {.id = id & ((UINT64_C(1) << WORK_ID_BITS) - 1),
                               .error = (uint64_t)error,
                               .service_us = (uint64_t)(service_us > 0 ? service_us : 0)};
    if (client->link != LINK_WELCOME || id >> WORK_ID_BITS != (client->registration & UINT16_MAX))
        return; /* whoever asked has been told, by the broker's loss or by the broker */
    if (error != OK) {
        body = (struct text){0};
        reply.detail = (struct text){detail.size > 0 ? detail.data : NULL,
                                     detail.size > LIMIT_DETAIL_BYTES ? LIMIT_DETAIL_BYTES : detail.size};
        if (!text_is_utf8(reply.detail)) /* cut within a character: better none than one that makes the frame malformed */
            reply.detail = (struct text){0};
    } else if (body.size > LIMIT_MESSAGE_BYTES) {
        reply.error = ERROR_reply_too_large;
        body = (struct text){0};
    }
    wire_write(&client->output, WIRE_REPLY, &reply, body);
    if (!buffer_ok(&client->output)) { /* the broker takes nothing any more: begin anew */
        link_lost(client, LINK_HELLO);
        say_hello(client, client->heard_us);
    }
}

void bus_client_drain(struct bus_client *client) {
    if (client->draining)
        return;
    client->draining = true;
    client->drained = client->link != LINK_WELCOME || client->heartbeat == NULL;
    if (!client->drained)
        send_verb(client, WIRE_DRAIN);
}

bool bus_client_idle(const struct bus_client *client) {
    return client->pending == NULL && client->arrival_count == 0 && (client->output.size == 0 || client->link == LINK_DOWN) &&
           (!client->draining || client->drained);
}
