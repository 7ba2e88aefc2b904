#include "actors/store/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/store/checksum.h"
#include "actors/store/percent.h"
#include "crypto/crypto.h"

#define MAGIC "PIXBUS1\n"
#define SEAL_BYTES 24            /* 8 digits of length, 8 of CRC-32, the magic word */
#define PLAIN_NAME_BYTES_MAX 200 /* a file name holds 255 */

static_assert(3 * (LIMIT_OBJECT_KEY_BYTES + OBJECT_HEADERS_BYTES_MAX) + OBJECT_HEADERS_MAX * 10 + 200 <= OBJECT_TRAILER_BYTES_MAX,
              "the trailer of the longest key and headers fits");

void object_write_trailer(const struct object *object, struct buffer *out) {
    size_t begin = out->size;
    buffer_append_text(out, TEXT("key "));
    percent_encode(PERCENT_NAME, object->key, out);
    buffer_printf(out, "\nsize %llu\netag %s\nmodified %lld\n", (unsigned long long)object->size_bytes, object->etag,
                  (long long)object->modified_us);
    for (size_t i = 0; i < object->header_count; i++) {
        buffer_append_text(out, TEXT("header "));
        percent_encode(PERCENT_NAME, object->headers[i].name, out);
        buffer_append_text(out, TEXT(" "));
        percent_encode(PERCENT_NAME, object->headers[i].value, out);
        buffer_append_text(out, TEXT("\n"));
    }
    if (buffer_ok(out)) {
        size_t size = out->size - begin;
        buffer_printf(out, "%08zx%08x" MAGIC, size, checksum_crc32(0, out->data + begin, size));
    }
}

static bool hex_u32(struct text hex, uint32_t *ret_value) {
    uint8_t bytes[4];
    if (!hex_decode(hex, bytes, sizeof bytes))
        return false;
    *ret_value = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

/* Take a word up to `end` off the front. */
static bool take(struct text *rest, char end, struct text *ret_word) {
    const char *found = rest->size > 0 ? memchr(rest->data, end, rest->size) : NULL;
    if (found == NULL)
        return false;
    *ret_word = (struct text){rest->data, (size_t)(found - rest->data)};
    rest->data = found + 1;
    rest->size -= ret_word->size + 1;
    return true;
}

/* Decode a word into the object's own memory. */
static bool keep(struct object *object, size_t *used, struct text word, struct text *ret_text) {
    size_t size;
    if (!percent_decode(word, false, object->text + *used, sizeof object->text - *used, &size))
        return false;
    *ret_text = (struct text){object->text + *used, size};
    *used += size;
    return true;
}

static bool read_line(struct object *object, size_t *used, struct text name, struct text line) {
    uint64_t number;
    struct text word;
    if (text_equal(name, TEXT("key")))
        return keep(object, used, line, &object->key);
    if (text_equal(name, TEXT("size")))
        return text_to_u64(line, &object->size_bytes);
    if (text_equal(name, TEXT("etag")))
        return text_copy(line, object->etag, sizeof object->etag);
    if (text_equal(name, TEXT("modified"))) {
        bool good = text_to_u64(line, &number) && number <= INT64_MAX;
        object->modified_us = good ? (int64_t)number : 0;
        return good;
    }
    if (!text_equal(name, TEXT("header")))
        return true; /* of a later version */
    if (object->header_count == OBJECT_HEADERS_MAX || !take(&line, ' ', &word))
        return false;
    struct object_header *header = &object->headers[object->header_count++];
    return keep(object, used, word, &header->name) && keep(object, used, line, &header->value);
}

bool object_read_trailer(struct text tail, uint64_t file_bytes, struct object *ret_object) {
    uint32_t size, checksum;
    size_t used = 0;
    struct text name, line;
    if (tail.size < SEAL_BYTES)
        return false;
    struct text seal = {tail.data + tail.size - SEAL_BYTES, SEAL_BYTES};
    if (!text_equal((struct text){seal.data + 16, 8}, TEXT(MAGIC)) || !hex_u32((struct text){seal.data, 8}, &size) ||
        !hex_u32((struct text){seal.data + 8, 8}, &checksum) || size > tail.size - SEAL_BYTES)
        return false;
    struct text rest = {seal.data - size, size};
    if (checksum_crc32(0, rest.data, rest.size) != checksum)
        return false;
    memset(ret_object, 0, offsetof(struct object, text));
    while (rest.size > 0)
        if (!take(&rest, '\n', &line) || !take(&line, ' ', &name) || !read_line(ret_object, &used, name, line))
            return false;
    return ret_object->key.size > 0 && ret_object->size_bytes == file_bytes - size - SEAL_BYTES;
}

bool object_path(struct text bucket, struct text key, char path[DISK_PATH_BYTES], uint64_t *ret_hash) {
    uint8_t hash[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    struct buffer name = {.limit_bytes = 3 * LIMIT_OBJECT_KEY_BYTES + 1};
    struct digest *digest = digest_new(DIGEST_SHA256);
    if (digest == NULL)
        return false;
    digest_update(digest, key.data, key.size);
    digest_finish(digest, hash);
    digest_free(digest);
    hex_encode(hash, sizeof hash, hex);
    percent_encode(PERCENT_NAME, key, &name);
    bool plain = buffer_ok(&name) && name.size <= PLAIN_NAME_BYTES_MAX;
    int size = snprintf(path, DISK_PATH_BYTES, "objects/%.*s/%.2s/%c%.*s", TEXT_ARGUMENTS(bucket), hex, plain ? 'k' : 'h',
                        plain ? (int)name.size : SHA256_HEX_BYTES - 1, plain ? name.data : hex);
    buffer_free(&name);
    if (ret_hash != NULL) {
        *ret_hash = 0;
        for (size_t i = 0; i < sizeof *ret_hash; i++)
            *ret_hash = *ret_hash << 8 | hash[i];
    }
    return size > 0 && size < DISK_PATH_BYTES;
}

int object_open(const struct disk *disk, const char *path, struct object *ret_object) {
    char tail[OBJECT_TRAILER_BYTES_MAX + SEAL_BYTES];
    struct stat status;
    int error = EUCLEAN;
    int fd = disk_open_file(disk, path);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) != 0) {
        error = errno;
    } else if (S_ISREG(status.st_mode)) {
        size_t size = (uint64_t)status.st_size < sizeof tail ? (size_t)status.st_size : sizeof tail;
        ssize_t got = pread(fd, tail, size, status.st_size - (off_t)size);
        if (got < 0)
            error = errno;
        else if ((size_t)got == size && object_read_trailer((struct text){tail, size}, (uint64_t)status.st_size, ret_object))
            return fd;
    }
    (void)close(fd);
    errno = error;
    return -1;
}
