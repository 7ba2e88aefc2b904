#include "bus/actor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "bus/program.h"

#define DRAIN_US (15 * US_PER_S) /* how long asks in hand may take to finish after SIGTERM */

/* An ask with what the runtime keeps of it. */
struct task {
    struct ask ask; /* first: handlers hold a pointer to it */
    uint64_t work_id;
    int64_t begun_us;
    UT_hash_handle hh;
};

struct actor {
    const struct actor_description *description;
    struct settings settings;
    struct loop *loop;
    struct bus_client *client;
    void *application;
    struct task *tasks; /* by work id */
    struct loop_watch watch;
    struct loop_timer due, drain_limit;
    struct loop_hook turn_end;
    bool draining;
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

static struct task *task_of(struct ask *ask) {
    return (struct task *)ask;
}

static void task_end(struct task *task) {
    struct actor *actor = task->ask.actor;
    HASH_DEL(actor->tasks, task);
    arena_free(&task->ask.arena);
    free(task);
}

static void answer(struct ask *ask, enum error error, struct text detail, struct text body) {
    struct task *task = task_of(ask);
    if (ask->actor->client != NULL) /* not while the actor closes */
        bus_client_answer(ask->actor->client, task->work_id, error, detail, body, loop_now_us(ask->actor->loop) - task->begun_us);
    task_end(task);
}

void ask_fail(struct ask *ask, enum error error, const char *detail) {
    char request_id[REQUEST_ID_BYTES];
    (void)!text_copy(ask->request_id, request_id, sizeof request_id);
    if (error_describe(error)->http_status >= 500 && error != ERROR_busy) /* overload must not flood the log, too */
        log_event(LOG_LEVEL_WARN, "failed", "message", ask->message->name, "error", error_describe(error)->name, "detail", detail,
                  "request_id", request_id, NULL);
    answer(ask, error, text_from(detail), (struct text){0});
}

void ask_reply_encoded(struct ask *ask, struct text reply) {
    answer(ask, OK, (struct text){0}, reply);
}

void ask_reply(struct ask *ask, const void *reply) {
    struct buffer body = {.limit_bytes = LIMIT_MESSAGE_BYTES};
    proto_encode(ask->message->reply, reply, &body);
    if (buffer_ok(&body))
        ask_reply_encoded(ask, buffer_text(&body));
    else
        ask_fail(ask, ERROR_internal, "the reply is outside its limits");
    buffer_free(&body);
}

static const struct actor_handler *find_handler(const struct actor *actor, unsigned message) {
    for (size_t i = 0; i < actor->description->handler_count; i++)
        if (actor->description->handlers[i].message == message)
            return &actor->description->handlers[i];
    return NULL;
}

/* Texts of the request point into the body, so the ask keeps a copy of it. */
static bool keep(struct task *task, const struct bus_work *work, struct text *ret_body) {
    struct arena *arena = &task->ask.arena;
    task->ask.request_id = arena_copy(arena, work->request_id);
    task->ask.traceparent = arena_copy(arena, work->traceparent);
    task->ask.caller = (struct bus_caller){work->caller.user_id, arena_copy(arena, work->caller.email)};
    *ret_body = arena_copy(arena, work->body);
    return ret_body->data != NULL;
}

static void begin(struct actor *actor, struct task *task, const struct bus_work *work) {
    const struct actor_handler *handler = find_handler(actor, work->message);
    const char *field = NULL;
    struct text body;
    if (handler == NULL || task->ask.message == NULL) {
        answer(&task->ask, ERROR_unknown_message, text_from(actor->description->service), (struct text){0});
        return;
    }
    if (!keep(task, work, &body)) {
        ask_fail(&task->ask, ERROR_internal, "out of memory");
        return;
    }
    void *request = arena_alloc(&task->ask.arena, task->ask.message->request->size);
    enum error error = request != NULL ? proto_decode(task->ask.message->request, body, &task->ask.arena, request, &field)
                                       : ERROR_internal;
    if (error != OK)
        ask_fail(&task->ask, error, error == ERROR_malformed_message ? field : NULL);
    else
        handler->handle(&task->ask, request);
}

static void work_arrived(void *context, const struct bus_work *work) {
    struct actor *actor = context;
    struct task *task = calloc(1, sizeof *task);
    if (task == NULL) {
        bus_client_answer(actor->client, work->id, ERROR_internal, text_from("out of memory"), (struct text){0}, 0);
        return;
    }
    task->work_id = work->id;
    task->begun_us = loop_now_us(actor->loop);
    task->ask.actor = actor;
    task->ask.message = proto_message_find(work->message);
    task->ask.deadline_us = work->deadline_us;
    arena_init(&task->ask.arena, LIMIT_ARENA_BYTES);
    HASH_ADD(hh, actor->tasks, work_id, sizeof task->work_id, task);
    begin(actor, task, work);
}

static void work_cancelled(void *context, uint64_t id) {
    struct actor *actor = context;
    struct task *task;
    HASH_FIND(hh, actor->tasks, &id, sizeof id, task);
    if (task != NULL)
        task->ask.cancelled = true;
}

/* An ask of the actor's own, to another service. */
struct errand {
    struct actor *actor;
    const struct proto_message *message;
    void (*done)(void *context, enum error error, const void *reply);
    void *context;
};

static void errand_done(void *context, const struct bus_outcome *outcome) {
    struct errand *errand = context;
    struct arena arena;
    void *reply = NULL;
    enum error error = outcome->error;
    arena_init(&arena, LIMIT_ARENA_BYTES);
    if (error == OK) {
        reply = arena_alloc(&arena, errand->message->reply->size);
        error = reply != NULL ? proto_decode(errand->message->reply, outcome->body, &arena, reply, NULL) : ERROR_internal;
    }
    errand->done(errand->context, error, error == OK ? reply : NULL);
    arena_free(&arena);
    free(errand);
}

void actor_ask(struct actor *actor, const struct ask *cause, unsigned message, const void *request, int64_t timeout_us,
               void (*done)(void *context, enum error error, const void *reply), void *context) {
    struct errand *errand = malloc(sizeof *errand);
    if (errand == NULL)
        abort(); /* there is no way left to report an outcome */
    *errand = (struct errand){.actor = actor, .message = proto_message_find(message), .done = done, .context = context};
    struct bus_ask ask = {
        .message = message,
        .request = request,
        .deadline_us = loop_now_us(actor->loop) + timeout_us,
        .done = errand_done,
        .context = errand,
    };
    if (cause != NULL) {
        ask.request_id = cause->request_id;
        ask.traceparent = cause->traceparent;
        ask.caller = cause->caller;
    }
    (void)bus_client_ask(actor->client, &ask, loop_now_us(actor->loop));
}

static void client_ready(struct loop_watch *watch, unsigned ready) {
    struct actor *actor = watch->context;
    (void)ready;
    bus_client_process(actor->client, loop_now_us(actor->loop));
}

static void client_due(struct loop_timer *timer) {
    struct actor *actor = timer->context;
    bus_client_process(actor->client, loop_now_us(actor->loop));
}

/* Everything that this turn produced leaves together. */
static void end_turn(struct loop_hook *hook) {
    struct actor *actor = hook->context;
    while (bus_client_flush(actor->client))
        bus_client_process(actor->client, loop_now_us(actor->loop));
    loop_timer_set(actor->loop, &actor->due, bus_client_due_us(actor->client));
    if (actor->draining && actor->tasks == NULL && bus_client_idle(actor->client))
        loop_stop(actor->loop);
}

static void drain_limit_reached(struct loop_timer *timer) {
    struct actor *actor = timer->context;
    log_event(LOG_LEVEL_WARN, "drain_incomplete", "reason", "asks were still in hand after fifteen seconds", NULL);
    loop_stop(actor->loop);
}

static void stop(void *context, int signal_number) {
    struct actor *actor = context;
    (void)signal_number;
    if (actor->draining) {
        loop_stop(actor->loop);
        return;
    }
    actor->draining = true;
    bus_client_drain(actor->client);
    loop_timer_set(actor->loop, &actor->drain_limit, loop_now_us(actor->loop) + DRAIN_US);
    log_event(LOG_LEVEL_INFO, "draining", NULL);
}

static void instance_name(const struct actor *actor, char out[LIMIT_INSTANCE_NAME_BYTES + 1]) {
    char host[32] = "";
    (void)gethostname(host, sizeof host - 1);
    if (actor->settings.instance != NULL)
        (void)snprintf(out, LIMIT_INSTANCE_NAME_BYTES + 1, "%s", actor->settings.instance);
    else
        (void)snprintf(out, LIMIT_INSTANCE_NAME_BYTES + 1, "%s@%s:%ld", actor->description->service, host, (long)getpid());
}

static bool open_bus(struct actor *actor, const char *endpoint, const char *instance) {
    struct bus_client_options options = {
        .endpoint = endpoint,
        .instance = instance,
        .service = actor->description->service,
        .credit = actor->description->credit,
        .heartbeat_us = actor->settings.heartbeat_ms * US_PER_MS,
        .work = work_arrived,
        .cancel = work_cancelled,
        .context = actor,
    };
    const char *problem;
    actor->client = bus_client_open(&options, &problem);
    if (actor->client == NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "endpoint", endpoint, "reason", problem, NULL);
        return false;
    }
    actor->watch = (struct loop_watch){
        .fd = bus_client_fd(actor->client), .interest = LOOP_READ, .ready = client_ready, .context = actor};
    actor->due = (struct loop_timer){.fire = client_due, .context = actor};
    actor->drain_limit = (struct loop_timer){.fire = drain_limit_reached, .context = actor};
    actor->turn_end = (struct loop_hook){.run = end_turn, .context = actor};
    loop_hook_add(actor->loop, &actor->turn_end);
    loop_timer_set(actor->loop, &actor->due, clock_monotonic_us());
    return loop_watch_add(actor->loop, &actor->watch);
}

