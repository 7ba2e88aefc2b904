/* Settings: the .env file's text, types and ranges, what is said about malformed ones, and that secrets stay hidden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/dotenv.h"
#include "base/limits.h"
#include "base/setting.h"

static void collect(void *context, const char *name, const char *value) {
    buffer_printf(context, "%s=%s|", name, value);
}

static void assert_text(const struct buffer *buffer, const char *expected) {
    assert_true(buffer_ok(buffer));
    assert_int_equal(buffer->size, strlen(expected));
    assert_memory_equal(buffer_text(buffer).data, expected, buffer->size);
}

static void parses(const char *file, const char *expected) {
    struct buffer seen = {0}, problem = {0};
    assert_true(dotenv_parse(text_from(file), collect, &seen, &problem));
    assert_text(&seen, expected);
    assert_int_equal(problem.size, 0);
    buffer_free(&seen);
    buffer_free(&problem);
}

static void complains(const char *file, const char *delivered, const char *about) {
    struct buffer seen = {0}, problem = {0};
    assert_false(dotenv_parse(text_from(file), collect, &seen, &problem));
    assert_text(&seen, delivered);
    buffer_append(&problem, "", 1);
    if (strstr(problem.data, about) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", about, problem.data);
    assert_null(strstr(problem.data, "hush")); /* a value never appears */
    buffer_free(&seen);
    buffer_free(&problem);
}

static void test_dotenv_forms(void **state) {
    (void)state;
    parses("", "");
    parses("\n  \n# A=1\n   # B=2\n", "");
    parses("A=1", "A=1|");
    parses("A=1\r\nB=2\r\n", "A=1|B=2|");
    parses("\xef\xbb\xbf"
           "A=1\n",
           "A=1|");
    parses("  export\t A=1\nexport=2\nexporter=3\n", "A=1|export=2|exporter=3|");
    parses("A=\nB=  \nC=''\nD=\"\"\n", "A=|B=|C=|D=|");
    parses("A= one two  # three\nB=four#five\nC=#six\nD=a=b\n", "A=one two|B=four#five|C=|D=a=b|");
    parses("A='a \"$b\\n' # c\n", "A=a \"$b\\n|");
    parses("A=\"a\\n\\t\\r\\\"\\\\\\$\\`\\x\"\n", "A=a\n\t\r\"\\$`\\x|");
    parses("A=\"# no comment\" # one\n", "A=# no comment|");
    parses("_a9=x\nA=y\nA=z\n", "_a9=x|A=y|A=z|");
}

static void test_dotenv_malformed(void **state) {
    char long_name[LIMIT_DOTENV_NAME_BYTES + 4];
    (void)state;
    complains("hush\nA=1\n", "A=1|", ".env, line 1: expected NAME=value");
    complains("A=1\nB =hush\n", "A=1|", ".env, line 2: expected NAME=value");
    complains("9A=hush", "", "line 1");
    complains("=hush", "", "line 1");
    complains("export\n", "", "line 1");
    complains("A='hush\nB=2", "B=2|", "the single quote is not closed");
    complains("A=\"hush\\\"\n", "", "the double quote is not closed");
    complains("A=\"hush\\", "", "the double quote is not closed");
    complains("A='hush'x\n", "", "nothing but a comment may follow");
    complains("A=\"hush\"#x\n", "", "nothing but a comment may follow");
    memset(long_name, 'A', sizeof long_name);
    memcpy(long_name + sizeof long_name - 3, "=1", 3);
    complains(long_name, "", "the name is too long");
    struct buffer seen = {0}, problem = {0};
    assert_false(dotenv_parse(TEXT("A=1\0hush"), collect, &seen, &problem));
    assert_text(&problem, ".env, line 1: it holds a NUL byte\n");
    buffer_free(&seen);
    buffer_free(&problem);
}

/* Each test begins in an empty directory and without any of our variables. */
static int setup(void **state) {
    char directory[] = "/tmp/pixbus-setting-XXXXXX";
    for (const struct setting *setting = setting_table; setting < setting_table + setting_count; setting++) {
        assert_int_equal(unsetenv(setting->variable), 0);
        assert_int_equal(setting->older_variable != NULL ? unsetenv(setting->older_variable) : 0, 0);
    }
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    *state = strdup(directory);
    return *state == NULL;
}

static int teardown(void **state) {
    (void)unlink(".env");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(*state), 0);
    free(*state);
    return 0;
}

