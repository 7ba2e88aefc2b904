/*
 * place.h: where one machine's installation lives and as whom it runs. Postgres refuses root and nothing else needs it, so
 * root gives it up before anything is started: for PIXBUS_ACCOUNT, else the owner of an existing var directory, else
 * postgres, else nobody. If that account cannot reach the var directory (a checkout under /root), another one under
 * /var/lib/pixbus is taken; if it cannot reach the programs, they are copied into the var directory.
 */
#ifndef PIXBUS_CTL_PLACE_H
#define PIXBUS_CTL_PLACE_H

#include <limits.h>

#include "base/setting.h"

/* Unix sockets take 107 bytes; nginx, Postgres and the broker put up to 17 behind the directory. */
#define RUN_DIRECTORY_BYTES_MAX 90

struct place {
    char programs[PATH_MAX]; /* directory of pixbus, pixbus-broker … */
    char var[PATH_MAX];      /* absolute, ours, mode 0700 */
    char run[RUN_DIRECTORY_BYTES_MAX + 1];
    int lock; /* held while the process lives */
};

/*
 * Find and make the directories, give up root, lock the var directory. False with `problem`: what is wrong, and what to
 * do; that somebody else holds the lock is among it. What is unusual but works is logged.
 */
[[gnu::warn_unused_result]] bool place_open(const struct settings *settings, struct place *ret_place, struct buffer *problem);

#endif
