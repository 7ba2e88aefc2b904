/*
 * files.h: what `pixbus up` does with files and directories. Failures leave errno and a line for people in `problem`.
 */
#ifndef PIXBUS_CTL_FILES_H
#define PIXBUS_CTL_FILES_H

#include <limits.h>

#include "base/buffer.h"

/* printf of a path into `out`. False if it does not fit. */
[[gnu::format(printf, 2, 3), gnu::warn_unused_result]] bool path_printf(char out[PATH_MAX], const char *format, ...);

/* Absolute, by the working directory; the path need not exist. */
[[gnu::warn_unused_result]] bool path_absolute(const char *path, char ret_absolute[PATH_MAX], struct buffer *problem);

/* Make a directory and those above it. The last one gets `mode` if it is made here; those above it 0755. */
[[gnu::warn_unused_result]] bool directory_make(const char *path, unsigned mode, struct buffer *problem);

/* Remove a directory with all that is in it, following no links. One that does not exist is all right. */
[[gnu::warn_unused_result]] bool directory_remove(const char *path, struct buffer *problem);

/* Read a whole file of at most `bytes_max`. False with ENOENT if there is none: `problem` then stays empty. */
[[gnu::warn_unused_result]] bool file_read(const char *path, size_t bytes_max, struct buffer *out, struct buffer *problem);

/* Write a file at once and durably: a new one, flushed, renamed over the old one, and the directory flushed. */
[[gnu::warn_unused_result]] bool file_write(const char *path, struct text content, unsigned mode, struct buffer *problem);

/* Copy a file, replacing an older copy (which may be running). */
[[gnu::warn_unused_result]] bool file_copy(const char *from, const char *to, unsigned mode, struct buffer *problem);

#endif
