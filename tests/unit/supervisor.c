/* The supervisor with small shell scripts as its programs: restarts, order, limits, and that nothing outlives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "bus/ctl/supervisor.h"

#define PROGRAMS_MAX 4

struct scene {
    struct loop *loop;
    struct supervisor *supervisor;
    struct program programs[PROGRAMS_MAX];
    char *argv[PROGRAMS_MAX][6];
    size_t count;
    struct loop_timer timer;
    void (*step)(struct scene *scene); /* every few milliseconds */
    pid_t first_pid;
    bool ended, failed;
    int64_t deadline_us;
    char file[64]; /* what the programs write to, as "$0" of their scripts */
};

static void on_ended(void *context, bool failed) {
    struct scene *scene = context;
    scene->ended = true;
    scene->failed = failed;
    loop_stop(scene->loop);
}

static void on_tick(struct loop_timer *timer) {
    struct scene *scene = timer->context;
    if (clock_monotonic_us() > scene->deadline_us)
        fail_msg("the scene does not end");
    if (scene->step != NULL)
        scene->step(scene);
    loop_timer_set(scene->loop, timer, loop_now_us(scene->loop) + 2 * US_PER_MS);
}

static struct program *add(struct scene *scene, const char *name, const char *script) {
    char **argv = scene->argv[scene->count];
    struct program *program = &scene->programs[scene->count++];
    argv[0] = (char *)(uintptr_t) "/bin/sh";
    argv[1] = (char *)(uintptr_t) "-c";
    argv[2] = (char *)(uintptr_t)script;
    argv[3] = scene->file;
    *program = (struct program){
        .name = name, .argv = argv, .stop_signal = SIGTERM, .death_signal = SIGKILL, .stop_limit_us = 10 * US_PER_S};
    return program;
}

static void open_scene(struct scene *scene) {
    *scene = (struct scene){.loop = loop_new(), .deadline_us = clock_monotonic_us() + 20 * US_PER_S};
    assert_non_null(scene->loop);
    assert_true(snprintf(scene->file, sizeof scene->file, "/tmp/pixbus-supervisor-XXXXXX") > 0);
    int fd = mkstemp(scene->file);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

static void play(struct scene *scene, void (*step)(struct scene *scene)) {
    struct supervisor_options options = {
        .loop = scene->loop, .programs = scene->programs, .count = scene->count, .ended = on_ended, .context = scene};
    scene->supervisor = supervisor_new(&options);
    assert_non_null(scene->supervisor);
    scene->step = step;
    scene->timer = (struct loop_timer){.fire = on_tick, .context = scene};
    loop_timer_set(scene->loop, &scene->timer, loop_now_us(scene->loop));
    supervisor_start(scene->supervisor);
    loop_run(scene->loop);
    assert_true(scene->ended);
    loop_timer_clear(&scene->timer);
    supervisor_free(scene->supervisor);
    loop_free(scene->loop);
}

/* All that the programs wrote. */
static void read_scene(const struct scene *scene, char *out, size_t size) {
    int fd = open(scene->file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = read(fd, out, size - 1);
    assert_true(got >= 0);
    out[got] = '\0';
    assert_int_equal(close(fd), 0);
}

static void close_scene(const struct scene *scene, const char *expected) {
    char written[256];
    read_scene(scene, written, sizeof written);
    assert_string_equal(written, expected);
    assert_int_equal(unlink(scene->file), 0);
}

/* Has a program written so many lines? */
static bool wrote_lines(const struct scene *scene, unsigned count) {
    char written[256];
    unsigned lines = 0;
    read_scene(scene, written, sizeof written);
    for (const char *c = written; *c != '\0'; c++)
        lines += *c == '\n';
    return lines >= count;
}

/* Says its name when it has started and when it is told to end. */
#define SERVER(name) "trap 'echo " name "- >> $0; exit 0' TERM; echo " name "+ >> $0; while :; do sleep 0.01; done"

static void drain_when_two_run(struct scene *scene) {
    if (wrote_lines(scene, 2))
        supervisor_drain(scene->supervisor);
}

static void test_needs_and_stages(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    struct program *task = add(&scene, "task", "sleep 0.05; echo task >> $0"), *late = add(&scene, "late", SERVER("late"));
    task->task = true;
    late->needs = "task";
    play(&scene, drain_when_two_run);
    assert_false(scene.failed);
    close_scene(&scene, "task\nlate+\nlate-\n");
}

static void drain_when_both_run(struct scene *scene) {
    if (wrote_lines(scene, 2) && scene->first_pid == 0) {
        scene->first_pid = 1;
        supervisor_drain(scene->supervisor);
    }
}

static void test_stages_stop_in_order(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "back", SERVER("back"))->stage = 1;
    struct program *front = add(&scene, "front",
                                "trap 'sleep 0.05; echo front- >> $0; exit 0' TERM; while [ ! -s $0 ]; do sleep 0.01;"
                                "done; echo front+ >> $0; while :; do sleep 0.01; done");
    front->stage = 0;
    play(&scene, drain_when_both_run);
    assert_false(scene.failed);
    close_scene(&scene, "back+\nfront+\nfront-\nback-\n");
}

static void kill_then_drain(struct scene *scene) {
    if (!wrote_lines(scene, 1))
        return;
    if (scene->first_pid == 0) {
        scene->first_pid = supervisor_pid(scene->supervisor, 0);
        assert_int_equal(kill(scene->first_pid, SIGKILL), 0);
    } else if (wrote_lines(scene, 2) && supervisor_state(scene->supervisor, 0) == PROGRAM_RUNNING) {
        assert_int_not_equal(supervisor_pid(scene->supervisor, 0), scene->first_pid);
        supervisor_drain(scene->supervisor);
    }
}

static void test_killed_one_is_started_again(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "server", SERVER("s"));
    play(&scene, kill_then_drain);
    assert_false(scene.failed);
    close_scene(&scene, "s+\ns+\ns-\n");
}