/* What the application needs is opened before the bus, so that no work comes before it can be done. */
static bool actor_open(struct actor *actor, const char *endpoint, const char *instance) {
    actor->loop = loop_new();
    if (actor->loop == NULL || !loop_signal(actor->loop, SIGTERM, stop, actor) ||
        !loop_signal(actor->loop, SIGINT, stop, actor)) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", strerror(errno), NULL);
        return false;
    }
    return actor->description->open(actor, &actor->application) && open_bus(actor, endpoint, instance);
}

static void actor_close(struct actor *actor) {
    bus_client_close(actor->client);
    actor->client = NULL;
    /* What the application still has in hand uses the asks' memory, so they outlive it. */
    if (actor->application != NULL)
        actor->description->close(actor->application);
    while (actor->tasks != NULL)
        task_end(actor->tasks);
    loop_free(actor->loop);
}

int actor_main(const struct actor_description *description, int argc, char **argv) {
    struct actor actor = {.description = description};
    char endpoint[256], instance[LIMIT_INSTANCE_NAME_BYTES + 1];
    int status = program_start(argc, argv, description->program, description->help, &actor.settings);
    if (status >= 0)
        return status;
    if (!program_broker_endpoint(&actor.settings, endpoint, sizeof endpoint))
        return 2;
    instance_name(&actor, instance);
    bool opened = actor_open(&actor, endpoint, instance);
    if (opened) {
        log_event(LOG_LEVEL_INFO, "started", "instance", instance, "endpoint", endpoint, "version", PIXBUS_VERSION, NULL);
        loop_run(actor.loop);
        log_event(LOG_LEVEL_INFO, "stopped", NULL);
    }
    actor_close(&actor);
    return opened ? EXIT_SUCCESS : EXIT_FAILURE;
}
