#include "pg/connection.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "pg/session.h"

#define PROBLEM_BYTES 512

struct pg_connection {
    PGconn *conn;
    PGresult *result; /* of the oldest unit; kept until its Sync has arrived, and handed out then */
    bool handed_out;
    char problem[PROBLEM_BYTES];
};

/* ---- what both kinds of connection share ---- */

/* libpq's messages have several lines and end with a newline; a log line has none. */
static void one_line(const char *message, char out[PROBLEM_BYTES]) {
    size_t size = 0;
    for (; *message != '\0' && size < PROBLEM_BYTES - 1; message++) {
        char c = *message == '\n' || *message == '\t' ? ' ' : *message;
        if (c != ' ' || (size > 0 && out[size - 1] != ' '))
            out[size++] = c;
    }
    while (size > 0 && out[size - 1] == ' ')
        size--;
    out[size] = '\0';
}

bool pg_connection_valid(const char *connection) {
    PQconninfoOption *options = PQconninfoParse(connection, NULL);
    PQconninfoFree(options);
    return options != NULL;
}

#define KEYWORDS_MAX 64

/* libpq's keywords and values: what the connection string gives, and ours, of which a later one wins. */
struct keywords {
    const char *names[KEYWORDS_MAX + 1], *values[KEYWORDS_MAX + 1];
    size_t count;
};

static void keyword(struct keywords *keywords, const char *name, const char *value) {
    assert(keywords->count < KEYWORDS_MAX);
    keywords->names[keywords->count] = name;
    keywords->values[keywords->count++] = value;
}

/*
 * Session parameters travel in the start packet, so they hold from the first statement. `options` of the string (or of
 * PGOPTIONS) come last: who sets something there means it.
 */
static PGconn *start(const char *connection, const char *application, int64_t statement_timeout_us, bool blocking) {
    struct keywords keywords = {0};
    struct buffer session = {0};
    PQconninfoOption *given = PQconninfoParse(connection, NULL);
    const char *own_options = getenv("PGOPTIONS");
    PGconn *conn = NULL;
    if (given == NULL)
        return NULL;
    keyword(&keywords, "fallback_application_name", application);
    for (const PQconninfoOption *option = given; option->keyword != NULL; option++) {
        if (option->val == NULL)
            continue;
        if (strcmp(option->keyword, "options") == 0)
            own_options = option->val;
        else
            keyword(&keywords, option->keyword, option->val);
    }
    /* A generic plan is made once; a plan for each call would cost more than our short statements themselves. */
    buffer_printf(&session, "-c TimeZone=UTC -c statement_timeout=%lld %s %s", (long long)(statement_timeout_us / US_PER_MS),
                  blocking ? "" : "-c plan_cache_mode=force_generic_plan", own_options != NULL ? own_options : "");
    buffer_append(&session, "", 1);
    if (buffer_ok(&session)) {
        keyword(&keywords, "client_encoding", "UTF8");
        keyword(&keywords, "options", session.data);
        if (blocking)
            keyword(&keywords, "connect_timeout", "5");
        conn = blocking ? PQconnectdbParams(keywords.names, keywords.values, 0)
                        : PQconnectStartParams(keywords.names, keywords.values, 0);
    }
    buffer_free(&session);
    PQconninfoFree(given);
    return conn;
}

/* The server's warnings go nowhere: what matters comes back as an error. */
static void ignore_notice(void *context, const PGresult *result) {
    (void)context;
    (void)result;
}

/* ---- the connection of the pool ---- */

struct pg_connection *pg_connection_start(const char *string, const char *application, int64_t statement_timeout_us) {
    struct pg_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->conn = start(string, application, statement_timeout_us, false);
    if (connection->conn == NULL) {
        free(connection);
        return NULL;
    }
    (void)PQsetNoticeReceiver(connection->conn, ignore_notice, NULL);
    return connection;
}

enum pg_step pg_connection_poll(struct pg_connection *connection) {
    if (PQstatus(connection->conn) == CONNECTION_BAD)
        return PG_STEP_FAILED;
    switch (PQconnectPoll(connection->conn)) {
    case PGRES_POLLING_READING: return PG_STEP_READ;
    case PGRES_POLLING_WRITING: return PG_STEP_WRITE;
    case PGRES_POLLING_OK:
        return PQsetnonblocking(connection->conn, 1) == 0 && PQenterPipelineMode(connection->conn) == 1 ? PG_STEP_CONNECTED
                                                                                                        : PG_STEP_FAILED;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE: break;
    }
    return PG_STEP_FAILED;
}

int pg_connection_fd(const struct pg_connection *connection) {
    return PQsocket(connection->conn);
}

