#include "bus/ctl/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static bool complain(struct buffer *problem, const char *what, const char *path) {
    int saved = errno;
    buffer_printf(problem, "%s %s: %s\n", what, path, strerrordesc_np(saved));
    errno = saved;
    return false;
}

bool path_printf(char out[PATH_MAX], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(out, PATH_MAX, format, arguments);
    va_end(arguments);
    return size >= 0 && size < PATH_MAX;
}

bool path_absolute(const char *path, char ret_absolute[PATH_MAX], struct buffer *problem) {
    char here[PATH_MAX];
    if (*path == '/' && path_printf(ret_absolute, "%s", path))
        return true;
    if (*path != '/' && getcwd(here, sizeof here) != NULL && path_printf(ret_absolute, "%s/%s", here, path))
        return true;
    return complain(problem, "the path is too long, or the working directory is gone:", path);
}

bool directory_make(const char *path, unsigned mode, struct buffer *problem) {
    char partial[PATH_MAX];
    struct stat status;
    if (!text_copy(text_from(path), partial, sizeof partial) || partial[0] != '/') {
        errno = ENAMETOOLONG;
        return complain(problem, "cannot make", path);
    }
    for (char *slash = partial; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST)
            return complain(problem, "cannot make the directory", partial);
    }
    if (mkdir(partial, mode) == 0)
        return true;
    if (errno != EEXIST || stat(path, &status) != 0)
        return complain(problem, "cannot make the directory", path);
    errno = ENOTDIR;
    return S_ISDIR(status.st_mode) || complain(problem, "cannot use", path);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

bool directory_remove(const char *path, struct buffer *problem) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return complain(problem, "cannot remove", path);
    return true;
}

bool file_read(const char *path, size_t bytes_max, struct buffer *out, struct buffer *problem) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = -1;
    if (fd < 0)
        return errno == ENOENT ? false : complain(problem, "cannot read", path);
    char *place = buffer_reserve(out, bytes_max + 1);
    if (place != NULL)
        while ((got = read(fd, place, bytes_max + 1)) < 0 && errno == EINTR) {
        }
    if (got > (ssize_t)bytes_max) {
        errno = EFBIG;
        got = -1;
    }
    bool good = got >= 0;
    if (good)
        buffer_claim(out, (size_t)got);
    else
        (void)complain(problem, "cannot read", path);
    (void)close(fd);
    return good;
}

static bool write_all(int fd, struct text content) {
    for (size_t at = 0; at < content.size;) {
        ssize_t size = write(fd, content.data + at, content.size - at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return false;
        at += (size_t)size;
    }
    return true;
}

static bool flush_directory_of(const char *path) {
    char directory[PATH_MAX];
    if (!text_copy(text_from(path), directory, sizeof directory))
        return false;
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        (void)close(fd);
    return good;
}

bool file_write(const char *path, struct text content, unsigned mode, struct buffer *problem) {
    char temporary[PATH_MAX];
    if (!path_printf(temporary, "%s.new", path)) {
        errno = ENAMETOOLONG;
        return complain(problem, "cannot write", path);
    }
    (void)unlink(temporary); /* of one that was interrupted, perhaps with another mode */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool good = fd >= 0 && write_all(fd, content) && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    good = good && rename(temporary, path) == 0 && flush_directory_of(path);
    return good || complain(problem, "cannot write", path);
}

bool file_copy(const char *from, const char *to, unsigned mode, struct buffer *problem) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    ssize_t size = -1;
    if (in < 0)
        return complain(problem, "cannot read", from);
    (void)unlink(to); /* a running program cannot be written, but its name can be given away */
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (out >= 0)
        while ((size = sendfile(out, in, NULL, 1 << 20)) > 0) {
        }
    bool good = size == 0 && fchmod(out, mode) == 0;
    if (!good)
        (void)complain(problem, "cannot copy to", to);
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return good;
}
