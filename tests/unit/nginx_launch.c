/* The configuration that a program which becomes nginx writes: what is replaced, and which values are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nginx/launch.h"

static bool render(const char *template, const char *value, const char *directory, struct buffer *out, struct buffer *problem) {
    const struct launch_variable variables[] = {{"LISTEN", value}};
    const struct launch launch = {.module = "m",
                                  .directory = directory,
                                  .template = template,
                                  .variables = variables,
                                  .variable_count = 1,
                                  .workers = 3,
                                  .log_level = "info"};
    bool good = launch_render(&launch, "/lib/m.so", "somebody", out, problem);
    buffer_append(out, "", 1);
    return good;
}

static void replaces(void **state) {
    (void)state;
    struct buffer out = {0}, problem = {0};
    assert_true(render("a@@b listen @LISTEN@;\n@MAIN@http{@PATHS@}", "[::1]:80", "/run/x", &out, &problem));
    assert_non_null(strstr(out.data, "a@b listen [::1]:80;\n"));
    assert_non_null(strstr(out.data, "load_module /lib/m.so;\n"));
    assert_non_null(strstr(out.data, "worker_processes 3;\n"));
    assert_non_null(strstr(out.data, "user somebody"));
    assert_non_null(strstr(out.data, "pid /run/x/nginx.pid;\n"));
    assert_non_null(strstr(out.data, "env JWT_SECRET;\n"));
    assert_non_null(strstr(out.data, "client_body_temp_path /run/x/temporary/client_body;\n"));
    assert_int_equal(problem.size, 0);
    buffer_free(&out);
}

static void refuses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "80; include /etc/passwd", "80 default", "a{b", "a}b", "$x", "a\"b", "a'b", "a#b", "a\nb", "a\\b"};
    struct buffer out = {0}, problem = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer_clear(&problem);
        assert_false(render("listen @LISTEN@;", bad[i], "/run/x", &out, &problem));
        assert_true(problem.size > 0);
    }
    assert_false(render("", "80", "/run/a b", &out, &problem));
    assert_false(render("@UNKNOWN@", "80", "/run/x", &out, &problem));
    assert_false(render("a @ b", "80", "/run/x", &out, &problem));
    buffer_free(&out);
    buffer_free(&problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