bool pg_connection_prepare(struct pg_connection *connection, const struct pg_statement *statements, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        Oid types[PG_PARAMETERS_MAX];
        assert(statements[i].parameter_count <= PG_PARAMETERS_MAX);
        for (unsigned p = 0; p < statements[i].parameter_count; p++)
            types[p] = pg_type_oid(statements[i].parameters[p]);
        if (PQsendPrepare(connection->conn, statements[i].name, statements[i].sql, (int)statements[i].parameter_count, types) !=
            1)
            return false;
    }
    return PQpipelineSync(connection->conn) == 1;
}

bool pg_connection_send(struct pg_connection *connection, const struct pg_statement *statement,
                        const struct pg_parameters *parameters) {
    static const int binary[PG_PARAMETERS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    /* PQpipelineSync() of libpq 15 also writes to the socket; so a query costs one system call, and none waits for another. */
    return PQsendQueryPrepared(connection->conn, statement->name, (int)parameters->count, parameters->values, parameters->lengths,
                               binary, 1) == 1 &&
           PQpipelineSync(connection->conn) == 1;
}

enum pg_flush pg_connection_flush(struct pg_connection *connection) {
    int left = PQflush(connection->conn);
    return left == 0 ? PG_FLUSH_DONE : left == 1 ? PG_FLUSH_MORE : PG_FLUSH_LOST;
}

bool pg_connection_receive(struct pg_connection *connection) {
    return PQconsumeInput(connection->conn) == 1 && PQstatus(connection->conn) == CONNECTION_OK;
}

static bool starts(const char *sqlstate, const char *prefix) {
    return strncmp(sqlstate, prefix, strlen(prefix)) == 0;
}

/* SQLSTATE (PostgreSQL, appendix A) to what a caller can do about it. */
static enum pg_outcome outcome_of(const char *sqlstate) {
    if (starts(sqlstate, "57014")) /* query_canceled: the statement timeout */
        return PG_TIMEOUT;
    /* Connection exceptions, resources exhausted, operator intervention, system errors; read-only after a failover. */
    if (starts(sqlstate, "08") || starts(sqlstate, "53") || starts(sqlstate, "57") || starts(sqlstate, "58") ||
        starts(sqlstate, "25006") || *sqlstate == '\0')
        return PG_UNAVAILABLE;
    return PG_REFUSED;
}

bool pg_connection_worn_out(const struct pg_result *result) {
    const char *sqlstate = result->sqlstate;
    /* 57P0x: shutting down; 25006: read-only; 26000: no such statement; 0A000: the plan's columns changed. */
    return starts(sqlstate, "57P") || starts(sqlstate, "08") || starts(sqlstate, "25006") || starts(sqlstate, "26000") ||
           starts(sqlstate, "0A000");
}

static void describe(struct pg_connection *connection, struct pg_result *ret_result) {
    const PGresult *result = connection->result;
    ExecStatusType status = result != NULL ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    *ret_result = (struct pg_result){.message = ""};
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        ret_result->rows = result;
        ret_result->row_count = (size_t)PQntuples(result);
        return;
    }
    const char *sqlstate = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    (void)snprintf(ret_result->sqlstate, sizeof ret_result->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    one_line(message != NULL ? message : result != NULL ? PQresultErrorMessage(result) : "no result", connection->problem);
    ret_result->message = connection->problem;
    ret_result->outcome = outcome_of(ret_result->sqlstate);
}

static bool failed(const PGresult *result) {
    return result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR;
}

bool pg_connection_next(struct pg_connection *connection, struct pg_result *ret_result) {
    if (connection->handed_out) {
        PQclear(connection->result);
        connection->result = NULL;
        connection->handed_out = false;
    }
    for (unsigned ends = 0; ends < 2 && PQisBusy(connection->conn) == 0;) {
        PGresult *result = PQgetResult(connection->conn);
        if (result == NULL) { /* between two statements; twice in a row: there is nothing left, the connection broke */
            ends++;
            continue;
        }
        ends = 0;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            describe(connection, ret_result);
            connection->handed_out = true;
            return true;
        }
        if (failed(connection->result)) { /* the first error of a unit tells; what follows it is only "aborted" */
            PQclear(result);
            continue;
        }
        PQclear(connection->result);
        connection->result = result;
    }
    return false;
}

const char *pg_connection_problem(struct pg_connection *connection) {
    one_line(PQerrorMessage(connection->conn), connection->problem);
    return connection->problem;
}

void pg_connection_free(struct pg_connection *connection) {
    if (connection == NULL)
        return;
    PQclear(connection->result);
    PQfinish(connection->conn);
    free(connection);
}

/* ---- values of a result ---- */

static const char *value_of(const struct pg_result *result, size_t row, unsigned column, enum pg_type type, int size) {
    const PGresult *rows = result->rows;
    assert(rows != NULL && row < result->row_count && column < (unsigned)PQnfields(rows));
    assert(PQftype(rows, (int)column) == pg_type_oid(type) && PQfformat(rows, (int)column) == 1);
    assert(PQgetisnull(rows, (int)row, (int)column) == 0 && PQgetlength(rows, (int)row, (int)column) == size);
    return PQgetvalue(rows, (int)row, (int)column);
}

