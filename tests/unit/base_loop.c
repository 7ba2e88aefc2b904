/* The event loop: readiness, timers, hooks, tasks of other threads, signals; and what may be taken away while it turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"

/* What happened, in order, as letters. */
struct story {
    struct loop *loop;
    char text[64];
    size_t size, end; /* the loop stops when there are so many */
};

static void tell(struct story *story, char letter) {
    assert_true(story->size < sizeof story->text - 1);
    story->text[story->size++] = letter;
    if (story->size == story->end)
        loop_stop(story->loop);
}

static void story_new(struct story *story, size_t end) {
    *story = (struct story){.loop = loop_new(), .end = end};
    assert_non_null(story->loop);
}

/* A timer that tells its letter. */
struct alarm {
    struct loop_timer timer;
    struct story *story;
    char letter;
    int again; /* so many times more, at once */
};

static void ring(struct loop_timer *timer) {
    struct alarm *alarm = timer->context;
    tell(alarm->story, alarm->letter);
    if (alarm->again-- > 0)
        loop_timer_set(alarm->story->loop, timer, 0);
}

static void alarm_new(struct alarm *alarm, struct story *story, char letter) {
    *alarm = (struct alarm){.timer = {.fire = ring}, .story = story, .letter = letter};
    alarm->timer.context = alarm;
}

static void timers_fire_in_order(void **state) {
    struct story story;
    struct alarm a, b, c, d;
    int64_t now_us = clock_monotonic_us();
    (void)state;
    story_new(&story, 3);
    alarm_new(&a, &story, 'a');
    alarm_new(&b, &story, 'b');
    alarm_new(&c, &story, 'c');
    alarm_new(&d, &story, 'd');
    loop_timer_set(story.loop, &b.timer, now_us + 3000);
    loop_timer_set(story.loop, &a.timer, now_us - 1000000); /* overdue */
    loop_timer_set(story.loop, &c.timer, now_us + 100 * US_PER_S);
    loop_timer_set(story.loop, &d.timer, now_us + 1000);
    loop_timer_set(story.loop, &c.timer, now_us + 5000); /* moved */
    loop_timer_clear(&d.timer);
    loop_timer_clear(&d.timer);
    loop_run(story.loop);
    assert_string_equal(story.text, "abc");
    assert_true(clock_monotonic_us() >= now_us + 5000); /* none before its time */
    assert_true(loop_now_us(story.loop) >= now_us + 5000);
    loop_free(story.loop);
}

struct turn_hook {
    struct loop_hook hook;
    struct story *story;
    char letter;
};

static void turn_ended(struct loop_hook *hook) {
    struct turn_hook *turn = hook->context;
    tell(turn->story, turn->letter);
}

/* A timer that sets itself for now does not keep the turn from ending. */
static void every_turn_ends_with_its_hooks(void **state) {
    struct story story;
    struct alarm a;
    struct turn_hook first = {.hook = {.run = turn_ended, .context = &first}, .story = &story, .letter = '1'};
    struct turn_hook second = {.hook = {.run = turn_ended, .context = &second}, .story = &story, .letter = '2'};
    uint64_t turns;
    (void)state;
    story_new(&story, 9);
    loop_hook_add(story.loop, &first.hook);
    loop_hook_add(story.loop, &second.hook);
    alarm_new(&a, &story, 'a');
    a.again = 10;
    turns = loop_turns(story.loop);
    loop_timer_set(story.loop, &a.timer, 0);
    loop_run(story.loop);
    assert_string_equal(story.text, "a12a12a12");
    assert_int_equal(loop_turns(story.loop) - turns, 3);
    loop_free(story.loop);
}

/* One end of a pair of sockets. */
struct end {
    struct loop_watch watch;
    struct story *story;
    char letter;
    struct loop_watch *victim; /* that it removes */
    unsigned seen;
};

static void end_ready(struct loop_watch *watch, unsigned ready) {
    struct end *end = watch->context;
    char byte;
    end->seen = ready;
    if (ready & LOOP_READ)
        (void)!read(watch->fd, &byte, 1);
    if (end->victim != NULL)
        loop_watch_remove(end->victim);
    tell(end->story, end->letter);
}

