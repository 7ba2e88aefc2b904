#include "actors/store/workspace.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"

#define DELIVERY_LOCK WORKSPACE_STRIPES /* the byte of `lock` behind the stripes */

static bool make_tree(const struct disk *disk, const struct text *buckets, size_t bucket_count) {
    static const char *const tree[] = {"objects", "events", "events/new", "events/dead", "work", "multipart"};
    char path[DISK_PATH_BYTES];
    struct stat status;
    for (size_t i = 0; i < sizeof tree / sizeof tree[0]; i++)
        if (!disk_make_directory(disk, tree[i]))
            return false;
    for (size_t i = 0; i < bucket_count; i++) {
        (void)snprintf(path, sizeof path, "objects/%.*s/ff", TEXT_ARGUMENTS(buckets[i]));
        if (fstatat(disk->root_fd, path, &status, 0) == 0)
            continue; /* the last one is there, so all are */
        (void)snprintf(path, sizeof path, "objects/%.*s", TEXT_ARGUMENTS(buckets[i]));
        if (!disk_make_directory(disk, path))
            return false;
        for (unsigned byte = 0; byte < 256; byte++) {
            (void)snprintf(path, sizeof path, "objects/%.*s/%02x", TEXT_ARGUMENTS(buckets[i]), byte);
            if (mkdirat(disk->root_fd, path, 0700) != 0 && errno != EEXIST)
                return false;
        }
        (void)snprintf(path, sizeof path, "objects/%.*s", TEXT_ARGUMENTS(buckets[i]));
        if (!disk_sync_directory(disk, path))
            return false;
    }
    return true;
}

/* Another process may clear a directory that is not locked yet: take one only if its name still leads to it. */
static bool take_directory(struct workspace *workspace) {
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        uint64_t nonce;
        struct stat here, there;
        random_bytes(&nonce, sizeof nonce);
        (void)snprintf(workspace->directory, sizeof workspace->directory, "work/%016llx", (unsigned long long)nonce);
        if (!disk_make_directory(workspace->disk, workspace->directory))
            return false;
        int fd = disk_open_directory(workspace->disk, workspace->directory);
        if (fd < 0 && errno != ENOENT)
            return false;
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &here) == 0 &&
            fstatat(workspace->disk->root_fd, workspace->directory, &there, 0) == 0 && here.st_ino == there.st_ino) {
            workspace->directory_fd = fd;
            return true;
        }
        if (fd >= 0)
            (void)close(fd);
    }
    errno = EBUSY;
    return false;
}

bool workspace_open(struct workspace *workspace, struct disk *disk, const struct text *buckets, size_t bucket_count) {
    workspace->disk = disk;
    workspace->directory_fd = workspace->lock_fd = -1;
    for (size_t i = 0; i < WORKSPACE_STRIPES; i++)
        (void)pthread_mutex_init(&workspace->stripes[i], NULL);
    if (!make_tree(disk, buckets, bucket_count) || !take_directory(workspace))
        return false;
    workspace->lock_fd = openat(disk->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return workspace->lock_fd >= 0;
}

void workspace_close(struct workspace *workspace) {
    if (workspace->directory_fd >= 0) {
        if (!disk_remove_directory(workspace->disk, workspace->directory)) {
            /* Something is left in it: whoever opens the store next clears it. */
        }
        (void)close(workspace->directory_fd);
    }
    if (workspace->lock_fd >= 0)
        (void)close(workspace->lock_fd);
    workspace->directory_fd = workspace->lock_fd = -1;
    for (size_t i = 0; i < WORKSPACE_STRIPES; i++)
        (void)pthread_mutex_destroy(&workspace->stripes[i]);
}

void workspace_name(struct workspace *workspace, const char *prefix, char path[WORKSPACE_NAME_BYTES]) {
    unsigned long long number = atomic_fetch_add(&workspace->names, 1);
    (void)snprintf(path, WORKSPACE_NAME_BYTES, "%s/%s%llu", workspace->directory, prefix, number);
}

static bool clear_directory(struct workspace *workspace, const char directory[NAME_MAX], int fd,
                            bool (*keep)(struct workspace *, const char *, const char *)) {
    char path[3 * NAME_MAX], target[3 * NAME_MAX];
    bool good = true;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        (void)close(fd);
        return false;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)snprintf(target, sizeof target, "events/new/%s", entry->d_name);
        if (entry->d_name[0] == 'e' && keep(workspace, path, entry->d_name))
            good = disk_rename(workspace->disk, path, target) && good;
        else
            good = disk_remove(workspace->disk, path) && good;
    }
    if (good)
        good = disk_remove_directory(workspace->disk, directory);
    (void)closedir(stream); /* and with it goes the lock */
    return good;
}

bool workspace_recover(struct workspace *workspace, bool (*keep)(struct workspace *, const char *, const char *)) {
    char path[NAME_MAX];
    bool good = true;
    int work = disk_open_directory(workspace->disk, "work");
    DIR *stream = work >= 0 ? fdopendir(work) : NULL;
    if (stream == NULL) {
        if (work >= 0)
            (void)close(work);
        return false;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(path, sizeof path, "work/%s", entry->d_name) >= sizeof path)
            continue; /* none of ours */
        int fd = disk_open_directory(workspace->disk, path);
        if (fd < 0)
            continue; /* another process clears it */
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            good = clear_directory(workspace, path, fd, keep) && good;
        else
            (void)close(fd);
    }
    (void)closedir(stream);
    return good;
}

static bool lock_byte(struct workspace *workspace, off_t byte, short type, bool wait) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = fcntl(workspace->lock_fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/* The mutex keeps threads apart, the lock of the file processes (an old and a new worker while nginx reloads). */
void workspace_lock(struct workspace *workspace, uint64_t key_hash) {
    (void)pthread_mutex_lock(&workspace->stripes[key_hash % WORKSPACE_STRIPES]);
    bool locked = lock_byte(workspace, (off_t)(key_hash % WORKSPACE_STRIPES), F_WRLCK, true);
    assert(locked);
    (void)locked;
}

void workspace_unlock(struct workspace *workspace, uint64_t key_hash) {
    bool unlocked = lock_byte(workspace, (off_t)(key_hash % WORKSPACE_STRIPES), F_UNLCK, false);
    assert(unlocked);
    (void)unlocked;
    (void)pthread_mutex_unlock(&workspace->stripes[key_hash % WORKSPACE_STRIPES]);
}

bool workspace_try_deliver(struct workspace *workspace) {
    return lock_byte(workspace, DELIVERY_LOCK, F_WRLCK, false);
}