bool pg_is_null(const struct pg_result *result, size_t row, unsigned column) {
    assert(result->rows != NULL && row < result->row_count && column < (unsigned)PQnfields(result->rows));
    return PQgetisnull(result->rows, (int)row, (int)column) == 1;
}

int32_t pg_int4(const struct pg_result *result, size_t row, unsigned column) {
    return pg_read_int4(value_of(result, row, column, PG_INT4, sizeof(int32_t)));
}

int64_t pg_int8(const struct pg_result *result, size_t row, unsigned column) {
    return pg_read_int8(value_of(result, row, column, PG_INT8, sizeof(int64_t)));
}

bool pg_bool(const struct pg_result *result, size_t row, unsigned column) {
    return *value_of(result, row, column, PG_BOOL, 1) != 0;
}

int64_t pg_time_us(const struct pg_result *result, size_t row, unsigned column) {
    return pg_timestamp_to_us(pg_read_int8(value_of(result, row, column, PG_TIMESTAMP, sizeof(int64_t))));
}

#define OID_VARCHAR 1043

struct text pg_text(const struct pg_result *result, size_t row, unsigned column) {
    const PGresult *rows = result->rows;
    if (pg_is_null(result, row, column))
        return (struct text){0};
    assert(PQftype(rows, (int)column) == pg_type_oid(PG_TEXT) || PQftype(rows, (int)column) == OID_VARCHAR);
    return (struct text){PQgetvalue(rows, (int)row, (int)column), (size_t)PQgetlength(rows, (int)row, (int)column)};
}

/* ---- the connection that blocks ---- */

struct pg_session {
    PGconn *conn;
};

struct pg_rows {
    PGresult *result;
};

static void say(struct buffer *problem, const char *message) {
    char line[PROBLEM_BYTES];
    one_line(message, line);
    buffer_append_text(problem, text_from(line));
}

struct pg_session *pg_session_open(const char *connection, const char *application, int64_t wait_ms, struct buffer *problem) {
    struct pg_session *session = calloc(1, sizeof *session);
    int64_t end_us = clock_monotonic_us() + wait_ms * US_PER_MS;
    if (session == NULL || !pg_connection_valid(connection)) {
        say(problem, session == NULL ? "out of memory" : "the database's connection string is malformed");
        free(session);
        return NULL;
    }
    for (;;) {
        session->conn = start(connection, application, 0, true);
        if (PQstatus(session->conn) == CONNECTION_OK) {
            (void)PQsetNoticeReceiver(session->conn, ignore_notice, NULL);
            return session;
        }
        if (clock_monotonic_us() >= end_us)
            break;
        PQfinish(session->conn);
        (void)nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    say(problem, session->conn != NULL ? PQerrorMessage(session->conn) : "out of memory");
    pg_session_close(session);
    return NULL;
}

void pg_session_close(struct pg_session *session) {
    if (session == NULL)
        return;
    PQfinish(session->conn);
    free(session);
}

bool pg_session_connected(const struct pg_session *session) {
    return PQstatus(session->conn) == CONNECTION_OK;
}

/* Takes the result over. */
static bool good(struct pg_session *session, PGresult *result, struct buffer *problem) {
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return true;
    say(problem, result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(session->conn));
    PQclear(result);
    return false;
}

bool pg_session_run(struct pg_session *session, const char *sql, struct buffer *problem) {
    PGresult *result = PQexec(session->conn, sql);
    if (!good(session, result, problem))
        return false;
    PQclear(result);
    return true;
}

struct pg_rows *pg_session_query(struct pg_session *session, const char *sql, const char *const *parameters,
                                 unsigned parameter_count, struct buffer *problem) {
    PGresult *result = PQexecParams(session->conn, sql, (int)parameter_count, NULL, parameters, NULL, NULL, 0);
    struct pg_rows *rows = NULL;
    if (!good(session, result, problem))
        return NULL;
    rows = malloc(sizeof *rows);
    if (rows == NULL) {
        say(problem, "out of memory");
        PQclear(result);
        return NULL;
    }
    rows->result = result;
    return rows;
}

size_t pg_rows_count(const struct pg_rows *rows) {
    return (size_t)PQntuples(rows->result);
}

const char *pg_rows_value(const struct pg_rows *rows, size_t row, unsigned column) {
    assert(row < pg_rows_count(rows) && column < (unsigned)PQnfields(rows->result));
    return PQgetisnull(rows->result, (int)row, (int)column) ? NULL : PQgetvalue(rows->result, (int)row, (int)column);
}

void pg_rows_free(struct pg_rows *rows) {
    if (rows == NULL)
        return;
    PQclear(rows->result);
    free(rows);
}
