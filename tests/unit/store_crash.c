/*
 * The store's directory, stopped before every single change of it: what was acknowledged is there afterwards, with its
 * event, and nothing half-made is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/store/multipart.h"
#include "actors/store/upload.h"

#define STEPS_MAX 2000

enum script { SCRIPT_PUT, SCRIPT_PUT_IF_ABSENT, SCRIPT_DELETE, SCRIPT_MULTIPART };

static const struct text media = {"media", 5}, thumbnails = {"thumbnails", 10};
static const struct text old_bytes = {"the old one", 11}, new_bytes = {"the new one, which is longer", 28};

struct fault {
    unsigned left; /* changes that still work */
    bool die;      /* at the next one, as by kill -9; otherwise it fails */
    bool met;
};

static bool step(void *context, const char *call) {
    struct fault *fault = context;
    (void)call;
    if (fault->left > 0) {
        fault->left--;
        return true;
    }
    fault->met = true;
    if (fault->die)
        _exit(42);
    return false;
}

static void open_store(struct store *store, const char *directory, struct fault *fault) {
    const struct store_options options = {directory, media, thumbnails, {"us-east-1", 9}, 1 << 20};
    memset(store, 0, sizeof *store);
    assert_true(store_open(store, &options));
    store->disk.step = fault != NULL ? step : NULL;
    store->disk.context = fault;
}

static const struct store_origin origin = {{"127.0.0.1", 9}, {"1", 1}};

static enum s3_error put(struct store *store, struct text bytes, bool only_if_absent) {
    const struct upload_promise promise = {.size_bytes = bytes.size};
    struct object object = {.key = TEXT("a key/ü")};
    struct store_change change = {0};
    struct upload *upload = upload_new(store, &promise);
    assert_non_null(upload);
    enum s3_error error = upload_write(upload, bytes.data, bytes.size);
    if (error == S3_OK)
        error = upload_seal(upload, &object);
    if (error == S3_OK)
        error = store_put(store, upload_path(upload), media, &object, only_if_absent, EVENT_PUT, &origin, &change);
    if (error == S3_OK) {
        assert_true(change.has_event);
        if (!only_if_absent)
            upload_moved(upload);
    }
    upload_free(upload);
    return error;
}

static enum s3_error put_multipart(struct store *store, struct text bytes) {
    struct object object = {.key = TEXT("a key/ü")}, part = {.key = TEXT("part")}, whole;
    struct store_change change;
    struct s3_request request = {.bucket = media, .key = object.key, .part = 1};
    const struct upload_promise promise = {.size_bytes = bytes.size};
    char xml[200];
    enum s3_error error = multipart_create(store, media, &object, request.upload_id);
    if (error != S3_OK)
        return error;
    struct upload *upload = upload_new(store, &promise);
    assert_non_null(upload);
    error = upload_write(upload, bytes.data, bytes.size);
    if (error == S3_OK)
        error = upload_seal(upload, &part);
    if (error == S3_OK)
        error = multipart_put(store, &request, upload);
    upload_free(upload);
    if (error != S3_OK)
        return error;
    (void)snprintf(xml, sizeof xml, "<A><Part><ETag>&quot;%s&quot;</ETag><PartNumber>1</PartNumber></Part></A>", part.etag);
    return multipart_complete(store, &request, text_from(xml), false, &origin, &whole, &change);
}

static enum s3_error play(struct store *store, enum script script) {
    struct store_change change;
    switch (script) {
    case SCRIPT_PUT: return put(store, new_bytes, false);
    case SCRIPT_PUT_IF_ABSENT: return put(store, new_bytes, true);
    case SCRIPT_DELETE: return store_delete(store, media, TEXT("a key/ü"), &origin, &change);
    case SCRIPT_MULTIPART: return put_multipart(store, new_bytes);
    }
    return S3_InternalError;
}

