/* pixbus-store: nginx with our module, on a configuration of its own. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/store/disk.h"
#include "bus/program.h"
#include "nginx/launch.h"

extern const char nginx_conf_template[];

static const char help[] =
    "Keeps objects on the local disk and serves them by the S3 protocol, in path style; the media bucket's changes go to\n"
    "imgproc over the bus. It becomes nginx with the module ngx_pixbus_store_module, on a configuration that it writes to\n"
    "store/ in the run directory. SIGTERM drains; SIGHUP starts a new worker.\n\n"
    "  --check   write the configuration, let nginx test it, and end";

/* Started by root, the store's directory must be its unprivileged account's before nginx gives root up. */
static bool make_directory(const struct launch *launch, const char *directory) {
    struct disk disk = {.root_fd = -1};
    const char *account = NULL, *problem = NULL;
    if (!launch_account(launch, &account, &problem)) {
        (void)fprintf(stderr, "pixbus-store: %s\n", problem);
        return false;
    }
    const struct passwd *entry = account != NULL ? getpwnam(account) : NULL;
    bool made = disk_open(&disk, directory) &&
                (account == NULL || (entry != NULL && fchown(disk.root_fd, entry->pw_uid, entry->pw_gid) == 0));
    if (!made)
        (void)fprintf(stderr, "pixbus-store: cannot make the directory %s: %s\n", directory, strerror(errno));
    disk_close(&disk);
    return made;
}

static bool is_complete(const struct settings *settings) {
    if (settings->access_key_id != NULL && settings->secret_access_key != NULL)
        return true;
    (void)fprintf(
        stderr,
        "pixbus-store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; expected the key that clients sign with\n");
    return false;
}

int main(int argc, char **argv) {
    struct settings settings;
    struct buffer problem = {0}, run = {0}, directory = {0};
    bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    int status = program_start(check ? 1 : argc, argv, "pixbus-store", help, &settings);
    if (status >= 0)
        return status;
    if (!is_complete(&settings))
        return 2;
    if (settings.run_directory != NULL)
        buffer_printf(&run, "%s/store", settings.run_directory);
    else
        buffer_printf(&run, "%s/run/store", settings.var_directory);
    if (settings.store_directory != NULL)
        buffer_printf(&directory, "%s", settings.store_directory);
    else
        buffer_printf(&directory, "%s/store", settings.var_directory);
    buffer_append(&run, "", 1);
    buffer_append(&directory, "", 1);
    if (!buffer_ok(&run) || !buffer_ok(&directory))
        return EXIT_FAILURE;
    const struct launch_variable variables[] = {{"LISTEN", settings.store_listen}, {"CONNECTIONS", "4096"}, {"THREADS", "8"}};
    const struct launch launch = {
        .module = "ngx_pixbus_store_module",
        .directory = run.data,
        .template = nginx_conf_template,
        .variables = variables,
        .variable_count = sizeof variables / sizeof *variables,
        .workers = 1,
        .account = settings.account,
        .log_level = settings.log_level,
    };
    if (!make_directory(&launch, directory.data))
        return EXIT_FAILURE;
    launch_nginx(&launch, check, &problem);
    (void)fprintf(stderr, "pixbus-store: %.*s", TEXT_ARGUMENTS(buffer_text(&problem)));
    return EXIT_FAILURE;
}
