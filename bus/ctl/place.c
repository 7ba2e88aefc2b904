#include "bus/ctl/place.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bus/ctl/files.h"

struct account {
    uid_t uid;
    gid_t gid;
    char name[64];
};

static bool complain(struct buffer *problem, const char *what, const char *path) {
    buffer_printf(problem, "%s %s: %s\n", what, path, strerrordesc_np(errno));
    return false;
}

static bool take_account(const struct passwd *entry, struct account *ret_account) {
    if (entry == NULL || entry->pw_uid == 0 || !text_copy(text_from(entry->pw_name), ret_account->name, sizeof ret_account->name))
        return false;
    ret_account->uid = entry->pw_uid;
    ret_account->gid = entry->pw_gid;
    return true;
}

/* As whom to run instead of root. */
static bool choose_account(const struct settings *settings, const char *var, struct account *ret_account,
                           struct buffer *problem) {
    static const char *const usual[] = {"postgres", "nobody"};
    struct stat status;
    if (settings->account != NULL) {
        if (take_account(getpwnam(settings->account), ret_account))
            return true;
        buffer_printf(problem, "PIXBUS_ACCOUNT: expected an account of this machine that is not root's, not \"%s\"\n",
                      settings->account);
        return false;
    }
    if (stat(var, &status) == 0 && status.st_uid != 0 && take_account(getpwuid(status.st_uid), ret_account))
        return true;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (take_account(getpwnam(usual[i]), ret_account))
            return true;
    buffer_printf(problem,
                  "started by root, which Postgres refuses, and there is neither an account postgres nor nobody: name an "
                  "unprivileged one in PIXBUS_ACCOUNT\n");
    return false;
}

/* May the account use `path` in this way (of access(2))? */
static bool reaches(const struct account *account, const char *path, int how) {
    bool good = setegid(account->gid) == 0 && seteuid(account->uid) == 0 && faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0;
    return seteuid(0) == 0 && setegid(0) == 0 && good;
}

/* Make the var directory and hand it to the account. */
static bool make_var(const char *var, const struct account *account, struct buffer *problem) {
    if (!directory_make(var, 0700, problem))
        return false;
    if (account != NULL && (chown(var, account->uid, account->gid) != 0 || chmod(var, 0700) != 0))
        return complain(problem, "cannot hand over", var);
    return true;
}

/* A var directory that the account can reach, named after the one it cannot. */
static bool var_elsewhere(const struct account *account, char var[PATH_MAX], struct buffer *problem) {
    char elsewhere[PATH_MAX];
    if (!path_printf(elsewhere, "/var/lib/pixbus/%s", var + 1)) {
        buffer_printf(problem, "the path %s is too long\n", var);
        return false;
    }
    for (char *slash = elsewhere + sizeof "/var/lib/pixbus"; (slash = strchr(slash, '/')) != NULL;)
        *slash = '-';
    if (!make_var(elsewhere, account, problem))
        return false;
    if (!reaches(account, elsewhere, R_OK | W_OK | X_OK)) {
        buffer_printf(problem, "the account %s can reach neither %s nor %s: set PIXBUS_VAR to a directory that it can\n",
                      account->name, var, elsewhere);
        return false;
    }
    log_event(LOG_LEVEL_WARN, "var_elsewhere", "account", account->name, "cannot_reach", var, "uses", elsewhere, NULL);
    (void)rmdir(var); /* if it is empty: made just now */
    memcpy(var, elsewhere, sizeof elsewhere);
    return true;
}

/* Copy what matches `pattern` in a directory into another one. */
static bool copy_matching(const char *from, const char *pattern, const char *to, struct buffer *problem) {
    char path[PATH_MAX];
    glob_t found = {0};
    bool good = path_printf(path, "%s/%s", from, pattern);
    int status = good ? glob(path, 0, NULL, &found) : GLOB_NOSPACE;
    good = good && (status == 0 || status == GLOB_NOMATCH);
    if (!good)
        buffer_printf(problem, "cannot list %s\n", from);
    for (size_t i = 0; good && i < found.gl_pathc; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;
        good = path_printf(path, "%s/%s", to, name) && file_copy(found.gl_pathv[i], path, 0755, problem);
    }
    globfree(&found);
    return good;
}

static bool copy_programs(const struct account *account, const char *var, char programs[PATH_MAX], struct buffer *problem) {
    char modules[PATH_MAX], bin_copy[PATH_MAX], modules_copy[PATH_MAX];
    if (!path_printf(modules, "%s/../modules", programs) || !path_printf(bin_copy, "%s/programs/bin", var) ||
        !path_printf(modules_copy, "%s/programs/modules", var)) {
        buffer_printf(problem, "the path %s is too long\n", programs);
        return false;
    }
    log_event(LOG_LEVEL_WARN, "programs_copied", "account", account->name, "cannot_reach", programs, "to", bin_copy, NULL);
    if (!directory_make(bin_copy, 0755, problem) || !directory_make(modules_copy, 0755, problem) ||
        !copy_matching(programs, "pixbus*", bin_copy, problem) || !copy_matching(modules, "*.so", modules_copy, problem))
        return false;
    memcpy(programs, bin_copy, sizeof bin_copy);
    return true;
}