static void pair_new(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void end_new(struct end *end, struct story *story, char letter, int fd, unsigned interest) {
    *end = (struct end){.watch = {.fd = fd, .interest = interest, .ready = end_ready}, .story = story, .letter = letter};
    end->watch.context = end;
    assert_true(loop_watch_add(story->loop, &end->watch));
}

static void descriptors_are_watched(void **state) {
    struct story story;
    struct end end;
    int fds[2];
    (void)state;
    story_new(&story, 1);
    pair_new(fds);
    end_new(&end, &story, 'r', fds[0], LOOP_READ);
    assert_false(loop_watch_add(story.loop, &(struct loop_watch){.fd = fds[0], .interest = LOOP_READ})); /* twice */
    assert_false(loop_watch_add(story.loop, &(struct loop_watch){.fd = -1, .interest = LOOP_READ}));
    assert_int_equal(write(fds[1], "xy", 2), 2);
    loop_run(story.loop);
    assert_int_equal(end.seen, LOOP_READ);
    story.end = 2; /* level-triggered: the second byte is still there */
    loop_run(story.loop);
    loop_watch_change(&end.watch, LOOP_WRITE);
    story.end = 3;
    loop_run(story.loop);
    assert_int_equal(end.seen, LOOP_WRITE);
    loop_watch_change(&end.watch, LOOP_READ);
    (void)close(fds[1]); /* a hang-up counts as both */
    story.end = 4;
    loop_run(story.loop);
    assert_true(end.seen & LOOP_READ);
    loop_watch_remove(&end.watch);
    loop_watch_remove(&end.watch);
    (void)close(fds[0]);
    loop_free(story.loop);
}

/* Of two that are ready in the same turn, each removes the other: one runs, whichever comes first. */
static void a_removed_watch_is_not_called(void **state) {
    struct story story;
    struct end one, other;
    struct alarm later;
    int fds[2];
    (void)state;
    story_new(&story, 2);
    pair_new(fds);
    end_new(&one, &story, 'x', fds[0], LOOP_WRITE);
    end_new(&other, &story, 'x', fds[1], LOOP_WRITE);
    one.victim = &other.watch;
    other.victim = &one.watch;
    alarm_new(&later, &story, '.');
    loop_timer_set(story.loop, &later.timer, 0);
    loop_run(story.loop);
    assert_string_equal(story.text, "x.");
    loop_watch_remove(&one.watch);
    loop_watch_remove(&other.watch);
    (void)close(fds[0]);
    (void)close(fds[1]);
    loop_free(story.loop);
}

#define POSTERS 4
#define POSTS 500

struct post {
    struct loop_task task;
    struct poster *poster;
    int number;
};

struct poster {
    struct loop *loop;
    pthread_t thread;
    struct post posts[POSTS];
    int next; /* number that comes next */
    int *left;
};

static void post_run(struct loop_task *task) {
    struct post *post = task->context;
    struct poster *poster = post->poster;
    assert_int_equal(post->number, poster->next); /* in the order of its thread */
    poster->next++;
    if (--*poster->left == 0)
        loop_stop(poster->loop);
}

static void *post_all(void *argument) {
    struct poster *poster = argument;
    for (int i = 0; i < POSTS; i++) {
        poster->posts[i] = (struct post){.task = {.run = post_run, .context = &poster->posts[i]}, .poster = poster, .number = i};
        loop_post(poster->loop, &poster->posts[i].task);
        (void)loop_turns(poster->loop);
    }
    return NULL;
}

static void tasks_of_other_threads_run_here(void **state) {
    static struct poster posters[POSTERS];
    struct loop *loop = loop_new();
    int left = POSTERS * POSTS;
    (void)state;
    assert_non_null(loop);
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i].loop = loop;
        posters[i].left = &left;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    loop_run(loop);
    for (size_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        assert_int_equal(posters[i].next, POSTS);
    }
    loop_free(loop);
}

/* A task that posts itself again does not keep the loop from its timers. */
static void repost(struct loop_task *task) {
    struct story *story = task->context;
    loop_post(story->loop, task);
}

static void tasks_leave_room_for_timers(void **state) {
    struct story story;
    struct loop_task task = {.run = repost, .context = &story};
    struct alarm a;
    (void)state;
    story_new(&story, 1);
    alarm_new(&a, &story, 'a');
    loop_post(story.loop, &task);
    loop_timer_set(story.loop, &a.timer, clock_monotonic_us() + 1000);
    loop_run(story.loop);
    assert_string_equal(story.text, "a");
    loop_free(story.loop);
}

static void signal_came(void *context, int signal_number) {
    tell(context, signal_number == SIGUSR1 ? '1' : '2');
}

static void signals_are_handled_in_the_loop(void **state) {
    struct story story;
    (void)state;
    story_new(&story, 2);
    assert_true(loop_signal(story.loop, SIGUSR1, signal_came, &story));
    assert_true(loop_signal(story.loop, SIGUSR2, signal_came, &story));
    (void)raise(SIGUSR1); /* would end the process if it were not blocked */
    (void)raise(SIGUSR2);
    assert_int_equal(story.size, 0);
    loop_run(story.loop);
    assert_true(strcmp(story.text, "12") == 0 || strcmp(story.text, "21") == 0);
    loop_free(story.loop);
    loop_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(every_turn_ends_with_its_hooks),
        cmocka_unit_test(descriptors_are_watched),
        cmocka_unit_test(a_removed_watch_is_not_called),
        cmocka_unit_test(tasks_of_other_threads_run_here),
        cmocka_unit_test(tasks_leave_room_for_timers),
        cmocka_unit_test(signals_are_handled_in_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
