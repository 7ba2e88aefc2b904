#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"

#define EVENTS_PER_TURN 256

struct signal_handler {
    struct loop_watch watch;
    void (*handle)(void *context, int signal_number);
    void *context;
    struct signal_handler *next;
};

struct loop {
    int epoll_fd;
    bool stopping;
    int64_t now_us;
    atomic_uint_fast64_t turns;
    struct timers timers;
    struct loop_hook *hooks;
    struct signal_handler *signals;
    struct epoll_event ready[EVENTS_PER_TURN];
    int ready_count, ready_at;
    pthread_mutex_t mutex; /* guards the tasks */
    struct loop_task *tasks, **tasks_end;
    struct loop_watch wake;
};

static void run_tasks(struct loop_watch *watch, unsigned ready) {
    struct loop *loop = watch->context;
    uint64_t count;
    (void)ready;
    while (read(watch->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    (void)pthread_mutex_lock(&loop->mutex);
    struct loop_task *task = loop->tasks;
    loop->tasks = NULL;
    loop->tasks_end = &loop->tasks;
    (void)pthread_mutex_unlock(&loop->mutex);
    while (task != NULL) {
        struct loop_task *next = task->next; /* run() may free the task */
        task->run(task);
        task = next;
    }
}

struct loop *loop_new(void) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return NULL;
    (void)pthread_mutex_init(&loop->mutex, NULL);
    loop->tasks_end = &loop->tasks;
    loop->now_us = clock_monotonic_us();
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .interest = LOOP_READ, .ready = run_tasks, .context = loop};
    if (loop->epoll_fd < 0 || loop->wake.fd < 0 || !loop_watch_add(loop, &loop->wake)) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop) {
    int saved = errno;
    if (loop == NULL)
        return;
    while (loop->signals != NULL) {
        struct signal_handler *handler = loop->signals;
        loop->signals = handler->next;
        (void)close(handler->watch.fd);
        free(handler);
    }
    timers_free(&loop->timers);
    if (loop->wake.fd >= 0)
        (void)close(loop->wake.fd);
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    (void)pthread_mutex_destroy(&loop->mutex);
    free(loop);
    errno = saved;
}

int64_t loop_now_us(const struct loop *loop) {
    return loop->now_us;
}

uint64_t loop_turns(const struct loop *loop) {
    return atomic_load_explicit(&loop->turns, memory_order_relaxed);
}

static uint32_t epoll_events(unsigned interest) {
    return (interest & LOOP_READ ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0u) | (interest & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0u);
}

bool loop_watch_add(struct loop *loop, struct loop_watch *watch) {
    struct epoll_event event = {.events = epoll_events(watch->interest), .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return false;
    watch->loop = loop;
    return true;
}

void loop_watch_change(struct loop_watch *watch, unsigned interest) {
    struct epoll_event event = {.events = epoll_events(interest), .data.ptr = watch};
    if (watch->loop == NULL || watch->interest == interest)
        return;
    watch->interest = interest;
    (void)epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_watch_remove(struct loop_watch *watch) {
    struct loop *loop = watch->loop;
    if (loop == NULL)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = loop->ready_at; i < loop->ready_count; i++)
        if (loop->ready[i].data.ptr == watch)
            loop->ready[i].data.ptr = NULL; /* it may be gone when its turn in this batch comes */
    watch->loop = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_us) {
    timer->loop = loop;
    timers_set(&loop->timers, &timer->timer, due_us);
}

void loop_timer_clear(struct loop_timer *timer) {
    if (timer->loop != NULL)
        timers_clear(&timer->loop->timers, &timer->timer);
    timer->loop = NULL;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook) {
    struct loop_hook **end = &loop->hooks;
    while (*end != NULL)
        end = &(*end)->next;
    hook->next = NULL;
    *end = hook;
}

void loop_post(struct loop *loop, struct loop_task *task) {
    uint64_t one = 1;
    task->next = NULL;
    (void)pthread_mutex_lock(&loop->mutex);
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
    (void)pthread_mutex_unlock(&loop->mutex);
    while (write(loop->wake.fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void signal_ready(struct loop_watch *watch, unsigned ready) {
    struct signal_handler *handler = watch->context;
    struct signalfd_siginfo info;
    (void)ready;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        handler->handle(handler->context, (int)info.ssi_signo);
}

bool loop_signal(struct loop *loop, int signal_number, void (*handle)(void *context, int signal_number), void *context) {
    struct signal_handler *handler = calloc(1, sizeof *handler);
    sigset_t set;
    if (handler == NULL)
        return false;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal_number);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    handler->handle = handle;
    handler->context = context;
    handler->watch = (struct loop_watch){
        .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .interest = LOOP_READ, .ready = signal_ready, .context = handler};
    if (handler->watch.fd < 0 || !loop_watch_add(loop, &handler->watch)) {
        if (handler->watch.fd >= 0)
            (void)close(handler->watch.fd);
        free(handler);
        return false;
    }
    handler->next = loop->signals;
    loop->signals = handler;
    return true;
}

void loop_stop(struct loop *loop) {
    loop->stopping = true;
}

static int wait_ms(const struct loop *loop) {
    int64_t due_us = timers_due_us(&loop->timers);
    if (due_us == INT64_MAX)
        return -1;
    int64_t left_us = due_us - clock_monotonic_us();
    return left_us <= 0 ? 0 : left_us > 60 * US_PER_S ? 60000 : (int)((left_us + 999) / 1000);
}

static void run_watches(struct loop *loop) {
    for (loop->ready_at = 0; loop->ready_at < loop->ready_count;) {
        struct epoll_event event = loop->ready[loop->ready_at++];
        struct loop_watch *watch = event.data.ptr;
        unsigned ready = 0;
        if (watch == NULL)
            continue;
        if (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            ready |= LOOP_READ;
        if (event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            ready |= LOOP_WRITE;
        watch->ready(watch, ready);
    }
    loop->ready_count = 0;
}

static void run_timers(struct loop *loop) {
    /* A timer that its own handler sets again for now waits for the next turn. */
    for (size_t budget = loop->timers.count; budget > 0; budget--) {
        struct timer *due = timers_take_due(&loop->timers, loop->now_us);
        if (due == NULL)
            break;
        struct loop_timer *timer = (struct loop_timer *)((char *)due - offsetof(struct loop_timer, timer));
        timer->loop = NULL;
        timer->fire(timer);
    }
}

void loop_run(struct loop *loop) {
    loop->stopping = false;
    while (!loop->stopping) {
        int count = epoll_wait(loop->epoll_fd, loop->ready, EVENTS_PER_TURN, wait_ms(loop));
        loop->now_us = clock_monotonic_us();
        loop->ready_count = count > 0 ? count : 0;
        atomic_fetch_add_explicit(&loop->turns, 1, memory_order_relaxed);
        run_watches(loop);
        run_timers(loop);
        for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = hook->next)
            hook->run(hook);
    }
}
