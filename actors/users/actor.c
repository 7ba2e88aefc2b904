/* The users actor: accounts, passwords, tokens. Handlers, their table, and what the program needs open. */
#include "actors/users/actor.h"

#include <stdlib.h>

#include "actors/users/users.h"
#include "base/clock.h"
#include "base/log.h"

/* Logins and registrations beyond the hashing queue are answered `busy` at once, so they cannot use this up. */
#define USERS_CREDIT 256

static void handle_users_register(struct ask *ask, const void *request) {
    users_begin_registration(actor_application(ask->actor), ask, request);
}

static void handle_users_login(struct ask *ask, const void *request) {
    users_begin_login(actor_application(ask->actor), ask, request);
}

static void handle_users_verify(struct ask *ask, const void *request) {
    (void)request;
    users_begin_verification(actor_application(ask->actor), ask);
}

static void handle_users_get(struct ask *ask, const void *request) {
    users_begin_get(actor_application(ask->actor), ask, request);
}

static const struct actor_handler handlers[] = {
#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc) {MESSAGE_##name, handle_##name},
#define PROTO_READ "proto/users.def"
#include "proto/proto_read.h"
};

static void users_close(void *application) {
    struct users *users = application;
    if (users == NULL)
        return;
    hashing_free(users->hashing);
    accounts_close(users->accounts);
    free(users);
}

/* Open the parts of `users`. NULL, or what is wrong (static text). */
static const char *open_parts(struct users *users, struct loop *loop, const struct settings *settings) {
    const struct password_cost cost = {(uint32_t)settings->argon2_memory_kib, (uint32_t)settings->argon2_passes, 1};
    struct buffer connection = {0};
    const char *problem = NULL;
    if (settings->token_secret == NULL)
        return "JWT_SECRET is not set";
    users->token_key = text_from(settings->token_secret);
    users->token_timeout_us = settings->token_timeout_s * US_PER_S;
    users->password_min_bytes = (size_t)settings->password_min_bytes;
    users->hashing = hashing_new(loop, (size_t)settings->password_threads, (size_t)settings->password_queue, &cost);
    if (users->hashing == NULL)
        return "the threads for password hashes cannot be made";
    if (!settings_database(settings, &connection))
        problem = "out of memory";
    else
        buffer_append(&connection, "", 1);
    if (problem == NULL && !buffer_ok(&connection))
        problem = "out of memory";
    if (problem == NULL)
        users->accounts = accounts_open(loop, connection.data, settings, &problem);
    if (connection.data != NULL)
        explicit_bzero(connection.data, connection.size);
    buffer_free(&connection);
    return problem;
}

static bool users_open(struct actor *actor, void **ret_application) {
    struct users *users = calloc(1, sizeof *users);
    const char *problem = users == NULL ? "out of memory" : open_parts(users, actor_loop(actor), actor_settings(actor));
    if (problem != NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", problem, NULL);
        users_close(users);
        return false;
    }
    *ret_application = users;
    return true;
}

const struct actor_description users_actor = {
    .program = "pixbus-users",
    .service = "users",
    .help = "Accounts of people: registers them, checks their passwords and issues their tokens.",
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
    .credit = USERS_CREDIT,
    .open = users_open,
    .close = users_close,
};