static void write_dotenv(const char *content) {
    FILE *file = fopen(".env", "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct settings load(void) {
    struct settings settings;
    struct buffer problem = {0};
    if (!settings_load(&settings, &problem))
        fail_msg("%.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    assert_int_equal(problem.size, 0);
    buffer_free(&problem);
    return settings;
}

static void refuses(const char *variable, const char *value, const char *expected) {
    struct settings settings;
    struct buffer problem = {0};
    assert_int_equal(setenv(variable, value, 1), 0);
    assert_false(settings_load(&settings, &problem));
    buffer_append(&problem, "", 1);
    if (strncmp(problem.data, variable, strlen(variable)) != 0 || strstr(problem.data, expected) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", expected, problem.data);
    buffer_free(&problem);
    assert_int_equal(unsetenv(variable), 0);
}

static void test_defaults(void **state) {
    (void)state;
    struct settings settings = load();
    assert_string_equal(settings.listen, "127.0.0.1:8080");
    assert_null(settings.token_secret);
    assert_int_equal(settings.heartbeat_ms, 500);
    assert_int_equal(settings.image_bytes_max, 50 * 1024 * 1024);
}

static void test_environment_wins(void **state) {
    (void)state;
    write_dotenv("PIXBUS_LISTEN=127.0.0.1:1\nPIXBUS_STORE_LISTEN=127.0.0.1:2 # here\nAWS_REGION=\n");
    assert_int_equal(setenv("PIXBUS_LISTEN", "[::1]:3", 1), 0);
    assert_int_equal(setenv("AWS_DEFAULT_REGION", "eu-central-1", 1), 0);
    assert_int_equal(setenv("PIXBUS_IMAGE_BYTES_MAX", "5G", 1), 0);
    struct settings settings = load();
    assert_string_equal(settings.listen, "[::1]:3");
    assert_string_equal(settings.store_listen, "127.0.0.1:2");
    assert_string_equal(settings.aws_region, "eu-central-1"); /* an empty AWS_REGION is none */
    assert_int_equal(settings.image_bytes_max, INT64_C(5) * 1024 * 1024 * 1024);
    assert_int_equal(setenv("AWS_REGION", "us-west-2", 1), 0);
    assert_string_equal(load().aws_region, "us-west-2");
}

static void test_malformed(void **state) {
    static const struct {
        const char *variable, *value, *expected;
    } rows[] = {
        {"PIXBUS_HEARTBEAT_MS", "fast", "expected a whole number from 50 to 60000, not \"fast\""},
        {"PIXBUS_HEARTBEAT_MS", "49", "from 50 to 60000"},
        {"PIXBUS_HEARTBEAT_MS", "60001", "from 50 to 60000"},
        {"PIXBUS_HEARTBEAT_MS", "-500", "from 50 to 60000"},
        {"PIXBUS_HEARTBEAT_MS", "500 ", "from 50 to 60000"},
        {"PIXBUS_HEARTBEAT_MS", "18446744073709551617", "from 50 to 60000"},
        {"PIXBUS_HEARTBEAT_MS", "5K", "from 50 to 60000"},
        {"PIXBUS_IMAGE_BYTES_MAX", "50MB", "as 500000, 512K, 50M or 1G"},
        {"PIXBUS_IMAGE_BYTES_MAX", "18014398509481984K", "as 500000"},
        {"PIXBUS_IMAGE_BYTES_MAX", "K", "as 500000"},
        {"PIXBUS_LISTEN", "8080", "an address and a port"},
        {"PIXBUS_LISTEN", "127.0.0.1:0", "an address and a port"},
        {"PIXBUS_LISTEN", "127.0.0.1:65536", "an address and a port"},
        {"PIXBUS_LISTEN", "::1:8080", "an address and a port"},
        {"PIXBUS_LISTEN", "[]:8080", "an address and a port"},
        {"PIXBUS_LISTEN", "127.0.0.1:80; include /x", "an address and a port"},
        {"PIXBUS_BROKER", "udp://x", "an endpoint"},
        {"PIXBUS_LOG_LEVEL", "loud", "error, warn, info or debug"},
        {"AWS_ENDPOINT_URL_S3", "127.0.0.1:9000", "a URL"},
        {"AWS_ENDPOINT_URL", "ftp://127.0.0.1", "a URL"},
        {"AWS_MEDIA_BUCKET", "a/b/c", "the name of a bucket"},
        {"AWS_REGION", "eu\ncentral", "not \"eu?central\""},
        {"DATABASE_URL", "post\x01gres", "not the 9 bytes that are given"},
        {"JWT_SECRET", "short", "32 to 512 bytes without control characters, not the 5 bytes that are given"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refuses(rows[i].variable, rows[i].value, rows[i].expected);
    (void)load(); /* and without them all is well */
}

static void test_every_malformed_one_is_named(void **state) {
    struct settings settings;
    struct buffer problem = {0};
    (void)state;
    write_dotenv("nonsense\nPIXBUS_HEARTBEAT_MS=x\nJWT_TOKEN_TIMEOUT=y\n");
    assert_false(settings_load(&settings, &problem));
    buffer_append(&problem, "", 1);
    assert_non_null(strstr(problem.data, ".env, line 1: "));
    assert_non_null(strstr(problem.data, "\nPIXBUS_HEARTBEAT_MS: "));
    assert_non_null(strstr(problem.data, "\nJWT_TOKEN_TIMEOUT: "));
    buffer_free(&problem);
}

static void test_dotenv_too_large(void **state) {
    struct settings settings;
    struct buffer problem = {0};
    FILE *file = fopen(".env", "we");
    (void)state;
    assert_non_null(file);
    for (int i = 0; i < LIMIT_DOTENV_BYTES / 8 + 1024; i++)
        assert_true(fputs("#######\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_false(settings_load(&settings, &problem));
    buffer_append(&problem, "", 1);
    assert_non_null(strstr(problem.data, ".env: cannot be read (at most 65536 bytes)"));
    buffer_free(&problem);
}

static void test_every_default_is_valid(void **state) {
    (void)state;
    for (const struct setting *setting = setting_table; setting < setting_table + setting_count; setting++) {
        assert_true(setting->minimum <= setting->maximum);
        assert_true(strlen(setting->help) > 0);
        if (setting->fallback != NULL)
            assert_int_equal(setenv(setting->variable, setting->fallback, 1), 0);
    }
    (void)load();
}

static void database_is(const char *expected) {
    struct settings settings = load();
    struct buffer out = {0};
    assert_true(settings_database(&settings, &out));
    assert_text(&out, expected);
    buffer_free(&out);
}

static void test_database(void **state) {
    (void)state;
    database_is("");
    assert_int_equal(setenv("POSTGRESS_HOST", "db.example:6432", 1), 0);
    assert_int_equal(setenv("POSTGRESS_DATABASE", "feed", 1), 0);
    assert_int_equal(setenv("POSTGRESS_USERNAME", "o'hara", 1), 0);
    assert_int_equal(setenv("POSTGRESS_PASSWORD", "a b\\c'", 1), 0);
    database_is("host='db.example' port='6432' dbname='feed' user='o\\'hara' password='a b\\\\c\\''");
    assert_int_equal(setenv("POSTGRESS_HOST", "[::1]:6432", 1), 0);
    assert_int_equal(unsetenv("POSTGRESS_USERNAME") + unsetenv("POSTGRESS_PASSWORD"), 0);
    database_is("host='::1' port='6432' dbname='feed'");
    assert_int_equal(setenv("POSTGRESS_HOST", "fe80::1", 1), 0);
    database_is("host='fe80::1' dbname='feed'");
    assert_int_equal(setenv("POSTGRESS_HOST", "db", 1), 0);
    database_is("host='db' dbname='feed'");
    assert_int_equal(setenv("DATABASE_URL", "postgres://x/y", 1), 0);
    database_is("postgres://x/y");
}

static void test_print_masks_secrets(void **state) {
    struct buffer out = {0};
    (void)state;
    for (const struct setting *setting = setting_table; setting < setting_table + setting_count; setting++)
        if (setting->secret)
            assert_int_equal(setenv(setting->variable, "hush-hush-hush-hush-hush-hush-hush-hush", 1), 0);
    struct settings settings = load();
    settings_print(&settings, &out);
    buffer_append(&out, "", 1);
    assert_null(strstr(out.data, "hush"));
    assert_non_null(strstr(out.data, "\nJWT_SECRET=***\n"));
    assert_non_null(strstr(out.data, "\nPIXBUS_HEARTBEAT_MS=500\n"));
    assert_null(strstr(out.data, "PIXBUS_INSTANCE")); /* unset */
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dotenv_forms),
        cmocka_unit_test(test_dotenv_malformed),
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_malformed_one_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dotenv_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_default_is_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_masks_secrets, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
