#include "bus/ctl/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define INTENSITY_DEATHS 5
#define INTENSITY_WINDOW_US (10 * US_PER_S)
#define BACKOFF_FIRST_US (50 * US_PER_MS)
#define BACKOFF_MAX_US (5 * US_PER_S)
#define STATUS_USELESS 2 /* malformed settings or arguments: our programs' convention */
#define STATUS_EXEC_FAILED 126

struct child {
    const struct program *program;
    enum program_state state;
    pid_t pid;
    int64_t started_us;
    int64_t deaths_us[INTENSITY_DEATHS]; /* a ring: when it died last */
    size_t death_count;
    unsigned quick_deaths; /* in a row, each within the window of its start */
    struct loop_timer timer;
    struct supervisor *supervisor;
};

enum supervisor_phase {
    PHASE_STARTING,
    PHASE_SERVING,  /* everything answered once: from now on we never give up by ourselves */
    PHASE_DRAINING, /* one stage after the other */
    PHASE_HURRYING, /* the same in a tenth of the time */
    PHASE_OVER,
};

struct supervisor {
    struct supervisor_options options;
    enum supervisor_phase phase;
    bool failed;
    struct child children[]; /* options.count */
};

static void start_ready_children(struct supervisor *supervisor);
static void stop_next_stage(struct supervisor *supervisor);

static const char *const state_names[] = {"waiting", "running", "backoff", "done", "stopping", "killed", "ended"};

/* The one place where a child's state changes. */
static void enter(struct child *child, enum program_state state) {
    log_event(LOG_LEVEL_DEBUG, "program_state", "name", child->program->name, "from", state_names[child->state], "to",
              state_names[state], NULL);
    child->state = state;
    if (state != PROGRAM_BACKOFF && state != PROGRAM_STOPPING)
        loop_timer_clear(&child->timer);
    if (state != PROGRAM_RUNNING && state != PROGRAM_STOPPING && state != PROGRAM_KILLED)
        child->pid = 0;
}

static bool is_draining(const struct supervisor *supervisor) {
    return supervisor->phase == PHASE_DRAINING || supervisor->phase == PHASE_HURRYING;
}

static bool lives(const struct child *child) {
    return child->state == PROGRAM_RUNNING || child->state == PROGRAM_STOPPING || child->state == PROGRAM_KILLED;
}

/* In the child, between fork() and exec(). Does not return. */
static void become(const struct program *program, pid_t parent) {
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)setpgid(0, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, program->death_signal);
    if (getppid() != parent) /* it died before that took effect */
        _exit(STATUS_EXEC_FAILED);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
        setenv("PIXBUS_INSTANCE", program->name, 1) != 0)
        _exit(STATUS_EXEC_FAILED);
    (void)execv(program->argv[0], program->argv);
    log_event(LOG_LEVEL_ERROR, "exec_failed", "path", program->argv[0], "reason", strerrordesc_np(errno), NULL);
    _exit(STATUS_EXEC_FAILED);
}

static void die(struct child *child, const char *how, bool useless);

static void start(struct child *child) {
    const struct program *program = child->program;
    pid_t parent = getpid(), pid;
    if (program->prepare != NULL)
        program->prepare(program->context);
    child->started_us = clock_monotonic_us();
    pid = fork();
    if (pid == 0)
        become(program, parent);
    if (pid < 0) {
        enter(child, PROGRAM_RUNNING);
        die(child, "it cannot be started: no memory or too many processes", false);
        return;
    }
    (void)setpgid(pid, pid); /* here too, so that a kill of the group cannot come before it */
    child->pid = pid;
    enter(child, PROGRAM_RUNNING);
    start_ready_children(child->supervisor);
}

static const struct child *child_named(const struct supervisor *supervisor, const char *name) {
    for (size_t i = 0; i < supervisor->options.count; i++)
        if (strcmp(supervisor->children[i].program->name, name) == 0)
            return &supervisor->children[i];
    return NULL;
}

static void start_ready_children(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->options.count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->state != PROGRAM_WAITING || is_draining(supervisor))
            continue;
        if (child->program->needs != NULL) {
            const struct child *needed = child_named(supervisor, child->program->needs);
            if (needed->state != (needed->program->task ? PROGRAM_DONE : PROGRAM_RUNNING))
                continue;
        }
        start(child);
    }
}

