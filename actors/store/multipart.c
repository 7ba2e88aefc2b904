#include "actors/store/multipart.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"

#define COPY_BYTES (256 * 1024)
#define BUCKET_HEADER "x-pixbus-bucket" /* in the file `begin` */
#define PATH_BYTES 80

static void path_of(const char *id, unsigned part, char path[PATH_BYTES]) {
    if (part == 0)
        (void)snprintf(path, PATH_BYTES, "multipart/%s/begin", id);
    else
        (void)snprintf(path, PATH_BYTES, "multipart/%s/p%05u", id, part);
}

enum s3_error multipart_create(struct store *store, struct text bucket, struct object *object, char ret_id[S3_UPLOAD_ID_BYTES]) {
    uint8_t id[(S3_UPLOAD_ID_BYTES - 1) / 2];
    char path[PATH_BYTES], directory[PATH_BYTES];
    const struct upload_promise promise = {0};
    if (object->header_count == OBJECT_HEADERS_MAX)
        return S3_MetadataTooLarge;
    object->headers[object->header_count++] = (struct object_header){TEXT(BUCKET_HEADER), bucket};
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, ret_id);
    path_of(ret_id, 0, path);
    (void)snprintf(directory, sizeof directory, "multipart/%s", ret_id);
    struct upload *upload = upload_new(store, &promise);
    if (upload == NULL)
        return S3_InternalError;
    enum s3_error error = upload_seal(upload, object);
    if (error == S3_OK &&
        (!disk_make_directory(&store->disk, directory) || !disk_rename(&store->disk, upload_path(upload), path) ||
         !disk_sync_directory(&store->disk, directory)))
        error = store_error_of_errno();
    else if (error == S3_OK)
        upload_moved(upload);
    upload_free(upload);
    return error;
}

/* Read what the object will be. */
static enum s3_error read_begin(const struct store *store, const struct s3_request *request, struct object *ret_object) {
    char path[PATH_BYTES];
    path_of(request->upload_id, 0, path);
    int fd = object_open(&store->disk, path, ret_object);
    if (fd < 0)
        return errno == ENOENT ? S3_NoSuchUpload : S3_InternalError;
    (void)close(fd);
    if (ret_object->header_count == 0)
        return S3_NoSuchUpload;
    const struct object_header *last = &ret_object->headers[ret_object->header_count - 1];
    if (!text_equal(last->name, TEXT(BUCKET_HEADER)) || !text_equal(last->value, request->bucket) ||
        !text_equal(ret_object->key, request->key))
        return S3_NoSuchUpload;
    ret_object->header_count--;
    return S3_OK;
}

enum s3_error multipart_check(const struct store *store, const struct s3_request *request) {
    struct object object;
    return read_begin(store, request, &object);
}

enum s3_error multipart_put(struct store *store, const struct s3_request *request, struct upload *upload) {
    char path[PATH_BYTES];
    path_of(request->upload_id, request->part, path);
    if (!disk_rename(&store->disk, upload_path(upload), path))
        return errno == ENOENT ? S3_NoSuchUpload : store_error_of_errno();
    upload_moved(upload);
    return S3_OK;
}

/* ---- the client's list ---- */

/* The content of the next <name>…</name>; *rest goes on behind it. */
static bool next_element(struct text *rest, const char *name, struct text *ret_content) {
    char open[24], close[24];
    size_t open_size = (size_t)snprintf(open, sizeof open, "<%s>", name), close_size = open_size + 1;
    (void)snprintf(close, sizeof close, "</%s>", name);
    const char *begin = memmem(rest->data, rest->size, open, open_size);
    if (begin == NULL)
        return false;
    begin += open_size;
    size_t left = rest->size - (size_t)(begin - rest->data);
    const char *end = memmem(begin, left, close, close_size);
    if (end == NULL)
        return false;
    *ret_content = (struct text){begin, (size_t)(end - begin)};
    *rest = (struct text){end + close_size, left - ret_content->size - close_size};
    return true;
}

/* "…", &quot;…&quot; or bare. */
static struct text unquote(struct text tag) {
    static const struct text quotes[] = {{"\"", 1}, {"&quot;", 6}, {"&#34;", 5}};
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        struct text quote = quotes[i];
        if (tag.size >= 2 * quote.size && text_starts_with(tag, quote) &&
            text_equal((struct text){tag.data + tag.size - quote.size, quote.size}, quote))
            return (struct text){tag.data + quote.size, tag.size - 2 * quote.size};
    }
    return tag;
}

bool multipart_next_part(struct text *xml, struct multipart_part *ret_part, bool *ret_malformed) {
    struct text part, number, etag, rest;
    uint64_t value;
    *ret_malformed = false;
    if (xml->size == 0 || !next_element(xml, "Part", &part))
        return false;
    *ret_malformed = true;
    rest = part;
    if (!next_element(&rest, "PartNumber", &number) || !text_to_u64(number, &value) || value < 1 || value > S3_PARTS_MAX)
        return false;
    rest = part;
    if (!next_element(&rest, "ETag", &etag) || !text_copy(unquote(etag), ret_part->etag, sizeof ret_part->etag))
        return false;
    *ret_malformed = false;
    ret_part->number = (unsigned)value;
    return true;
}

/* ---- completion ---- */

struct sum {
    uint64_t bytes;
    unsigned parts;
    char etag[OBJECT_ETAG_BYTES];
};

