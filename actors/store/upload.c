#include "actors/store/upload.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/store/checksum.h"
#include "base/clock.h"

struct upload {
    struct store *store;
    struct upload_promise promise;
    struct digest *md5, *sha256; /* sha256: NULL if nothing was promised of it */
    uint64_t written_bytes;
    uint32_t crc32;
    int fd;       /* -1 before the first byte */
    bool in_work; /* the file is there */
    char path[WORKSPACE_NAME_BYTES];
};

struct upload *upload_new(struct store *store, const struct upload_promise *promise) {
    struct upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return NULL;
    upload->store = store;
    upload->promise = *promise;
    upload->fd = -1;
    upload->md5 = digest_new(DIGEST_MD5);
    bool needs_sha256 = promise->has_sha256 || promise->has_checksum_sha256;
    if (needs_sha256)
        upload->sha256 = digest_new(DIGEST_SHA256);
    if (upload->md5 == NULL || (needs_sha256 && upload->sha256 == NULL)) {
        upload_free(upload);
        return NULL;
    }
    workspace_name(&store->workspace, "u-", upload->path);
    return upload;
}

static bool begin(struct upload *upload) {
    if (upload->fd < 0) {
        upload->fd = disk_create(&upload->store->disk, upload->path);
        upload->in_work = upload->fd >= 0;
    }
    return upload->fd >= 0;
}

enum s3_error upload_write(struct upload *upload, const void *bytes, size_t size) {
    if (size > upload->promise.size_bytes - upload->written_bytes)
        return S3_IncompleteBody;
    if (!begin(upload) || !disk_write(&upload->store->disk, upload->fd, bytes, size))
        return store_error_of_errno();
    upload->written_bytes += size;
    digest_update(upload->md5, bytes, size);
    if (upload->sha256 != NULL)
        digest_update(upload->sha256, bytes, size);
    if (upload->promise.has_checksum_crc32)
        upload->crc32 = checksum_crc32(upload->crc32, bytes, size);
    return S3_OK;
}

static enum s3_error check(struct upload *upload, uint8_t md5[MD5_BYTES]) {
    const struct upload_promise *promise = &upload->promise;
    uint8_t sha256[SHA256_BYTES] = {0};
    digest_finish(upload->md5, md5);
    if (upload->sha256 != NULL)
        digest_finish(upload->sha256, sha256);
    if (upload->written_bytes != promise->size_bytes)
        return S3_IncompleteBody;
    if (promise->has_sha256 && memcmp(sha256, promise->sha256, sizeof sha256) != 0)
        return S3_XAmzContentSHA256Mismatch;
    if ((promise->has_md5 && memcmp(md5, promise->md5, MD5_BYTES) != 0) ||
        (promise->has_checksum_sha256 && memcmp(sha256, promise->checksum_sha256, sizeof sha256) != 0) ||
        (promise->has_checksum_crc32 && upload->crc32 != promise->checksum_crc32))
        return S3_BadDigest;
    return S3_OK;
}

enum s3_error upload_seal(struct upload *upload, struct object *object) {
    struct buffer trailer = {0};
    uint8_t md5[MD5_BYTES];
    enum s3_error error = check(upload, md5);
    if (error != S3_OK)
        return error;
    object->size_bytes = upload->written_bytes;
    object->modified_us = clock_real_us();
    if (object->etag[0] == '\0')
        hex_encode(md5, sizeof md5, object->etag);
    object_write_trailer(object, &trailer);
    errno = ENOMEM;
    if (!buffer_ok(&trailer) || !begin(upload) || !disk_write(&upload->store->disk, upload->fd, trailer.data, trailer.size) ||
        !disk_sync(&upload->store->disk, upload->fd))
        error = store_error_of_errno();
    buffer_free(&trailer);
    return error;
}

const char *upload_path(const struct upload *upload) {
    return upload->path;
}

void upload_moved(struct upload *upload) {
    upload->in_work = false;
}

void upload_free(struct upload *upload) {
    if (upload == NULL)
        return;
    if (upload->fd >= 0)
        (void)close(upload->fd);
    if (upload->in_work && !disk_remove(&upload->store->disk, upload->path)) {
        /* Whoever opens the store next removes it. */
    }
    digest_free(upload->md5);
    digest_free(upload->sha256);
    free(upload);
}
