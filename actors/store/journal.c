#include "actors/store/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/store/checksum.h"
#include "base/clock.h"
#include "base/limits.h"

#define NAME_BYTES 40 /* e, 16 digits, '-', 16 digits and a NUL */
#define SEAL_BYTES 10 /* behind the notification: a line of its CRC-32 */

static void name_of(struct event_id id, char name[NAME_BYTES]) {
    (void)snprintf(name, NAME_BYTES, "e%016llX-%016llX", (unsigned long long)id.sequencer, (unsigned long long)id.key_hash);
}

static bool number_of(const char *digits, uint64_t *ret_number) {
    uint8_t bytes[8];
    uint64_t number = 0;
    if (!hex_decode((struct text){digits, 16}, bytes, sizeof bytes))
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        number = number << 8 | bytes[i];
    *ret_number = number;
    return true;
}

static bool id_of(const char *name, struct event_id *ret_id) {
    return strlen(name) == 34 && name[0] == 'e' && name[17] == '-' && number_of(name + 1, &ret_id->sequencer) &&
           number_of(name + 18, &ret_id->key_hash);
}

static void path_of(const char *directory, struct event_id id, char path[DISK_PATH_BYTES]) {
    char name[NAME_BYTES];
    name_of(id, name);
    (void)snprintf(path, DISK_PATH_BYTES, "%s/%s", directory, name);
}

static enum journal_reading read_file(const struct disk *disk, const char *path, struct buffer *out) {
    struct stat status;
    int fd = disk_open_file(disk, path);
    if (fd < 0)
        return errno == ENOENT ? JOURNAL_GONE : JOURNAL_UNREADABLE;
    size_t size = fstat(fd, &status) == 0 && status.st_size <= LIMIT_EVENT_BYTES + SEAL_BYTES ? (size_t)status.st_size : 0;
    char *bytes = buffer_reserve(out, size);
    ssize_t got = bytes != NULL ? pread(fd, bytes, size, 0) : -1;
    (void)close(fd);
    if (bytes == NULL || got < 0)
        return JOURNAL_UNREADABLE;
    uint8_t checksum[4];
    if ((size_t)got != size || size <= SEAL_BYTES || bytes[size - 1] != '\n' || bytes[size - SEAL_BYTES] != '\n' ||
        !hex_decode((struct text){bytes + size - SEAL_BYTES + 1, 8}, checksum, sizeof checksum))
        return JOURNAL_DAMAGED;
    uint32_t expected = (uint32_t)checksum[0] << 24 | (uint32_t)checksum[1] << 16 | (uint32_t)checksum[2] << 8 | checksum[3];
    if (checksum_crc32(0, bytes, size - SEAL_BYTES) != expected)
        return JOURNAL_DAMAGED;
    buffer_claim(out, size - SEAL_BYTES);
    return JOURNAL_READ;
}

/* An event that is not whole was never durable, so its object did not change. */
static bool keep_prepared(struct workspace *workspace, const char *path, const char *name) {
    struct buffer content = {.limit_bytes = LIMIT_EVENT_BYTES + SEAL_BYTES};
    struct event_id id;
    bool whole = id_of(name, &id) && read_file(workspace->disk, path, &content) == JOURNAL_READ;
    buffer_free(&content);
    return whole;
}

static bool open_sequencer(struct journal *journal) {
    int fd = openat(journal->workspace->disk->root_fd, "sequencer", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    if (fd < 0)
        return false;
    void *page = MAP_FAILED;
    if (fstat(fd, &status) == 0 && (status.st_size >= (off_t)sizeof(uint64_t) || ftruncate(fd, (off_t)sizeof(uint64_t)) == 0))
        page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (page == MAP_FAILED)
        return false;
    journal->page = journal->sequencer = page;
    return true;
}

/* The sequencer's file survives the process; if power was lost it may be behind what the events on disk say. */
static bool advance_sequencer(struct journal *journal) {
    DIR *stream;
    struct event_id id;
    static const char *const directories[] = {"events/new", "events/dead"};
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        int fd = disk_open_directory(journal->workspace->disk, directories[i]);
        if (fd < 0 || (stream = fdopendir(fd)) == NULL)
            return false;
        for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
            uint64_t last = atomic_load(journal->sequencer);
            if (id_of(entry->d_name, &id))
                while (last < id.sequencer && !atomic_compare_exchange_weak(journal->sequencer, &last, id.sequencer))
                    continue;
        }
        (void)closedir(stream);
    }
    return true;
}