static bool drop_root(const struct account *account, struct buffer *problem) {
    if (initgroups(account->name, account->gid) != 0 || setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0)
        return complain(problem, "cannot become the account", account->name);
    if (setuid(0) == 0) {
        buffer_printf(problem, "giving up root for %s did not last\n", account->name);
        return false;
    }
    log_event(LOG_LEVEL_INFO, "root_given_up", "account", account->name, NULL);
    return true;
}

static bool find_programs(char programs[PATH_MAX], struct buffer *problem) {
    ssize_t size = readlink("/proc/self/exe", programs, PATH_MAX - 1);
    char *slash = NULL;
    if (size > 0) {
        programs[size] = '\0';
        slash = strrchr(programs, '/');
    }
    if (slash == NULL)
        return complain(problem, "cannot find the directory of", "/proc/self/exe");
    *slash = '\0';
    return true;
}

static bool become_account(const struct settings *settings, struct place *place, struct buffer *problem) {
    struct account account;
    char probe[PATH_MAX];
    if (!choose_account(settings, place->var, &account, problem) || !make_var(place->var, &account, problem))
        return false;
    if (!reaches(&account, place->var, R_OK | W_OK | X_OK) && !var_elsewhere(&account, place->var, problem))
        return false;
    if (!path_printf(probe, "%s/pixbus", place->programs)) {
        buffer_printf(problem, "the path %s is too long\n", place->programs);
        return false;
    }
    if (!reaches(&account, probe, R_OK | X_OK) && !copy_programs(&account, place->var, place->programs, problem))
        return false;
    return drop_root(&account, problem);
}

/* FNV-1a: names the run directory of a var directory whose path is too long for sockets. */
static uint64_t hash_path(const char *path) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *path != '\0'; path++)
        hash = (hash ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
    return hash;
}

static bool make_run(const struct settings *settings, struct place *place, struct buffer *problem) {
    char run[PATH_MAX];
    struct stat status;
    bool given = settings->run_directory != NULL;
    bool good = given ? path_absolute(settings->run_directory, run, problem) : path_printf(run, "%s/run", place->var);
    if (good && !given && strlen(run) > RUN_DIRECTORY_BYTES_MAX)
        good = path_printf(run, "/tmp/pixbus-%u-%016llx", (unsigned)geteuid(), (unsigned long long)hash_path(place->var));
    if (!good || !text_copy(text_from(run), place->run, sizeof place->run)) {
        buffer_printf(problem, "the path of the sockets' directory has more than %d bytes: set PIXBUS_RUN to a shorter one\n",
                      RUN_DIRECTORY_BYTES_MAX);
        return false;
    }
    if (!directory_make(run, 0700, problem))
        return false;
    if (lstat(run, &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        buffer_printf(problem, "%s must be a directory of ours that nobody else can write to: set PIXBUS_RUN to another one\n",
                      run);
        return false;
    }
    return true;
}

static bool take_lock(struct place *place, struct buffer *problem) {
    char path[PATH_MAX], pid[32] = "";
    if (!path_printf(path, "%s/lock", place->var))
        return false;
    place->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (place->lock < 0)
        return complain(problem, "cannot open", path);
    if (flock(place->lock, LOCK_EX | LOCK_NB) != 0) {
        ssize_t size = pread(place->lock, pid, sizeof pid - 1, 0);
        pid[size > 0 ? strcspn(pid, "\n") : 0] = '\0';
        buffer_printf(problem,
                      "another pixbus up (process %s) runs on %s: stop it, or set PIXBUS_VAR, PIXBUS_LISTEN and "
                      "PIXBUS_STORE_LISTEN for a second installation\n",
                      *pid != '\0' ? pid : "unknown", place->var);
        (void)close(place->lock);
        return false;
    }
    int size = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(place->lock, 0) != 0 || pwrite(place->lock, pid, (size_t)size, 0) != size)
        return complain(problem, "cannot write", path);
    return true;
}

bool place_open(const struct settings *settings, struct place *ret_place, struct buffer *problem) {
    struct place place = {.lock = -1};
    if (!path_absolute(settings->var_directory, place.var, problem) || !find_programs(place.programs, problem))
        return false;
    if (geteuid() == 0 ? !become_account(settings, &place, problem) : !make_var(place.var, NULL, problem))
        return false;
    if (access(place.var, R_OK | W_OK | X_OK) != 0)
        return complain(problem, "PIXBUS_VAR must be a directory of ours; cannot use", place.var);
    if (!take_lock(&place, problem) || !make_run(settings, &place, problem))
        return false;
    *ret_place = place;
    return true;
}
