/*
 * supervisor.h: programs that are kept running. It starts each of them when what it needs is there, starts it again when
 * it dies, and at the end stops them one stage after the other. It owns no policy on what runs: that is a table.
 *
 * A child has a process group of its own, so that a Ctrl-C at the terminal reaches the supervisor only; /dev/null as its
 * input; and the supervisor's standard error for both outputs. It gets `death_signal` when the supervisor dies.
 */
#ifndef PIXBUS_CTL_SUPERVISOR_H
#define PIXBUS_CTL_SUPERVISOR_H

#include <sys/types.h>

#include "base/loop.h"

#define SUPERVISOR_PROGRAMS_MAX 64

enum program_state {
    PROGRAM_WAITING,  /* for the program that it needs */
    PROGRAM_RUNNING,  /* as far as the kernel knows */
    PROGRAM_BACKOFF,  /* it died; starts again when its timer fires */
    PROGRAM_DONE,     /* a task that has ended well */
    PROGRAM_STOPPING, /* was asked to end */
    PROGRAM_KILLED,   /* did not end in its time, and got SIGKILL */
    PROGRAM_ENDED,    /* for good */
};

struct program {
    const char *name;  /* in logs; also PIXBUS_INSTANCE of the child */
    char *const *argv; /* argv[0] is a path */
    const char *needs; /* start when the program of this name runs, or is done if it is a task. NULL: at once */
    bool task;         /* ends by itself with status 0; any other end is the end of everything */
    unsigned stage;    /* 0 stops first; the next stage begins when all of this one have ended */
    int stop_signal, death_signal;
    int64_t stop_limit_us;          /* from the stop signal to SIGKILL */
    void (*prepare)(void *context); /* before each start. May be NULL */
    void *context;
};

struct supervisor_options {
    struct loop *loop;
    const struct program *programs; /* with all they point to, they live as long as the supervisor */
    size_t count;
    /* Everything has ended. `failed`: not because supervisor_drain() was called. */
    void (*ended)(void *context, bool failed);
    void *context;
};

struct supervisor;

/* Takes SIGCHLD of the process. NULL with errno. */
[[gnu::warn_unused_result]] struct supervisor *supervisor_new(const struct supervisor_options *options);

/* All programs must have ended. Takes NULL. */
void supervisor_free(struct supervisor *supervisor);

void supervisor_start(struct supervisor *supervisor);

/*
 * Until this is called a program that dies more often than 5 times in 10 s, or that says by its status (2, or 126 and 127
 * of exec) that starting it again is useless, ends everything. From then on it is started again, at most every 5 s.
 */
void supervisor_serving(struct supervisor *supervisor);

/* Stop everything in order. Called again: the same in a tenth of the time. */
void supervisor_drain(struct supervisor *supervisor);

/* The same because something went wrong. */
void supervisor_fail(struct supervisor *supervisor);

enum program_state supervisor_state(const struct supervisor *supervisor, size_t program);
/* 0 while it does not run. */
pid_t supervisor_pid(const struct supervisor *supervisor, size_t program);

#endif
