#include "actors/users/users.h"

/* A question about one account that needs no password. */
struct lookup {
    struct ask *ask;
    struct account_query query;
};

/* NULL if memory is exhausted; the ask is then answered. */
static struct lookup *lookup_new(struct ask *ask, void (*done)(void *context, enum error error, const struct account *account)) {
    struct lookup *lookup = arena_alloc(&ask->arena, sizeof *lookup);
    if (lookup == NULL) {
        ask_fail(ask, ERROR_internal, "out of memory");
        return NULL;
    }
    *lookup = (struct lookup){.ask = ask, .query = {.done = done, .context = lookup}};
    return lookup;
}

static void verified(void *context, enum error error, const struct account *account) {
    struct lookup *lookup = context;
    struct users_verification reply = {.auth = true, .message = TEXT("Authenticated")};
    (void)account;
    if (error == ERROR_user_not_found)
        error = ERROR_token_rejected;
    if (error != OK)
        ask_fail(lookup->ask, error, NULL);
    else
        ask_reply(lookup->ask, &reply);
}

void users_begin_verification(struct users *users, struct ask *ask) {
    struct lookup *lookup;
    if (ask->caller.user_id == 0) {
        ask_fail(ask, ERROR_token_rejected, "the ask has no caller");
        return;
    }
    lookup = lookup_new(ask, verified);
    if (lookup != NULL)
        accounts_check(users->accounts, ask->caller.user_id, ask->caller.email, ask->deadline_us, &lookup->query);
}

static void got(void *context, enum error error, const struct account *account) {
    struct lookup *lookup = context;
    struct users_user reply = {0};
    if (error != OK) {
        ask_fail(lookup->ask, error, NULL);
        return;
    }
    reply.email = account->email;
    reply.created_at = account->created_at_us;
    ask_reply(lookup->ask, &reply);
}

void users_begin_get(struct users *users, struct ask *ask, const struct users_get_request *request) {
    struct lookup *lookup = lookup_new(ask, got);
    if (lookup != NULL)
        accounts_find(users->accounts, request->email, ask->deadline_us, &lookup->query);
}
