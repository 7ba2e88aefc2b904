#include "pg/pg.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "pg/connection.h"

#define SESSIONS_MAX 64
#define PIPELINE_DEPTH 128 /* queries under way on one session; more wait for whichever session is free first */
#define RETRY_FIRST_US (50 * US_PER_MS)
#define RETRY_MAX_US (2 * US_PER_S)
#define STALL_GRACE_US (200 * US_PER_MS) /* the server's statement_timeout answers before this is over, if the server lives */
#define REASON_BYTES 256

enum session_state {
    SESSION_RESTING,    /* no connection; its timer begins the next attempt */
    SESSION_CONNECTING, /* libpq is at it; its timer is the connect timeout */
    SESSION_PREPARING,  /* connected, the statements are on their way; same timer */
    SESSION_READY,      /* takes queries; its timer looks whether the server still answers while queries are under way */
};

struct query {
    struct query *next;
    struct pg *pg;
    struct session *session; /* that it was sent on; NULL while it waits */
    unsigned statement;
    bool over;            /* `done` was called; it only stands for the answer that is still to come */
    enum pg_outcome fate; /* of one that failed at once: what its owner is told in the next turn */
    const char *why;
    struct pg_parameters parameters;
    struct loop_timer timer;
    void (*done)(void *context, const struct pg_result *result);
    void *context;
};

struct queue {
    struct query *first, *last;
    size_t count;
};

struct session {
    struct pg *pg;
    enum session_state state;
    struct pg_connection *connection;
    struct loop_watch watch;
    struct loop_timer timer;
    struct queue sent; /* in the order of their answers */
    unsigned failures; /* attempts that failed one after the other */
    int64_t heard_us;  /* when the server last answered, or was first asked after a pause */
    bool receiving;    /* its answers are being handed out: leave the connection in place */
    bool broken;       /* it is given up after what is going on now: no owner may be told from within pg_query() */
};

struct pg {
    struct loop *loop;
    struct pg_options options;
    char *connection, *application;
    struct queue waiting;
    struct queue failed; /* told by failed_timer */
    struct loop_timer failed_timer;
    size_t load; /* queries that are not freed yet */
    bool down;   /* the last attempt failed and no session is ready: fail at once */
    bool announced_up;
    char reason[REASON_BYTES]; /* last one announced */
    unsigned session_count;
    struct session sessions[SESSIONS_MAX];
};

/* ---- queries ---- */

static void queue_put(struct queue *queue, struct query *query) {
    query->next = NULL;
    if (queue->last != NULL)
        queue->last->next = query;
    else
        queue->first = query;
    queue->last = query;
    queue->count++;
}

static struct query *queue_take(struct queue *queue) {
    struct query *query = queue->first;
    if (query == NULL)
        return NULL;
    queue->first = query->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->count--;
    return query;
}

static void queue_remove(struct queue *queue, const struct query *query) {
    struct query *before = NULL;
    for (struct query *at = queue->first; at != query; at = at->next)
        before = at;
    *(before != NULL ? &before->next : &queue->first) = query->next;
    if (queue->last == query)
        queue->last = before;
    queue->count--;
}

static void query_free(struct query *query) {
    query->pg->load--;
    loop_timer_clear(&query->timer);
    buffer_free(&query->parameters.bytes);
    free(query);
}

/* Tell its owner, once. */
static void query_end(struct query *query, const struct pg_result *result) {
    loop_timer_clear(&query->timer);
    if (query->over)
        return;
    query->over = true;
    query->done(query->context, result);
}

static void query_fail(struct query *query, enum pg_outcome outcome, const char *message) {
    struct pg_result result = {.outcome = outcome, .message = message};
    query_end(query, &result);
}

static void fail_all(struct queue *queue, enum pg_outcome outcome, const char *message) {
    struct queue failed = *queue; /* their owners may ask anew, which must not end here too */
    *queue = (struct queue){0};
    for (struct query *query; (query = queue_take(&failed)) != NULL;) {
        query_fail(query, outcome, message);
        query_free(query);
    }
}

static void query_overdue(struct loop_timer *timer) {
    struct query *query = timer->context;
    if (query->session == NULL) {
        queue_remove(&query->pg->waiting, query);
        query_fail(query, PG_UNAVAILABLE, "no connection to the database in time");
        query_free(query);
    } else {
        query_fail(query, PG_TIMEOUT, "the database did not answer in time"); /* its answer may still come, and is dropped */
    }
}