/* What is under the key: 'n'ew, 'o'ld or '-' nothing. Anything else fails. */
static char look(struct store *store) {
    struct object object;
    enum s3_error error;
    char bytes[100];
    int fd = store_get(store, media, TEXT("a key/ü"), &object, &error);
    if (fd < 0) {
        assert_int_equal(error, S3_NoSuchKey);
        return '-';
    }
    ssize_t got = read(fd, bytes, object.size_bytes);
    assert_int_equal(got, object.size_bytes);
    (void)close(fd);
    if (text_equal((struct text){bytes, (size_t)got}, new_bytes))
        return 'n';
    assert_true(text_equal((struct text){bytes, (size_t)got}, old_bytes));
    return 'o';
}

static size_t count_events(struct store *store, const char *containing) {
    struct event_id ids[64];
    size_t count, found = 0;
    bool all;
    assert_true(journal_scan(&store->journal, ids, 64, &count, &all));
    assert_true(all);
    for (size_t i = 0; i < count; i++) {
        struct buffer notification = {0};
        assert_int_equal(journal_read(&store->journal, ids[i], &notification), JOURNAL_READ);
        found += memmem(notification.data, notification.size, containing, strlen(containing)) != NULL;
        buffer_free(&notification);
        assert_true(i == 0 || ids[i].sequencer > ids[i - 1].sequencer);
    }
    return found;
}

static size_t count_files(const struct store *store, const char *path) {
    size_t count = 0;
    int fd = disk_open_directory(&store->disk, path);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(stream);
    return count;
}