static void backoff_over(struct loop_timer *timer) {
    start(timer->context);
}

/* Has it died more often than is bearable? */
static bool count_death(struct child *child, int64_t now_us) {
    int64_t oldest_us = child->deaths_us[child->death_count % INTENSITY_DEATHS];
    bool quick = now_us - child->started_us < INTENSITY_WINDOW_US;
    bool too_often = child->death_count >= INTENSITY_DEATHS && now_us - oldest_us < INTENSITY_WINDOW_US;
    child->deaths_us[child->death_count++ % INTENSITY_DEATHS] = now_us;
    child->quick_deaths = quick ? child->quick_deaths + 1 : 0;
    return too_often;
}

/* A child ended that nobody asked to. */
static void die(struct child *child, const char *how, bool useless) {
    struct supervisor *supervisor = child->supervisor;
    int64_t now_us = clock_monotonic_us(), wait_us = BACKOFF_FIRST_US;
    bool too_often = count_death(child, now_us);
    if (supervisor->phase == PHASE_STARTING && (too_often || useless || child->program->task)) {
        log_event(LOG_LEVEL_ERROR, "program_failed", "name", child->program->name, "how", how, "consequence",
                  "nothing can be served; everything stops", NULL);
        enter(child, PROGRAM_ENDED);
        supervisor_fail(supervisor);
        return;
    }
    for (unsigned i = 1; i < child->quick_deaths && wait_us < BACKOFF_MAX_US; i++)
        wait_us *= 2;
    log_event(too_often ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "program_died", "name", child->program->name, "how", how,
              "consequence", "it is started again", NULL);
    enter(child, PROGRAM_BACKOFF);
    loop_timer_set(supervisor->options.loop, &child->timer, now_us + (wait_us < BACKOFF_MAX_US ? wait_us : BACKOFF_MAX_US));
}

static void reaped(struct child *child, int status) {
    struct supervisor *supervisor = child->supervisor;
    bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    char how[64];
    (void)kill(-child->pid, SIGKILL); /* what it left behind: a dead nginx's workers would keep its port */
    if (WIFEXITED(status))
        (void)snprintf(how, sizeof how, "status %d", WEXITSTATUS(status));
    else
        (void)snprintf(how, sizeof how, "signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
    if (is_draining(supervisor)) {
        if (!well && child->state != PROGRAM_KILLED)
            log_event(LOG_LEVEL_WARN, "program_ended", "name", child->program->name, "how", how, NULL);
        enter(child, PROGRAM_ENDED);
        stop_next_stage(supervisor);
    } else if (child->program->task && well) {
        enter(child, PROGRAM_DONE);
        start_ready_children(supervisor);
    } else {
        die(child, how,
            WIFEXITED(status) && (WEXITSTATUS(status) == STATUS_USELESS || WEXITSTATUS(status) >= STATUS_EXEC_FAILED));
    }
}

static void reap(void *context, int signal_number) {
    struct supervisor *supervisor = context;
    pid_t pid;
    int status;
    (void)signal_number;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) { /* orphans too, where we are their reaper */
        for (size_t i = 0; i < supervisor->options.count; i++) {
            if (lives(&supervisor->children[i]) && supervisor->children[i].pid == pid) {
                reaped(&supervisor->children[i], status);
                break;
            }
        }
    }
}

static void stop_limit_over(struct child *child) {
    log_event(LOG_LEVEL_WARN, "program_killed", "name", child->program->name, "how", "it did not end in its time", NULL);
    (void)kill(-child->pid, SIGKILL);
    enter(child, PROGRAM_KILLED);
}

static void timer_fired(struct loop_timer *timer) {
    struct child *child = timer->context;
    if (child->state == PROGRAM_BACKOFF)
        backoff_over(timer);
    else if (child->state == PROGRAM_STOPPING)
        stop_limit_over(child);
}

