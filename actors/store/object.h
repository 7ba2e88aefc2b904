/*
 * object.h: one object as it lies on disk: a plain file that begins with the object's bytes and ends with a trailer of
 * lines (key, size, ETag, time, headers), sealed by the trailer's length, its CRC-32 and a magic word. One file, so that
 * bytes and description change in one rename; the bytes first, so that they can be written as they arrive and sent by
 * sendfile(2).
 */
#ifndef PIXBUS_STORE_OBJECT_H
#define PIXBUS_STORE_OBJECT_H

#include "actors/store/disk.h"
#include "base/buffer.h"
#include "base/limits.h"

#define OBJECT_ETAG_BYTES 40           /* 32 hexadecimal digits, for multipart "-" and the number of parts, and a NUL */
#define OBJECT_HEADERS_MAX 32          /* content-type, cache-control, …, x-amz-meta-*; more: MetadataTooLarge */
#define OBJECT_HEADERS_BYTES_MAX 4096  /* their names and values together */
#define OBJECT_TRAILER_BYTES_MAX 20000 /* every byte of the key and the headers may be written as three */

struct object_header {
    struct text name, value; /* names in lower case */
};

/* What is known of an object beside its bytes. The texts point into `text`, or into memory of whoever filled it. */
struct object {
    struct text key;
    uint64_t size_bytes;
    int64_t modified_us; /* real time */
    char etag[OBJECT_ETAG_BYTES];
    struct object_header headers[OBJECT_HEADERS_MAX];
    size_t header_count;
    char text[LIMIT_OBJECT_KEY_BYTES + OBJECT_HEADERS_BYTES_MAX];
};

/* Append the trailer. */
void object_write_trailer(const struct object *object, struct buffer *out);

/*
 * Read it back from the last bytes of a file (at least the whole trailer, or the whole file) of `file_bytes` bytes. False
 * if it is damaged.
 */
[[gnu::warn_unused_result]] bool object_read_trailer(struct text tail, uint64_t file_bytes, struct object *ret_object);

/*
 * The path of an object of a bucket: objects/BUCKET/XX/NAME. XX is the first byte of the key's SHA-256; the name is the
 * key with all but letters, digits, '-', '_' and '.' percent-encoded behind a 'k', or for a long key the whole SHA-256
 * behind an 'h'. *ret_hash (may be NULL) is the first 8 bytes of the SHA-256.
 */
[[gnu::warn_unused_result]] bool object_path(struct text bucket, struct text key, char path[DISK_PATH_BYTES], uint64_t *ret_hash);

/* Open an object: a descriptor at its first byte; the caller closes it. -1 with errno: ENOENT, EUCLEAN for a damaged one, … */
[[gnu::warn_unused_result]] int object_open(const struct disk *disk, const char *path, struct object *ret_object);

#endif