static void make_directory(char directory[64]) {
    /* In memory where there is any: what the store asks of the disk is tested, not the disk, and its thousands of fsyncs take a minute. */
    (void)snprintf(directory, 64, "%s/unit_store.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(directory));
}

static void remove_tree(const char *directory) {
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* In a child: the script, until the fault. The exit status is 0 if all of it was done and acknowledged, 42 if it died. */
static int play_in_child(const char *directory, enum script script, bool with_old, unsigned after, bool die) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct fault fault = {.left = after, .die = die};
        struct store store;
        open_store(&store, directory, NULL);
        if (with_old && put(&store, old_bytes, false) != S3_OK)
            _exit(2);
        store.disk.step = step;
        store.disk.context = &fault;
        enum s3_error error = play(&store, script);
        _exit(error == S3_OK ? (fault.met ? 3 : 0) : 1); /* 3: acknowledged though something failed */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_after(const char *directory, enum script script, bool with_old, int status) {
    struct store store;
    const char *what = script == SCRIPT_DELETE      ? "ObjectRemoved:Delete"
                       : script == SCRIPT_MULTIPART ? "ObjectCreated:CompleteMultipartUpload"
                                                    : "\"size\":28";
    open_store(&store, directory, NULL);
    char before = with_old ? 'o' : '-', after = script == SCRIPT_DELETE ? '-' : 'n';
    char now = look(&store);
    size_t events = count_events(&store, what);
    if (status == 0 || status == 3)
        assert_int_equal(now, after);
    assert_true(now == before || now == after);
    if (now == after && before != after) /* a change that can be seen has its event, acknowledged or not */
        assert_true(events >= 1);
    assert_true(events <= 1);
    if (with_old)
        assert_int_equal(count_events(&store, "\"size\":11"), 1);
    assert_int_equal(count_files(&store, "work"), 1); /* only that of the store that is open now */
    assert_int_equal(count_files(&store, store.workspace.directory), 0);
    store_close(&store);
}

static void every_step(enum script script, bool with_old, bool die) {
    unsigned after = 0;
    for (; after < STEPS_MAX; after++) {
        char directory[64];
        make_directory(directory);
        int status = play_in_child(directory, script, with_old, after, die);
        check_after(directory, script, with_old, status);
        remove_tree(directory);
        assert_int_not_equal(status, 2);
        if (status == 0)
            break;
        if (die)
            assert_int_equal(status, 42);
    }
    assert_true(after >= 5 || (script == SCRIPT_DELETE && !with_old));
}

static void test_put_dies(void **state) {
    (void)state;
    every_step(SCRIPT_PUT, false, true);
    every_step(SCRIPT_PUT, true, true);
    every_step(SCRIPT_PUT_IF_ABSENT, false, true);
}

static void test_delete_dies(void **state) {
    (void)state;
    every_step(SCRIPT_DELETE, true, true);
    every_step(SCRIPT_DELETE, false, true);
}

static void test_multipart_dies(void **state) {
    (void)state;
    every_step(SCRIPT_MULTIPART, true, true);
}

static void test_calls_fail(void **state) {
    (void)state;
    every_step(SCRIPT_PUT, true, false);
    every_step(SCRIPT_PUT_IF_ABSENT, false, false);
    every_step(SCRIPT_DELETE, true, false);
    every_step(SCRIPT_MULTIPART, false, false);
}

static void test_if_absent(void **state) {
    char directory[64];
    struct store store;
    (void)state;
    make_directory(directory);
    open_store(&store, directory, NULL);
    assert_int_equal(put(&store, old_bytes, true), S3_OK);
    assert_int_equal(put(&store, new_bytes, true), S3_PreconditionFailed);
    assert_int_equal(look(&store), 'o');
    assert_int_equal(count_events(&store, ""), 1);
    assert_int_equal(count_files(&store, store.workspace.directory), 0);
    store_close(&store);
    remove_tree(directory);
}

/* A torn event was never durable, so its object never changed: it goes. What fits no form at all is left alone. */
static void test_torn_event(void **state) {
    char directory[64], path[200];
    struct store store, other;
    (void)state;
    make_directory(directory);
    open_store(&store, directory, NULL);
    assert_true(journal_prepare(&store.journal, (struct event_id){7, 1}, TEXT("{\"whole\":1}")));
    assert_true(journal_prepare(&store.journal, (struct event_id){8, 2}, TEXT("{\"torn\":1}")));
    (void)snprintf(path, sizeof path, "%s/%s/e%016X-%016X", directory, store.workspace.directory, 8, 2);
    assert_int_equal(truncate(path, 5), 0);
    /* While the process lives nobody touches its directory. */
    open_store(&other, directory, NULL);
    assert_int_equal(count_files(&store, store.workspace.directory), 2);
    store_close(&other);
    store_close(&store);
    open_store(&store, directory, NULL);
    assert_int_equal(count_events(&store, "whole"), 1);
    assert_int_equal(count_events(&store, ""), 1);
    store_close(&store);
    remove_tree(directory);
}

static void test_sequencer_grows(void **state) {
    char directory[64];
    struct store store;
    uint64_t last = 0;
    (void)state;
    make_directory(directory);
    for (unsigned life = 0; life < 3; life++) {
        open_store(&store, directory, NULL);
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t next = journal_next(&store.journal);
            assert_true(next > last);
            last = next;
        }
        if (life == 0) { /* far ahead of the clock: the file remembers */
            last += UINT64_C(1) << 40;
            atomic_store(store.journal.sequencer, last);
        }
        store_close(&store);
    }
    remove_tree(directory);
}

static void test_damaged_object(void **state) {
    char directory[64], path[DISK_PATH_BYTES];
    struct object object;
    struct store store;
    enum s3_error error;
    (void)state;
    make_directory(directory);
    open_store(&store, directory, NULL);
    assert_int_equal(put(&store, old_bytes, false), S3_OK);
    assert_true(object_path(media, TEXT("a key/ü"), path, NULL));
    int fd = openat(store.disk.root_fd, path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "X", 1, (off_t)old_bytes.size + 10), 1); /* in the trailer */
    (void)close(fd);
    assert_int_equal(store_get(&store, media, TEXT("a key/ü"), &object, &error), -1);
    assert_int_equal(error, S3_InternalError);
    store_close(&store);
    remove_tree(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_dies),        cmocka_unit_test(test_delete_dies),    cmocka_unit_test(test_multipart_dies),
        cmocka_unit_test(test_calls_fail),      cmocka_unit_test(test_if_absent),      cmocka_unit_test(test_torn_event),
        cmocka_unit_test(test_sequencer_grows), cmocka_unit_test(test_damaged_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