static void stop(struct child *child) {
    const struct supervisor *supervisor = child->supervisor;
    int64_t limit_us = child->program->stop_limit_us;
    if (child->state == PROGRAM_RUNNING) {
        /* One that is stopped could not heed the signal. This comes first: a program may be done with the other one within
         * microseconds and stopped again, by its own leak check, which a SIGCONT that comes late would undo. */
        (void)kill(child->pid, SIGCONT);
        (void)kill(child->pid, child->program->stop_signal);
        enter(child, PROGRAM_STOPPING);
    }
    if (child->state == PROGRAM_STOPPING)
        loop_timer_set(supervisor->options.loop, &child->timer,
                       clock_monotonic_us() + (supervisor->phase == PHASE_HURRYING ? limit_us / 10 : limit_us));
}

/* Stop the first stage of which something lives. Called again when something of it has ended, or time presses. */
static void stop_next_stage(struct supervisor *supervisor) {
    unsigned stage = UINT32_MAX;
    for (size_t i = 0; i < supervisor->options.count; i++) {
        struct child *child = &supervisor->children[i];
        if (!lives(child) && child->state != PROGRAM_ENDED)
            enter(child, PROGRAM_ENDED);
        if (lives(child) && child->program->stage < stage)
            stage = child->program->stage;
    }
    if (stage == UINT32_MAX) {
        if (supervisor->phase != PHASE_OVER) {
            supervisor->phase = PHASE_OVER;
            supervisor->options.ended(supervisor->options.context, supervisor->failed);
        }
        return;
    }
    for (size_t i = 0; i < supervisor->options.count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->program->stage == stage && child->state == PROGRAM_RUNNING)
            stop(child);
    }
}

struct supervisor *supervisor_new(const struct supervisor_options *options) {
    struct supervisor *supervisor;
    assert(options->count <= SUPERVISOR_PROGRAMS_MAX);
    supervisor = calloc(1, sizeof *supervisor + options->count * sizeof(struct child));
    if (supervisor == NULL)
        return NULL;
    supervisor->options = *options;
    for (size_t i = 0; i < options->count; i++)
        supervisor->children[i] = (struct child){.program = &options->programs[i],
                                                 .state = PROGRAM_WAITING,
                                                 .supervisor = supervisor,
                                                 .timer = {.fire = timer_fired, .context = &supervisor->children[i]}};
    for (size_t i = 0; i < options->count; i++)
        assert(options->programs[i].needs == NULL || child_named(supervisor, options->programs[i].needs) != NULL);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* what a killed program leaves behind ends up here, not with init */
    if (!loop_signal(options->loop, SIGCHLD, reap, supervisor)) {
        free(supervisor);
        return NULL;
    }
    return supervisor;
}

void supervisor_free(struct supervisor *supervisor) {
    if (supervisor == NULL)
        return;
    for (size_t i = 0; i < supervisor->options.count; i++) {
        assert(!lives(&supervisor->children[i]));
        loop_timer_clear(&supervisor->children[i].timer);
    }
    free(supervisor);
}

void supervisor_start(struct supervisor *supervisor) {
    start_ready_children(supervisor);
}

void supervisor_serving(struct supervisor *supervisor) {
    if (supervisor->phase == PHASE_STARTING)
        supervisor->phase = PHASE_SERVING;
}

void supervisor_drain(struct supervisor *supervisor) {
    if (supervisor->phase == PHASE_DRAINING) {
        supervisor->phase = PHASE_HURRYING;
        for (size_t i = 0; i < supervisor->options.count; i++)
            if (supervisor->children[i].state == PROGRAM_STOPPING)
                stop(&supervisor->children[i]);
    } else if (!is_draining(supervisor) && supervisor->phase != PHASE_OVER) {
        supervisor->phase = PHASE_DRAINING;
        stop_next_stage(supervisor);
    }
}

void supervisor_fail(struct supervisor *supervisor) {
    supervisor->failed = true;
    if (!is_draining(supervisor))
        supervisor_drain(supervisor);
}

enum program_state supervisor_state(const struct supervisor *supervisor, size_t program) {
    assert(program < supervisor->options.count);
    return supervisor->children[program].state;
}

pid_t supervisor_pid(const struct supervisor *supervisor, size_t program) {
    assert(program < supervisor->options.count);
    return supervisor->children[program].pid;
}