/* Go through the list; `upload` NULL: only check and add up, else append each part to it. */
static enum s3_error walk(const struct store *store, const struct s3_request *request, struct text xml, struct upload *upload,
                          enum s3_error (*visit)(int fd, const struct object *part, struct upload *upload), struct sum *ret_sum,
                          struct digest *md5) {
    struct multipart_part part = {0};
    struct object object;
    char path[PATH_BYTES];
    uint8_t hash[MD5_BYTES];
    bool malformed;
    unsigned last = 0;
    *ret_sum = (struct sum){0};
    while (multipart_next_part(&xml, &part, &malformed)) {
        if (part.number <= last)
            return S3_InvalidPartOrder;
        last = part.number;
        path_of(request->upload_id, part.number, path);
        int fd = object_open(&store->disk, path, &object);
        if (fd < 0)
            return errno == ENOENT ? S3_InvalidPart : S3_InternalError;
        enum s3_error error = S3_InvalidPart;
        if (strcmp(part.etag, object.etag) == 0 && hex_decode(text_from(object.etag), hash, sizeof hash))
            error = visit(fd, &object, upload);
        (void)close(fd);
        if (error != S3_OK)
            return error;
        ret_sum->bytes += object.size_bytes;
        ret_sum->parts++;
        digest_update(md5, hash, sizeof hash);
        if (ret_sum->bytes > store->object_bytes_max)
            return S3_EntityTooLarge;
    }
    if (malformed || ret_sum->parts == 0)
        return S3_MalformedXML;
    digest_finish(md5, hash);
    hex_encode(hash, sizeof hash, ret_sum->etag);
    (void)snprintf(ret_sum->etag + 2 * sizeof hash, sizeof ret_sum->etag - 2 * sizeof hash, "-%u", ret_sum->parts);
    return S3_OK;
}

static enum s3_error look(int fd, const struct object *part, struct upload *upload) {
    (void)fd;
    (void)part;
    (void)upload;
    return S3_OK;
}

static enum s3_error append(int fd, const struct object *part, struct upload *upload) {
    char *bytes = malloc(COPY_BYTES);
    uint64_t left = part->size_bytes;
    enum s3_error error = bytes != NULL ? S3_OK : S3_InternalError;
    while (error == S3_OK && left > 0) {
        ssize_t got = read(fd, bytes, left < COPY_BYTES ? left : COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            error = S3_InternalError;
            break;
        }
        error = upload_write(upload, bytes, (size_t)got);
        left -= (uint64_t)got;
    }
    free(bytes);
    return error;
}

static void remove_upload(struct store *store, const char *id) {
    char directory[NAME_MAX], path[2 * NAME_MAX + 2];
    (void)snprintf(directory, sizeof directory, "multipart/%s", id);
    int fd = disk_open_directory(&store->disk, directory);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    bool good = stream != NULL;
    if (stream == NULL && fd >= 0)
        (void)close(fd);
    for (const struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            good = disk_remove(&store->disk, path) && good;
    }
    if (stream != NULL)
        (void)closedir(stream);
    if (!good || !disk_remove_directory(&store->disk, directory)) {
        /* What is left goes when it is old (multipart_sweep). */
    }
}

static enum s3_error assemble(struct store *store, const struct s3_request *request, struct text xml, struct digest *md5,
                              struct object *object, struct upload **ret_upload) {
    struct sum sum;
    enum s3_error error = walk(store, request, xml, NULL, look, &sum, md5);
    if (error != S3_OK)
        return error;
    const struct upload_promise promise = {.size_bytes = sum.bytes};
    struct upload *upload = upload_new(store, &promise);
    if (upload == NULL)
        return S3_InternalError;
    memcpy(object->etag, sum.etag, sizeof object->etag);
    error = walk(store, request, xml, upload, append, &sum, md5);
    if (error == S3_OK)
        error = upload_seal(upload, object);
    if (error == S3_OK)
        *ret_upload = upload;
    else
        upload_free(upload);
    return error;
}

enum s3_error multipart_complete(struct store *store, const struct s3_request *request, struct text xml, bool only_if_absent,
                                 const struct store_origin *origin, struct object *ret_object, struct store_change *ret_change) {
    struct upload *upload = NULL;
    enum s3_error error = read_begin(store, request, ret_object);
    if (error != S3_OK)
        return error;
    struct digest *md5 = digest_new(DIGEST_MD5);
    if (md5 == NULL)
        return S3_InternalError;
    error = assemble(store, request, xml, md5, ret_object, &upload);
    digest_free(md5);
    if (error != S3_OK)
        return error;
    error = store_put(store, upload_path(upload), request->bucket, ret_object, only_if_absent, EVENT_MULTIPART, origin,
                      ret_change);
    if (error == S3_OK && !only_if_absent)
        upload_moved(upload);
    upload_free(upload);
    if (error == S3_OK)
        remove_upload(store, request->upload_id);
    return error;
}

enum s3_error multipart_abort(struct store *store, const struct s3_request *request) {
    enum s3_error error = multipart_check(store, request);
    if (error == S3_OK)
        remove_upload(store, request->upload_id);
    return error;
}

void multipart_sweep(struct store *store, int64_t time_us) {
    char path[2 * NAME_MAX];
    struct stat status;
    int fd = disk_open_directory(&store->disk, "multipart");
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        (void)snprintf(path, sizeof path, "multipart/%s", entry->d_name);
        if (strlen(entry->d_name) == S3_UPLOAD_ID_BYTES - 1 && fstatat(store->disk.root_fd, path, &status, 0) == 0 &&
            status.st_mtime < time_us / 1000000)
            remove_upload(store, entry->d_name);
    }
    (void)closedir(stream);
}
