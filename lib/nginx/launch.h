/*
 * launch.h: a program of ours that is nginx with a module of ours. It makes the directories, writes the configuration and
 * becomes nginx by exec(), so there is no further process, and a supervisor sees nginx itself.
 *
 * The configuration is a template of the program. In it @NAME@ is replaced by the value of the variable NAME, "@@" is an
 * "@", and these are always there, each standing where directives may stand:
 *
 *   @MAIN@    top level: load_module, daemon, user, worker_processes, pid, error_log, and env for every setting of
 *             settings.def, so that settings_load() gives the workers what the program had
 *   @PATHS@   in http {}: temporary files, under the directory
 *
 * Signals are nginx's own, but SIGTERM and SIGINT drain like SIGQUIT (ngx_process.h).
 */
#ifndef PIXBUS_NGINX_LAUNCH_H
#define PIXBUS_NGINX_LAUNCH_H

#include "base/buffer.h"

/* `value` is one token: blanks, quotes, '$', ';', '{' and '}' in it are refused. */
struct launch_variable {
    const char *name, *value;
};

struct launch {
    const char *module;    /* ngx_pixbus_module: its file is NAME.so beside the program, in ../modules or ../lib/pixbus */
    const char *directory; /* for this program alone: nginx.conf, nginx.pid, temporary files. Made if need be */
    const char *template;
    const struct launch_variable *variables;
    size_t variable_count;
    unsigned workers;
    const char *account;   /* what workers run as when root starts it; NULL: www-data, else nobody */
    const char *log_level; /* error, warn, info or debug: of nginx's own messages on standard error */
};

/* What the workers will run as, or NULL if this process is not root's. *ret_problem (static text) if root has no account. */
[[gnu::warn_unused_result]] bool launch_account(const struct launch *launch, const char **ret_account, const char **ret_problem);

/* Append the whole configuration. `account` as launch_account() gave it. False with `problem` filled if a value is refused. */
[[gnu::warn_unused_result]] bool launch_render(const struct launch *launch, const char *module_path, const char *account,
                                               struct buffer *out, struct buffer *problem);

/*
 * Write the configuration and become nginx; with `check_only` nginx tests the configuration and ends. Does not return
 * unless it fails; `problem` then says why.
 */
void launch_nginx(const struct launch *launch, bool check_only, struct buffer *problem);

#endif