static void tell_failed(struct loop_timer *timer) {
    struct pg *pg = timer->context;
    struct queue failed = pg->failed;
    pg->failed = (struct queue){0};
    for (struct query *query; (query = queue_take(&failed)) != NULL;) {
        query_fail(query, query->fate, query->why);
        query_free(query);
    }
}

/* ---- sessions ---- */

static void session_lose(struct session *session, const char *reason);
static void session_ready(struct loop_watch *watch, unsigned ready);
static void session_due(struct loop_timer *timer);

static void announce(struct pg *pg, bool up, const char *reason) {
    if (up == pg->announced_up && strncmp(reason, pg->reason, REASON_BYTES - 1) == 0)
        return;
    pg->announced_up = up;
    (void)snprintf(pg->reason, REASON_BYTES, "%s", reason);
    if (pg->options.changed != NULL)
        pg->options.changed(pg->options.context, up, reason);
}

static unsigned sessions_in(const struct pg *pg, enum session_state state) {
    unsigned count = 0;
    for (unsigned i = 0; i < pg->session_count; i++)
        count += pg->sessions[i].state == state ? 1 : 0;
    return count;
}

static void session_time(struct session *session, int64_t delay_us) {
    loop_timer_set(session->pg->loop, &session->timer, loop_now_us(session->pg->loop) + delay_us);
}

/* libpq may have replaced the descriptor between two steps, even by one of the same number: always add it anew. */
static bool session_watch(struct session *session, unsigned interest) {
    loop_watch_remove(&session->watch);
    session->watch = (struct loop_watch){
        .fd = pg_connection_fd(session->connection), .interest = interest, .ready = session_ready, .context = session};
    return session->watch.fd >= 0 && loop_watch_add(session->pg->loop, &session->watch);
}

/* Exponential back-off with jitter: between half of it and all of it, so that many programs do not knock together. */
static int64_t rest_us(unsigned failures) {
    int64_t rest = failures > 8 ? RETRY_MAX_US : RETRY_FIRST_US << failures;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    rest = rest > RETRY_MAX_US ? RETRY_MAX_US : rest;
    return rest / 2 + (int64_t)(dice % (uint32_t)(rest / 2 + 1));
}

static void session_connect(struct session *session) {
    struct pg *pg = session->pg;
    session->state = SESSION_CONNECTING;
    session_time(session, pg->options.connect_timeout_us);
    session->connection = pg_connection_start(pg->connection, pg->application, pg->options.query_timeout_us);
    if (session->connection == NULL)
        session_lose(session, "out of memory");
    else if (pg_connection_fd(session->connection) < 0 || !session_watch(session, LOOP_WRITE))
        session_lose(session, pg_connection_problem(session->connection));
}

/* The only way back to SESSION_RESTING. */
static void session_lose(struct session *session, const char *reason) {
    struct pg *pg = session->pg;
    bool was_ready = session->state == SESSION_READY;
    char why[REASON_BYTES];
    struct queue sent = session->sent;
    if (session->receiving) {
        session->broken = true;
        return;
    }
    (void)snprintf(why, sizeof why, "%s", *reason != '\0' ? reason : "the connection was lost");
    loop_watch_remove(&session->watch);
    pg_connection_free(session->connection);
    session->connection = NULL;
    session->sent = (struct queue){0};
    session->broken = false;
    session->state = SESSION_RESTING;
    session->failures = was_ready ? 0 : session->failures + 1;
    session_time(session, rest_us(session->failures));
    if (sessions_in(pg, SESSION_READY) == 0) {
        announce(pg, false, why);
        if (!was_ready && sessions_in(pg, SESSION_RESTING) == pg->session_count)
            pg->down = true;
    }
    fail_all(&sent, PG_UNAVAILABLE, "the connection to the database was lost");
    if (pg->down)
        fail_all(&pg->waiting, PG_UNAVAILABLE, "the database cannot be reached");
}

/* Give it up, but not before this turn's caller has returned. */
static void session_break(struct session *session) {
    session->broken = true;
    session_time(session, 0);
}

