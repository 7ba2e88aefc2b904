/*
 * postgres.h: the private Postgres cluster of one machine, made of the distribution's PostgreSQL. It is reached by a unix
 * socket only, in a directory that only its owner can enter; the database and its superuser are both called pixbus.
 */
#ifndef PIXBUS_CTL_POSTGRES_H
#define PIXBUS_CTL_POSTGRES_H

#include <limits.h>

#include "base/buffer.h"

#define POSTGRES_ARGUMENTS_MAX 16

struct postgres {
    char binaries[PATH_MAX];  /* initdb, postgres */
    char directory[PATH_MAX]; /* the cluster */
    char run[PATH_MAX];       /* of the socket */
    char arguments[POSTGRES_ARGUMENTS_MAX][PATH_MAX + 64];
    char *argv[POSTGRES_ARGUMENTS_MAX + 1];
};

/*
 * Find the binaries (those of the cluster's version if there is a cluster) and make the cluster if there is none, which
 * takes a second or two; one that was interrupted is made anew. `postgres` must stay in place afterwards.
 */
[[gnu::warn_unused_result]] bool postgres_open(struct postgres *postgres, const char *directory, const char *run,
                                               struct buffer *problem);

/*
 * Remove a postmaster.pid whose process is gone or is not Postgres in this cluster; Postgres itself is fooled when the
 * process id belongs to somebody else by now, as it often does in a container. Call it before each start.
 */
void postgres_remove_stale_pid(const struct postgres *postgres);

/* The connection URI of the database. */
[[gnu::warn_unused_result]] bool postgres_url(const struct postgres *postgres, struct buffer *out);

#endif