static void test_dying_too_often_ends_everything(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "server", SERVER("s"))->stage = 1;
    add(&scene, "broken", "exit 1");
    play(&scene, NULL);
    assert_true(scene.failed);
    close_scene(&scene, "s+\ns-\n");
}

static void drain_after_seven(struct scene *scene) {
    supervisor_serving(scene->supervisor);
    if (wrote_lines(scene, 7))
        supervisor_drain(scene->supervisor);
}

static void test_serving_never_gives_up(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "broken", "echo x >> $0; exit 2");
    play(&scene, drain_after_seven);
    assert_false(scene.failed);
    close_scene(&scene, "x\nx\nx\nx\nx\nx\nx\n");
}

static void test_useless_to_try_again(void **state) {
    static const char *const scripts[] = {"echo x >> $0; exit 2", "echo x >> $0; exec /nonexistent/program"};
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct scene scene;
        open_scene(&scene);
        add(&scene, "broken", scripts[i]);
        play(&scene, NULL);
        assert_true(scene.failed);
        close_scene(&scene, "x\n");
    }
}

static void test_failed_task(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "task", "exit 1")->task = true;
    add(&scene, "never", "echo never >> $0")->needs = "task";
    play(&scene, NULL);
    assert_true(scene.failed);
    close_scene(&scene, "");
}

static void test_stubborn_one_is_killed_with_what_it_started(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    /* Its child ignores the signal too, and would write once more after a while. */
    add(&scene, "stubborn",
        "trap '' TERM; (sleep 0.4; echo alive >> $0) & echo + >> $0; echo + >> $0; while :; do sleep 0.01; done")
        ->stop_limit_us = 50 * US_PER_MS;
    play(&scene, drain_when_both_run);
    assert_false(scene.failed);
    while (waitpid(-1, NULL, 0) > 0) { /* its child is ours now; had it not been killed, it would write first */
    }
    close_scene(&scene, "+\n+\n");
}

static void stop_it_then_drain_twice(struct scene *scene) {
    if (!wrote_lines(scene, 1))
        return;
    supervisor_drain(scene->supervisor);
}

static void test_draining_twice_hurries(void **state) {
    struct scene scene;
    int64_t began_us = clock_monotonic_us();
    (void)state;
    open_scene(&scene);
    add(&scene, "stubborn", "trap '' TERM; echo + >> $0; while :; do sleep 0.01; done")->stop_limit_us = 2 * US_PER_S;
    play(&scene, stop_it_then_drain_twice);
    assert_true(clock_monotonic_us() - began_us < 1500 * US_PER_MS);
    close_scene(&scene, "+\n");
}

static void suspend_then_drain(struct scene *scene) {
    if (!wrote_lines(scene, 1) || scene->first_pid != 0)
        return;
    scene->first_pid = supervisor_pid(scene->supervisor, 0);
    assert_int_equal(kill(scene->first_pid, SIGSTOP), 0);
    supervisor_drain(scene->supervisor);
}

static void test_suspended_one_still_drains(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "server", SERVER("s"));
    play(&scene, suspend_then_drain);
    close_scene(&scene, "s+\ns-\n");
}

static void check_instance(struct scene *scene) {
    if (wrote_lines(scene, 1))
        supervisor_drain(scene->supervisor);
}

static void test_environment_of_a_child(void **state) {
    struct scene scene;
    (void)state;
    open_scene(&scene);
    add(&scene, "feed-2", "read x || echo $PIXBUS_INSTANCE >> $0; exec sleep 60"); /* nothing to read */
    play(&scene, check_instance);
    close_scene(&scene, "feed-2\n");
}

/* Run a scene in a process of its own, kill that, and see its program die: we are the reaper of what it leaves. */
static void test_nothing_outlives_it(void **state) {
    struct scene scene;
    int status = 0;
    (void)state;
    open_scene(&scene);
    add(&scene, "server", SERVER("s"));
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t supervisor = fork();
    assert_true(supervisor >= 0);
    if (supervisor == 0) {
        play(&scene, NULL);
        _exit(0);
    }
    while (!wrote_lines(&scene, 1) && clock_monotonic_us() < scene.deadline_us) {
    }
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    for (;;) { /* until all that it left behind has ended: the script, and its sleep */
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            break;
        assert_true(clock_monotonic_us() < scene.deadline_us);
    }
    assert_int_equal(errno, ECHILD);
    loop_free(scene.loop);
    close_scene(&scene, "s+\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs_and_stages),
        cmocka_unit_test(test_stages_stop_in_order),
        cmocka_unit_test(test_killed_one_is_started_again),
        cmocka_unit_test(test_dying_too_often_ends_everything),
        cmocka_unit_test(test_serving_never_gives_up),
        cmocka_unit_test(test_useless_to_try_again),
        cmocka_unit_test(test_failed_task),
        cmocka_unit_test(test_stubborn_one_is_killed_with_what_it_started),
        cmocka_unit_test(test_draining_twice_hurries),
        cmocka_unit_test(test_suspended_one_still_drains),
        cmocka_unit_test(test_environment_of_a_child),
        cmocka_unit_test(test_nothing_outlives_it),
    };
    log_open("supervisor-test", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