/* False: the connection is lost. */
static bool session_flush(struct session *session) {
    switch (pg_connection_flush(session->connection)) {
    case PG_FLUSH_DONE: loop_watch_change(&session->watch, LOOP_READ); return true;
    case PG_FLUSH_MORE: loop_watch_change(&session->watch, LOOP_READ | LOOP_WRITE); return true;
    case PG_FLUSH_LOST: break;
    }
    return false;
}

static struct session *least_loaded(struct pg *pg) {
    struct session *best = NULL;
    for (unsigned i = 0; i < pg->session_count; i++) {
        struct session *session = &pg->sessions[i];
        if (session->state == SESSION_READY && !session->broken && session->sent.count < PIPELINE_DEPTH &&
            (best == NULL || session->sent.count < best->sent.count))
            best = session;
    }
    return best;
}

static void session_send(struct session *session, struct query *query) {
    struct pg *pg = session->pg;
    if (session->sent.count == 0) {
        session->heard_us = loop_now_us(pg->loop);
        session_time(session, pg->options.query_timeout_us + STALL_GRACE_US);
    }
    query->session = session;
    queue_put(&session->sent, query);
    if (!pg_connection_send(session->connection, &pg->options.statements[query->statement], &query->parameters) ||
        !session_flush(session))
        session_break(session);
    buffer_free(&query->parameters.bytes); /* libpq has its copy */
}

static void dispatch(struct pg *pg) {
    for (struct session *session; pg->waiting.count > 0 && (session = least_loaded(pg)) != NULL;)
        session_send(session, queue_take(&pg->waiting));
}

static void session_take_answers(struct session *session) {
    struct pg *pg = session->pg;
    struct pg_result result;
    session->receiving = true;
    while (session->sent.count > 0 && pg_connection_next(session->connection, &result)) {
        struct query *query = queue_take(&session->sent);
        if (pg_connection_worn_out(&result)) {
            session->broken = true;
            if (result.outcome == PG_REFUSED)
                result.outcome = PG_UNAVAILABLE; /* not the statement's fault */
        }
        query_end(query, &result);
        query_free(query);
    }
    session->receiving = false;
    if (session->sent.count == 0)
        loop_timer_clear(&session->timer);
    if (session->broken)
        session_lose(session, "the server ended the session");
    dispatch(pg);
}

static void session_take_preparation(struct session *session) {
    struct pg *pg = session->pg;
    struct pg_result result;
    if (!pg_connection_next(session->connection, &result))
        return;
    if (result.outcome != PG_OK) {
        session_lose(session, result.message);
        return;
    }
    session->state = SESSION_READY;
    session->failures = 0;
    pg->down = false;
    loop_timer_clear(&session->timer);
    announce(pg, true, "connected");
    dispatch(pg);
}

static void session_step(struct session *session) {
    enum pg_step step = pg_connection_poll(session->connection);
    bool good = false;
    switch (step) {
    case PG_STEP_READ: good = session_watch(session, LOOP_READ); break;
    case PG_STEP_WRITE: good = session_watch(session, LOOP_WRITE); break;
    case PG_STEP_CONNECTED:
        session->state = SESSION_PREPARING;
        good = session_watch(session, LOOP_READ | LOOP_WRITE) &&
               pg_connection_prepare(session->connection, session->pg->options.statements, session->pg->options.statement_count);
        break;
    case PG_STEP_FAILED: break;
    }
    if (!good)
        session_lose(session, pg_connection_problem(session->connection));
}

static void session_ready(struct loop_watch *watch, unsigned ready) {
    struct session *session = watch->context;
    if (session->state == SESSION_CONNECTING) {
        session_step(session);
        return;
    }
    if (ready & LOOP_READ) {
        bool alive = pg_connection_receive(session->connection);
        session->heard_us = loop_now_us(session->pg->loop);
        /* What arrived before the connection broke still counts. */
        if (session->state == SESSION_READY)
            session_take_answers(session);
        else
            session_take_preparation(session);
        if (!alive && session->connection != NULL)
            session_lose(session, pg_connection_problem(session->connection));
    }
    if (session->connection != NULL && !session_flush(session))
        session_lose(session, pg_connection_problem(session->connection));
}

