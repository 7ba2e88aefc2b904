/*
 * postgres.h: a real Postgres for a test program: a cluster of its own in a temporary directory, a unix socket only,
 * nothing synced to disk. Run by root it becomes the user `postgres`, because Postgres refuses root. A failure of the
 * set-up ends the program.
 */
#ifndef PIXBUS_TEST_POSTGRES_H
#define PIXBUS_TEST_POSTGRES_H

#include <sys/types.h>

#include "pg/session.h"

struct postgres {
    char directory[64];
    char connection[128]; /* of the database `postgres` */
    pid_t pid;            /* 0 while it does not run */
};

/* Make the cluster and start it; wait until it serves. */
void postgres_create(struct postgres *postgres);
/* Stop it and remove the cluster. */
void postgres_destroy(struct postgres *postgres);

/* Start it again, without waiting until it serves. */
void postgres_start(struct postgres *postgres);
/* SIGQUIT ends it and every session at once, SIGINT in order; waits until it is gone. */
void postgres_stop(struct postgres *postgres, int signal_number);

/* SIGSTOP or SIGCONT for the server and all its sessions: a machine that hangs. */
void postgres_signal_all(const struct postgres *postgres, int signal_number);

/* Make a database and write its connection string. */
void postgres_database(const struct postgres *postgres, const char *name, char out[192]);

/* Run statements on a connection string; the program ends if one fails. */
void postgres_run(const char *connection, const char *sql);
/* The first value of the first row, copied; "" for NULL or no row. */
void postgres_value(const char *connection, const char *sql, char *out, size_t out_size);

#endif
