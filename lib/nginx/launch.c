#include "nginx/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/setting.h"

#define CONFIGURATION_BYTES_MAX (256 * 1024)

static void complain(struct buffer *problem, const char *what, const char *path) {
    buffer_printf(problem, "%s %s: %s\n", what, path, strerror(errno));
}

bool launch_account(const struct launch *launch, const char **ret_account, const char **ret_problem) {
    static const char *const usual[] = {"www-data", "nobody"};
    if (geteuid() != 0) {
        *ret_account = NULL;
        return true;
    }
    if (launch->account != NULL) {
        const struct passwd *entry = getpwnam(launch->account);
        if (entry == NULL || entry->pw_uid == 0) {
            *ret_problem = entry == NULL ? "PIXBUS_ACCOUNT names no account of this machine"
                                         : "PIXBUS_ACCOUNT must not be root's";
            return false;
        }
        *ret_account = launch->account;
        return true;
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (getpwnam(usual[i]) != NULL) {
            *ret_account = usual[i];
            return true;
        }
    }
    *ret_problem = "started by root, but there is no account to serve as: set PIXBUS_ACCOUNT";
    return false;
}

/* A value stands in the configuration as one bare token, so nothing that ends or opens a token may be in it. */
static bool is_token(const char *value) {
    return *value != '\0' && value[strcspn(value, " \t\r\n\"'\\$;{}#")] == '\0';
}

static void render_main(const struct launch *launch, const char *module_path, const char *account, struct buffer *out) {
    const char *level = strcmp(launch->log_level, "debug") == 0 ? "info" : "error";
    buffer_printf(out, "load_module %s;\ndaemon off;\nworker_processes %u;\npid %s/nginx.pid;\nerror_log stderr %s;\n",
                  module_path, launch->workers, launch->directory, level);
    if (account != NULL) {
        /* nginx would take a group of the account's name, which some accounts do not have. */
        const struct passwd *entry = getpwnam(account);
        const struct group *group = entry != NULL ? getgrgid(entry->pw_gid) : NULL;
        buffer_printf(out, "user %s %s;\n", account, group != NULL ? group->gr_name : account);
    }
    for (size_t i = 0; i < setting_count; i++) {
        buffer_printf(out, "env %s;\n", setting_table[i].variable);
        if (setting_table[i].older_variable != NULL)
            buffer_printf(out, "env %s;\n", setting_table[i].older_variable);
    }
}

static void render_paths(const struct launch *launch, struct buffer *out) {
    static const char *const kinds[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        buffer_printf(out, "%s_temp_path %s/temporary/%s;\n", kinds[i], launch->directory, kinds[i]);
}

/* Render the variable `name`. False if there is none, or its value is no token. */
static bool render_variable(const struct launch *launch, struct text name, struct buffer *out) {
    for (size_t i = 0; i < launch->variable_count; i++) {
        const struct launch_variable *variable = &launch->variables[i];
        if (text_equal(name, text_from(variable->name)) && is_token(variable->value)) {
            buffer_append_text(out, text_from(variable->value));
            return true;
        }
    }
    return false;
}

bool launch_render(const struct launch *launch, const char *module_path, const char *account, struct buffer *out,
                   struct buffer *problem) {
    const char *at = launch->template;
    if (!is_token(module_path) || !is_token(launch->directory)) {
        buffer_printf(problem, "the path %s has a character that a configuration of nginx cannot hold\n",
                      is_token(module_path) ? launch->directory : module_path);
        return false;
    }
    for (;;) {
        size_t plain = strcspn(at, "@");
        buffer_append(out, at, plain);
        at += plain;
        if (*at == '\0')
            return buffer_ok(out);
        struct text name = {at + 1, strcspn(at + 1, "@")};
        if (at[1 + name.size] == '\0') {
            buffer_printf(problem, "the template of nginx.conf has a lone @\n");
            return false;
        }
        at += name.size + 2;
        if (name.size == 0) {
            buffer_append(out, "@", 1);
        } else if (text_equal(name, TEXT("MAIN"))) {
            render_main(launch, module_path, account, out);
        } else if (text_equal(name, TEXT("PATHS"))) {
            render_paths(launch, out);
        } else if (!render_variable(launch, name, out)) {
            buffer_printf(problem, "%.*s has a value that a configuration of nginx cannot hold\n", TEXT_ARGUMENTS(name));
            return false;
        }
    }
}

/* The module's file, beside the program in the build tree or where the installation puts it. */
static bool find_module(const char *module, char path[PATH_MAX]) {
    static const char *const places[] = {"../modules", "../lib/pixbus", "."};
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0)
        return false;
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char candidate[2 * PATH_MAX];
        if ((size_t)snprintf(candidate, sizeof candidate, "%s/%s/%s.so", program, places[i], module) < sizeof candidate &&
            realpath(candidate, path) != NULL)
            return true;
    }
    return false;
}

