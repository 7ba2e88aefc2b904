#include <inttypes.h>
#include <stdio.h>

#include "actors/users/email.h"
#include "actors/users/users.h"
#include "base/log.h"

/*
 * The account is looked up, the password is checked, a token is issued. Whether there is no such account, an adopted one
 * without a password, or a wrong password: the same work is done and the same is said.
 */
struct login {
    struct users *users;
    struct ask *ask;
    const struct users_credentials *credentials;
    struct account_query query;
    struct hashing_job job;
    uint64_t user_id;                 /* 0: there is no such account */
    struct text email, password_hash; /* in the ask's arena */
};

/* There is a hash on file that nobody can sign in with: somebody should know, and which one. */
static void report_unusable(const struct login *login) {
    char id[21];
    if (login->password_hash.data == NULL)
        return;
    (void)snprintf(id, sizeof id, "%" PRIu64, login->user_id);
    log_event(LOG_LEVEL_WARN, "password_hash_unusable", "user_id", id, NULL);
}

static void succeed(struct login *login) {
    struct users *users = login->users;
    struct users_session reply = {.auth = true, .user = login->email};
    reply.token = users_issue_token(users, login->ask, login->user_id, login->email);
    if (login->job.phc[0] != '\0')
        accounts_replace_hash(users->accounts, login->user_id, login->password_hash, text_from(login->job.phc));
    if (reply.token.data == NULL)
        ask_fail(login->ask, ERROR_internal, "out of memory");
    else
        ask_reply(login->ask, &reply);
}

static void checked(struct hashing_job *job, enum hashing_outcome outcome) {
    struct login *login = job->context;
    users_wipe_password(login->credentials);
    if (outcome != HASHING_DONE) {
        ask_fail(login->ask, users_hashing_error(login->ask, outcome), NULL);
        return;
    }
    switch (job->verdict) {
    case PASSWORD_MATCHES: succeed(login); return;
    case PASSWORD_UNUSABLE: report_unusable(login); break;
    case PASSWORD_DIFFERS:
    case PASSWORD_NO_MEMORY: break;
    }
    ask_fail(login->ask, ERROR_unauthorized, NULL);
}

/* Remember what was found. False if memory is exhausted. */
static bool keep(struct login *login, const struct account *account) {
    login->user_id = account->id;
    login->email = arena_copy(&login->ask->arena, account->email);
    login->password_hash = arena_copy(&login->ask->arena, account->password_hash);
    return login->email.data != NULL && (account->password_hash.data == NULL || login->password_hash.data != NULL);
}

static void looked_up(void *context, enum error error, const struct account *account) {
    struct login *login = context;
    struct ask *ask = login->ask;
    enum hashing_outcome outcome;
    if (error == OK && !keep(login, account))
        error = ERROR_internal;
    if (error != OK && error != ERROR_user_not_found) {
        users_wipe_password(login->credentials);
        ask_fail(ask, error, NULL);
        return;
    }
    login->job = (struct hashing_job){
        .task = HASHING_CHECK,
        .password = login->credentials->password,
        .stored = login->password_hash,
        .deadline_us = ask->deadline_us,
        .cancelled = &ask->cancelled,
        .done = checked,
        .context = login,
    };
    outcome = hashing_submit(login->users->hashing, &login->job);
    if (outcome != HASHING_TAKEN)
        checked(&login->job, outcome);
}

void users_begin_login(struct users *users, struct ask *ask, const struct users_credentials *credentials) {
    struct login *login = arena_alloc(&ask->arena, sizeof *login);
    enum error error = login == NULL ? ERROR_internal : !email_valid(credentials->email) ? ERROR_email_malformed : OK;
    if (error != OK) {
        users_wipe_password(credentials);
        ask_fail(ask, error, NULL);
        return;
    }
    *login = (struct login){.users = users, .ask = ask, .credentials = credentials};
    login->query = (struct account_query){.done = looked_up, .context = login};
    accounts_find(users->accounts, credentials->email, ask->deadline_us, &login->query);
}
