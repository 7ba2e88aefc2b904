#include <stdio.h>

#include "actors/users/email.h"
#include "actors/users/users.h"

/* email and password are checked, the password is hashed, the account is added, a token is issued. */
struct registration {
    struct users *users;
    struct ask *ask;
    const struct users_credentials *credentials;
    struct hashing_job job;
    struct account_query query;
};

static void added(void *context, enum error error, const struct account *account) {
    struct registration *registration = context;
    struct ask *ask = registration->ask;
    struct users_registration reply = {0};
    if (error != OK) {
        ask_fail(ask, error, NULL);
        return;
    }
    reply.user = account->email;
    reply.token = users_issue_token(registration->users, ask, account->id, account->email);
    if (reply.token.data == NULL)
        ask_fail(ask, ERROR_internal, "out of memory");
    else
        ask_reply(ask, &reply);
}

static void hashed(struct hashing_job *job, enum hashing_outcome outcome) {
    struct registration *registration = job->context;
    struct ask *ask = registration->ask;
    users_wipe_password(registration->credentials);
    if (outcome != HASHING_DONE) {
        ask_fail(ask, users_hashing_error(ask, outcome), NULL);
        return;
    }
    registration->query = (struct account_query){.done = added, .context = registration};
    accounts_add(registration->users->accounts, registration->credentials->email, text_from(job->phc), ask->deadline_us,
                 &registration->query);
}

void users_begin_registration(struct users *users, struct ask *ask, const struct users_credentials *credentials) {
    struct registration *registration = arena_alloc(&ask->arena, sizeof *registration);
    enum hashing_outcome outcome;
    enum error error = registration == NULL                                     ? ERROR_internal
                       : !email_valid(credentials->email)                       ? ERROR_email_malformed
                       : credentials->password.size < users->password_min_bytes ? ERROR_password_length
                                                                                : OK;
    if (error != OK) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "it must have at least %zu bytes", users->password_min_bytes);
        users_wipe_password(credentials);
        ask_fail(ask, error, error == ERROR_password_length ? expected : NULL);
        return;
    }
    *registration = (struct registration){.users = users, .ask = ask, .credentials = credentials};
    registration->job = (struct hashing_job){
        .task = HASHING_MAKE,
        .password = credentials->password,
        .deadline_us = ask->deadline_us,
        .cancelled = &ask->cancelled,
        .done = hashed,
        .context = registration,
    };
    outcome = hashing_submit(users->hashing, &registration->job);
    if (outcome != HASHING_TAKEN)
        hashed(&registration->job, outcome);
}
