#include "actors/store/listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/store/percent.h"
#include "base/clock.h"

struct entry {
    struct text name; /* a key, or a prefix that many share; malloc'ed */
    bool is_prefix;
};

/* The first entries behind request->after, in ascending order. */
struct page {
    const struct s3_request *request;
    struct entry entries[S3_LIST_MAX + 1]; /* one more tells whether there is a next page */
    size_t count, capacity;
};

static int compare(struct text a, struct text b) {
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Where the name is in the page, or belongs. */
static size_t place_of(const struct page *page, struct text name) {
    size_t low = 0, high = page->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(page->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool insert(struct page *page, struct text name, bool is_prefix) {
    size_t place = place_of(page, name);
    if (place == page->capacity || (place < page->count && compare(page->entries[place].name, name) == 0))
        return true;
    char *copy = malloc(name.size);
    if (copy == NULL)
        return false;
    memcpy(copy, name.data, name.size);
    if (page->count == page->capacity)
        free((void *)(uintptr_t)page->entries[--page->count].name.data);
    memmove(&page->entries[place + 1], &page->entries[place], (page->count - place) * sizeof page->entries[0]);
    page->entries[place] = (struct entry){{copy, name.size}, is_prefix};
    page->count++;
    return true;
}

/* What stands for the key in the answer: itself, or all up to the first delimiter behind the prefix. */
static bool consider(struct page *page, struct text key) {
    const struct s3_request *request = page->request;
    if (!text_starts_with(key, request->prefix))
        return true;
    bool is_prefix = false;
    if (request->delimiter.size > 0) {
        const char *found = memmem(key.data + request->prefix.size, key.size - request->prefix.size, request->delimiter.data,
                                   request->delimiter.size);
        if (found != NULL) {
            key.size = (size_t)(found - key.data) + request->delimiter.size;
            is_prefix = true;
        }
    }
    if (request->after.size > 0 && compare(key, request->after) <= 0)
        return true;
    return insert(page, key, is_prefix);
}

/* Most names hold the key; that of a long key stands in the file only. */
static bool consider_name(struct page *page, const struct store *store, const char *directory, const char *name) {
    char key[LIMIT_OBJECT_KEY_BYTES], path[DISK_PATH_BYTES];
    size_t size;
    struct object object;
    if (name[0] == 'k') {
        struct text encoded = {name + 1, strlen(name + 1)};
        return !percent_decode(encoded, false, key, sizeof key, &size) || consider(page, (struct text){key, size});
    }
    if (name[0] != 'h' || (size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return true;
    int fd = object_open(&store->disk, path, &object);
    if (fd < 0)
        return true; /* gone meanwhile, or damaged: a GET of it says so */
    (void)close(fd);
    return consider(page, object.key);
}

static bool scan(struct page *page, const struct store *store) {
    char directory[DISK_PATH_BYTES];
    for (unsigned byte = 0; byte < 256; byte++) {
        (void)snprintf(directory, sizeof directory, "objects/%.*s/%02x", TEXT_ARGUMENTS(page->request->bucket), byte);
        int fd = disk_open_directory(&store->disk, directory);
        DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
        if (stream == NULL) {
            if (fd >= 0)
                (void)close(fd);
            return false;
        }
        bool good = true;
        for (const struct dirent *entry; good && (entry = readdir(stream)) != NULL;)
            good = consider_name(page, store, directory, entry->d_name);
        (void)closedir(stream);
        if (!good)
            return false;
    }
    return true;
}

static void write_name(const struct s3_request *request, struct text name, struct buffer *out) {
    if (request->encode_keys)
        percent_encode(PERCENT_PATH, name, out);
    else
        xml_write_text(name, out);
}

static void write_element(const char *element, const struct s3_request *request, struct text value, struct buffer *out) {
    buffer_printf(out, "<%s>", element);
    write_name(request, value, out);
    buffer_printf(out, "</%s>", element);
}

/* False: it was deleted while we looked. */
static bool write_object(const struct store *store, const struct s3_request *request, struct text key, struct buffer *out) {
    char time[RFC3339_BYTES];
    struct object object;
    enum s3_error error;
    int fd = store_get(store, request->bucket, key, &object, &error);
    if (fd < 0)
        return false;
    (void)close(fd);
    rfc3339_format(object.modified_us, time);
    buffer_append_text(out, TEXT("<Contents>"));
    write_element("Key", request, key, out);
    buffer_printf(out, "<LastModified>%.23sZ</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size>", time, object.etag,
                  (unsigned long long)object.size_bytes);
    buffer_append_text(out, TEXT("<StorageClass>STANDARD</StorageClass></Contents>"));
    return true;
}

static void write_page(const struct store *store, const struct page *page, struct buffer *out) {
    const struct s3_request *request = page->request;
    bool truncated = page->count > request->max_keys && request->max_keys > 0;
    size_t shown = page->count < request->max_keys ? page->count : request->max_keys, count = 0;
    buffer_printf(out,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>%.*s</Name>",
                  TEXT_ARGUMENTS(request->bucket));
    for (size_t i = 0; i < shown; i++)
        if (!page->entries[i].is_prefix)
            count += write_object(store, request, page->entries[i].name, out);
    for (size_t i = 0; i < shown; i++) {
        if (page->entries[i].is_prefix) {
            buffer_append_text(out, TEXT("<CommonPrefixes>"));
            write_element("Prefix", request, page->entries[i].name, out);
            buffer_append_text(out, TEXT("</CommonPrefixes>"));
            count++;
        }
    }
    write_element("Prefix", request, request->prefix, out);
    if (request->delimiter.size > 0)
        write_element("Delimiter", request, request->delimiter, out);
    if (request->encode_keys)
        buffer_append_text(out, TEXT("<EncodingType>url</EncodingType>"));
    buffer_printf(out, "<KeyCount>%zu</KeyCount><MaxKeys>%u</MaxKeys><IsTruncated>%s</IsTruncated>", count, request->max_keys,
                  truncated ? "true" : "false");
    if (truncated) {
        buffer_append_text(out, TEXT("<NextContinuationToken>"));
        xml_write_text(page->entries[shown - 1].name, out);
        buffer_append_text(out, TEXT("</NextContinuationToken>"));
    }
    buffer_append_text(out, TEXT("</ListBucketResult>\n"));
}

enum s3_error listing_write(const struct store *store, const struct s3_request *request, struct buffer *out) {
    struct page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return S3_InternalError;
    page->request = request;
    page->capacity = request->max_keys + 1;
    bool good = scan(page, store);
    if (good)
        write_page(store, page, out);
    for (size_t i = 0; i < page->count; i++)
        free((void *)(uintptr_t)page->entries[i].name.data);
    free(page);
    return good && buffer_ok(out) ? S3_OK : S3_InternalError;
}

void listing_write_buckets(const struct store *store, struct buffer *out) {
    buffer_append_text(out, TEXT("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                 "<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                                 "<Owner><ID>pixbus</ID><DisplayName>pixbus</DisplayName></Owner><Buckets>"));
    for (size_t i = 0; i < STORE_BUCKETS; i++)
        if (i == 0 || !text_equal(store->buckets[i], store->buckets[0]))
            buffer_printf(out, "<Bucket><Name>%.*s</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>",
                          TEXT_ARGUMENTS(store->buckets[i]));
    buffer_append_text(out, TEXT("</Buckets></ListAllMyBucketsResult>\n"));
}
