/*
 * disk.h: the system calls that change the store's directory, each in one place, so that tests can stop the process, or
 * make the call fail, before every one of them. Paths are relative to the store's directory.
 */
#ifndef PIXBUS_STORE_DISK_H
#define PIXBUS_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>

#define DISK_PATH_BYTES 400

/* Zero-initialised by its owner. Shared by threads: nothing in it changes after disk_open(). */
struct disk {
    int root_fd;
    /* Tests: called before each change; false makes the call fail with EIO. NULL in earnest. */
    bool (*step)(void *context, const char *call);
    void *context;
};

/* Make the directory (and its parents) if it is missing and open it. False with errno set. */
[[gnu::warn_unused_result]] bool disk_open(struct disk *disk, const char *directory);
/* Takes one that was never opened. */
void disk_close(struct disk *disk);

/* All below return false, or -1, with errno set. */
[[gnu::warn_unused_result]] int disk_create(const struct disk *disk,
                                            const char *path); /* for reading and writing; fails if it exists */
[[gnu::warn_unused_result]] bool disk_write(const struct disk *disk, int fd, const void *bytes, size_t size);
/* The file's bytes and length reach the medium. */
[[gnu::warn_unused_result]] bool disk_sync(const struct disk *disk, int fd);
/* Names made in and removed from the directory reach the medium. */
[[gnu::warn_unused_result]] bool disk_sync_directory(const struct disk *disk, const char *path);
/* Atomic; replaces `to`. */
[[gnu::warn_unused_result]] bool disk_rename(const struct disk *disk, const char *from, const char *to);
/* A second name; fails with EEXIST if `to` exists. */
[[gnu::warn_unused_result]] bool disk_link(const struct disk *disk, const char *from, const char *to);
[[gnu::warn_unused_result]] bool disk_remove(const struct disk *disk, const char *path);
[[gnu::warn_unused_result]] bool disk_remove_directory(const struct disk *disk, const char *path);
/* Durable; true also if it is there already. */
[[gnu::warn_unused_result]] bool disk_make_directory(const struct disk *disk, const char *path);

/* For reading, by openat(2). */
[[gnu::warn_unused_result]] int disk_open_file(const struct disk *disk, const char *path);
[[gnu::warn_unused_result]] int disk_open_directory(const struct disk *disk, const char *path);

#endif