static void session_due(struct loop_timer *timer) {
    struct session *session = timer->context;
    int64_t patience_us = session->pg->options.query_timeout_us + STALL_GRACE_US;
    int64_t silent_us = loop_now_us(session->pg->loop) - session->heard_us;
    switch (session->state) {
    case SESSION_RESTING: session_connect(session); break;
    case SESSION_CONNECTING:
    case SESSION_PREPARING: session_lose(session, "connecting to the database took too long"); break;
    case SESSION_READY:
        if (session->broken)
            session_lose(session, pg_connection_problem(session->connection));
        else if (session->sent.count > 0 && silent_us >= patience_us)
            session_lose(session, "the database does not answer");
        else if (session->sent.count > 0)
            session_time(session, patience_us - silent_us);
        break;
    }
}

/* ---- for everybody ---- */

struct pg *pg_open(struct loop *loop, const struct pg_options *options, const char **ret_problem) {
    struct pg *pg = calloc(1, sizeof *pg);
    if (pg == NULL) {
        *ret_problem = "out of memory";
        return NULL;
    }
    assert(options->connections > 0 && options->connections <= SESSIONS_MAX);
    pg->loop = loop;
    pg->options = *options;
    pg->connection = strdup(options->connection);
    pg->application = strdup(options->application);
    if (pg->connection == NULL || pg->application == NULL || !pg_connection_valid(options->connection)) {
        *ret_problem = pg->connection == NULL || pg->application == NULL ? "out of memory" : "the connection string is malformed";
        pg_close(pg);
        return NULL;
    }
    pg->session_count = options->connections;
    pg->failed_timer = (struct loop_timer){.fire = tell_failed, .context = pg};
    for (unsigned i = 0; i < pg->session_count; i++) {
        struct session *session = &pg->sessions[i];
        session->pg = pg;
        session->timer = (struct loop_timer){.fire = session_due, .context = session};
        session_time(session, 0);
    }
    return pg;
}

void pg_close(struct pg *pg) {
    if (pg == NULL)
        return;
    pg->options.changed = NULL;
    for (unsigned i = 0; i < pg->session_count; i++) {
        struct session *session = &pg->sessions[i];
        loop_watch_remove(&session->watch);
        loop_timer_clear(&session->timer);
        pg_connection_free(session->connection);
        session->connection = NULL;
        session->state = SESSION_RESTING;
    }
    pg->down = true;
    for (unsigned i = 0; i < pg->session_count; i++)
        fail_all(&pg->sessions[i].sent, PG_UNAVAILABLE, "the program is ending");
    fail_all(&pg->waiting, PG_UNAVAILABLE, "the program is ending");
    while (pg->failed.count > 0) /* an owner that is told may ask anew, in vain */
        fail_all(&pg->failed, PG_UNAVAILABLE, "the program is ending");
    loop_timer_clear(&pg->failed_timer);
    free(pg->connection);
    free(pg->application);
    free(pg);
}

bool pg_available(const struct pg *pg) {
    return sessions_in(pg, SESSION_READY) > 0;
}

size_t pg_load(const struct pg *pg) {
    return pg->load;
}

void pg_query(struct pg *pg, unsigned statement, const struct pg_value *values, unsigned value_count, int64_t deadline_us,
              void (*done)(void *context, const struct pg_result *result), void *context) {
    struct query *query = calloc(1, sizeof *query);
    int64_t now_us = loop_now_us(pg->loop), latest_us = now_us + pg->options.query_timeout_us;
    if (query == NULL)
        abort(); /* an owner that is never told would be worse */
    assert(statement < pg->options.statement_count);
    *query = (struct query){.pg = pg, .statement = statement, .done = done, .context = context};
    query->timer = (struct loop_timer){.fire = query_overdue, .context = query};
    if (pg->load++ >= pg->options.queue_max) {
        query->fate = PG_BUSY;
        query->why = "too many queries wait for the database";
    } else if (pg->down) {
        query->fate = PG_UNAVAILABLE;
        query->why = "the database cannot be reached";
    } else if (!pg_parameters_set(&query->parameters, &pg->options.statements[statement], values, value_count)) {
        query->fate = PG_BUSY;
        query->why = "not enough memory for the query";
    }
    if (query->fate != PG_OK) {
        queue_put(&pg->failed, query);
        loop_timer_set(pg->loop, &pg->failed_timer, now_us);
        return;
    }
    loop_timer_set(pg->loop, &query->timer, deadline_us < latest_us ? deadline_us : latest_us);
    queue_put(&pg->waiting, query);
    dispatch(pg);
}