/* The directories up to and including `path`. */
static bool make_directories(const char *path, struct buffer *problem) {
    char partial[PATH_MAX];
    if (!text_copy(text_from(path), partial, sizeof partial)) {
        buffer_printf(problem, "the path %s is too long\n", path);
        return false;
    }
    for (char *slash = strchr(partial + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST) {
            complain(problem, "cannot make the directory", partial);
            return false;
        }
        if (slash == NULL)
            return true;
        *slash = '/';
    }
}

/* By a new file that is renamed, so that a reload never reads half of it. */
static bool write_file(const char *path, struct text content, struct buffer *problem) {
    char temporary[PATH_MAX + 8];
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0;
    for (size_t at = 0; written && at < content.size;) {
        ssize_t size = write(fd, content.data + at, content.size - at);
        written = size > 0;
        at += written ? (size_t)size : 0;
    }
    if (fd >= 0)
        written = close(fd) == 0 && written;
    if (!written || rename(temporary, path) != 0) {
        complain(problem, "cannot write", path);
        return false;
    }
    return true;
}

/* exec() nginx wherever it is; Debian keeps it in sbin, which is not on everybody's PATH. */
static void become_nginx(char *const arguments[], struct buffer *problem) {
    static const char *const places[] = {"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"};
#ifdef PIXBUS_SANITIZER_LIBRARY
    /* The module is built with a sanitizer and nginx is not: the sanitizer's library must be loaded before everything. */
    (void)setenv("LD_PRELOAD", PIXBUS_SANITIZER_LIBRARY, 1);
#endif
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        (void)execvp(places[i], arguments);
    complain(problem, "cannot run", "nginx");
}

static char *argument(const char *text) {
    return (char *)(uintptr_t)text; /* exec() takes char *, and leaves it alone */
}

void launch_nginx(const struct launch *launch, bool check_only, struct buffer *problem) {
    const char *account = NULL, *account_problem = NULL;
    struct buffer configuration = {.limit_bytes = CONFIGURATION_BYTES_MAX};
    char module_path[PATH_MAX], directory[PATH_MAX], path[PATH_MAX], temporary[PATH_MAX];
    if (!find_module(launch->module, module_path)) {
        buffer_printf(problem, "%s.so is neither in ../modules nor in ../lib/pixbus beside the program\n", launch->module);
        return;
    }
    if (!launch_account(launch, &account, &account_problem)) {
        buffer_printf(problem, "%s\n", account_problem);
        return;
    }
    if (!make_directories(launch->directory, problem))
        return;
    if (realpath(launch->directory, directory) == NULL) {
        complain(problem, "cannot find", launch->directory);
        return;
    }
    /* nginx takes paths relative to its own prefix: everything is absolute from here on. */
    struct launch absolute = *launch;
    absolute.directory = directory;
    if ((size_t)snprintf(path, sizeof path, "%s/nginx.conf", directory) >= sizeof path ||
        (size_t)snprintf(temporary, sizeof temporary, "%s/temporary", directory) >= sizeof temporary) {
        buffer_printf(problem, "the path %s is too long\n", directory);
        return;
    }
    if (make_directories(temporary, problem) && launch_render(&absolute, module_path, account, &configuration, problem) &&
        write_file(path, buffer_text(&configuration), problem)) {
        char *arguments[] = {argument("nginx"),
                             argument("-p"),
                             directory,
                             argument("-c"),
                             path,
                             argument("-e"),
                             argument("stderr"),
                             check_only ? argument("-t") : NULL,
                             NULL};
        become_nginx(arguments, problem);
    }
    buffer_free(&configuration);
}
