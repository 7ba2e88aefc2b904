/*
 * actor.h: the runtime of an actor. An actor is a table of handlers, one for each message of its .def file, and
 *
 *   int main(int argc, char **argv) { return actor_main(&feed_actor, argc, argv); }
 *
 * Everything happens in the loop's thread. A handler answers at once or later, exactly once; what it allocates from the
 * ask's arena goes away after the answer. SIGTERM and SIGINT drain: no new work, finish, leave.
 */
#ifndef PIXBUS_BUS_ACTOR_H
#define PIXBUS_BUS_ACTOR_H

#include "base/loop.h"
#include "base/setting.h"
#include "bus/client.h"

struct actor;

/* One ask in an actor's hands, from its handler's call to ask_reply() or ask_fail(). */
struct ask {
    const struct proto_message *message;
    struct bus_caller caller;
    struct text request_id, traceparent;
    int64_t deadline_us; /* monotonic; an answer after it helps nobody */
    bool cancelled;      /* the caller gave up: stop when convenient, and still answer */
    struct arena arena;
    struct actor *actor;
};

/* `request` is the message's request record, decoded and within its limits; it lives as long as the ask. */
struct actor_handler {
    unsigned message;
    void (*handle)(struct ask *ask, const void *request);
};

struct actor_description {
    const char *program; /* pixbus-feed */
    const char *service; /* feed */
    const char *help;    /* one paragraph for --help */
    const struct actor_handler *handlers;
    size_t handler_count;
    unsigned credit; /* asks it works on at the same time */
    /* Open what the actor needs. False: it has logged why, and the program ends with status 1. */
    bool (*open)(struct actor *actor, void **ret_application);
    void (*close)(void *application);
};

/* The whole program: arguments, settings, loop, bus, signals. Returns the exit status: 2 for malformed settings. */
int actor_main(const struct actor_description *description, int argc, char **argv);

struct loop *actor_loop(struct actor *actor);
const struct settings *actor_settings(struct actor *actor);
/* What open() returned. */
void *actor_application(struct actor *actor);

/* Answer, once. The record is of ask->message->reply. The ask is gone afterwards. */
void ask_reply(struct ask *ask, const void *reply);
/* The same with a reply that is already encoded (shared by several asks). */
void ask_reply_encoded(struct ask *ask, struct text reply);
/* `detail` for people, may be NULL; it is copied. */
void ask_fail(struct ask *ask, enum error error, const char *detail);

/*
 * Ask another service. `cause` (may be NULL) lends its request id, traceparent and caller. `done` is called once, with the
 * decoded reply record for the time of the call when the error is OK, else with NULL.
 */
void actor_ask(struct actor *actor, const struct ask *cause, unsigned message, const void *request, int64_t timeout_us,
               void (*done)(void *context, enum error error, const void *reply), void *context);

#endif