bool journal_open(struct journal *journal, struct workspace *workspace) {
    journal->workspace = workspace;
    return open_sequencer(journal) && workspace_recover(workspace, keep_prepared) && advance_sequencer(journal);
}

void journal_close(struct journal *journal) {
    if (journal->page != NULL)
        (void)munmap(journal->page, sizeof(uint64_t));
    journal->page = journal->sequencer = NULL;
}

uint64_t journal_next(struct journal *journal) {
    uint64_t now = (uint64_t)clock_real_us();
    uint64_t last = atomic_load(journal->sequencer), next;
    do
        next = last + 1 > now ? last + 1 : now;
    while (!atomic_compare_exchange_weak(journal->sequencer, &last, next));
    return next;
}

bool journal_prepare(struct journal *journal, struct event_id id, struct text notification) {
    const struct disk *disk = journal->workspace->disk;
    char path[DISK_PATH_BYTES];
    struct buffer content = {.limit_bytes = LIMIT_EVENT_BYTES + SEAL_BYTES + 1};
    path_of(journal->workspace->directory, id, path);
    buffer_append_text(&content, notification);
    buffer_printf(&content, "\n%08x\n", checksum_crc32(0, notification.data, notification.size));
    int fd = buffer_ok(&content) ? disk_create(disk, path) : -1;
    bool prepared = fd >= 0 && disk_write(disk, fd, content.data, content.size) && disk_sync(disk, fd) &&
                    disk_sync_directory(disk, journal->workspace->directory);
    int error = errno;
    buffer_free(&content);
    if (fd >= 0) {
        (void)close(fd);
        if (!prepared)
            journal_discard(journal, id);
    }
    errno = error;
    return prepared;
}

bool journal_publish(struct journal *journal, struct event_id id) {
    char from[DISK_PATH_BYTES], to[DISK_PATH_BYTES];
    path_of(journal->workspace->directory, id, from);
    path_of("events/new", id, to);
    /* Which of the two directories it is in after a loss of power does not matter: recovery finds it in either. */
    return disk_rename(journal->workspace->disk, from, to);
}

void journal_discard(struct journal *journal, struct event_id id) {
    char path[DISK_PATH_BYTES];
    path_of(journal->workspace->directory, id, path);
    if (!disk_remove(journal->workspace->disk, path)) {
        /* It stays until recovery publishes it: an event too many. */
    }
}

static int by_sequencer(const void *left, const void *right) {
    const struct event_id *a = left, *b = right;
    return (a->sequencer > b->sequencer) - (a->sequencer < b->sequencer);
}

bool journal_scan(struct journal *journal, struct event_id *ret_ids, size_t capacity, size_t *ret_count, bool *ret_all) {
    struct event_id id, *ids = malloc(2 * capacity * sizeof *ids);
    size_t count = 0;
    bool all = true;
    int fd = disk_open_directory(journal->workspace->disk, "events/new");
    DIR *stream = fd >= 0 && ids != NULL ? fdopendir(fd) : NULL;
    if (stream == NULL) {
        if (fd >= 0)
            (void)close(fd);
        free(ids);
        return false;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (!id_of(entry->d_name, &id))
            continue;
        ids[count++] = id;
        if (count == 2 * capacity) { /* keep the earlier half */
            qsort(ids, count, sizeof *ids, by_sequencer);
            count = capacity;
            all = false;
        }
    }
    (void)closedir(stream);
    qsort(ids, count, sizeof *ids, by_sequencer);
    *ret_all = all && count <= capacity;
    *ret_count = count < capacity ? count : capacity;
    memcpy(ret_ids, ids, *ret_count * sizeof *ids);
    free(ids);
    return true;
}

enum journal_reading journal_read(struct journal *journal, struct event_id id, struct buffer *out) {
    char path[DISK_PATH_BYTES];
    path_of("events/new", id, path);
    return read_file(journal->workspace->disk, path, out);
}

bool journal_remove(struct journal *journal, struct event_id id) {
    char path[DISK_PATH_BYTES];
    path_of("events/new", id, path);
    /* Not synced: an event that comes back after a loss of power is one too many, which is harmless. */
    return disk_remove(journal->workspace->disk, path) || errno == ENOENT;
}

bool journal_bury(struct journal *journal, struct event_id id) {
    char from[DISK_PATH_BYTES], to[DISK_PATH_BYTES];
    path_of("events/new", id, from);
    path_of("events/dead", id, to);
    return disk_rename(journal->workspace->disk, from, to) || errno == ENOENT;
}
