/*
 * migrate.h: bring a database to the schema that this program was built with. It builds the tables on an empty database,
 * adopts those of an installation of the older system in place, and does nothing to one that is up to date.
 *
 * It blocks; call it from a command, never from an actor's loop. Several may run at the same time: an advisory lock lets
 * one work while the others wait, find everything done, and say so.
 */
#ifndef PIXBUS_SQL_MIGRATE_H
#define PIXBUS_SQL_MIGRATE_H

#include <stdint.h>

#include "base/buffer.h"

enum migrate_outcome {
    MIGRATE_DONE,        /* the schema is this program's, whether it was before or is now */
    MIGRATE_UNAVAILABLE, /* no connection, or it was lost; trying again may help */
    MIGRATE_NEWER,       /* the database holds a migration that this program does not know: use a newer program */
    MIGRATE_CHANGED,     /* a migration that was applied differs from the one in this program */
    MIGRATE_FAILED,      /* Postgres refused a statement; that migration was undone, the ones before it stay */
};

struct migrate_options {
    const char *connection; /* libpq connection string, see settings_database(); "" for libpq's PG* variables */
    int64_t wait_ms;        /* keep trying to connect for this long, for a Postgres that is starting; 0: once */
    /* Called with one line of text, without a newline, for each thing done. May be NULL. */
    void (*report)(void *context, const char *line);
    void *context;
};

/*
 * Run what is missing, each migration in a transaction of its own. Unless the outcome is MIGRATE_DONE, `problem` holds
 * text for people: what happened, and what to do.
 */
[[gnu::warn_unused_result]] enum migrate_outcome migrate_run(const struct migrate_options *options, struct buffer *problem);

#endif
