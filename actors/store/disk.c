#include "actors/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0600
#define DIRECTORY_MODE 0700
#define PARENT_MODE 0755

static bool may(const struct disk *disk, const char *call) {
    if (disk->step == NULL || disk->step(disk->context, call))
        return true;
    errno = EIO;
    return false;
}

/* mkdir -p: every directory above the last one may be missing; unlike that one, they are not ours alone. */
static bool make_parents(const char *directory) {
    char path[DISK_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s", directory) >= sizeof path) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = path; slash != NULL; slash = strchr(slash + 1, '/')) {
        if (slash != path && slash[0] == '/') {
            *slash = '\0';
            if (mkdir(path, PARENT_MODE) != 0 && errno != EEXIST)
                return false;
            *slash = '/';
        }
    }
    return mkdir(path, DIRECTORY_MODE) == 0 || errno == EEXIST;
}

bool disk_open(struct disk *disk, const char *directory) {
    if (!make_parents(directory))
        return false;
    disk->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return disk->root_fd >= 0;
}

void disk_close(struct disk *disk) {
    if (disk->root_fd > 0)
        (void)close(disk->root_fd);
    disk->root_fd = -1;
}

int disk_create(const struct disk *disk, const char *path) {
    if (!may(disk, "create"))
        return -1;
    return openat(disk->root_fd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
}

bool disk_write(const struct disk *disk, int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    if (!may(disk, "write"))
        return false;
    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

bool disk_sync(const struct disk *disk, int fd) {
    return may(disk, "sync") && fdatasync(fd) == 0;
}

bool disk_sync_directory(const struct disk *disk, const char *path) {
    if (!may(disk, "sync_directory"))
        return false;
    int fd = disk_open_directory(disk, path);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    int error = errno;
    (void)close(fd);
    errno = error;
    return synced;
}

bool disk_rename(const struct disk *disk, const char *from, const char *to) {
    return may(disk, "rename") && renameat(disk->root_fd, from, disk->root_fd, to) == 0;
}

bool disk_link(const struct disk *disk, const char *from, const char *to) {
    return may(disk, "link") && linkat(disk->root_fd, from, disk->root_fd, to, 0) == 0;
}

bool disk_remove(const struct disk *disk, const char *path) {
    return may(disk, "remove") && unlinkat(disk->root_fd, path, 0) == 0;
}

bool disk_remove_directory(const struct disk *disk, const char *path) {
    return may(disk, "remove_directory") && unlinkat(disk->root_fd, path, AT_REMOVEDIR) == 0;
}

bool disk_make_directory(const struct disk *disk, const char *path) {
    char parent[DISK_PATH_BYTES];
    if (!may(disk, "make_directory"))
        return false;
    if (mkdirat(disk->root_fd, path, DIRECTORY_MODE) != 0)
        return errno == EEXIST;
    const char *slash = strrchr(path, '/');
    (void)snprintf(parent, sizeof parent, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
    return disk_sync_directory(disk, parent);
}

int disk_open_file(const struct disk *disk, const char *path) {
    return openat(disk->root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int disk_open_directory(const struct disk *disk, const char *path) {
    return openat(disk->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
