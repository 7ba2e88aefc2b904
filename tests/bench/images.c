/*
 * bench_images: what the bench of thumbnails compares with, and what it feeds.
 *
 *   bench_images make DIRECTORY             six different photo-like JPEGs of 12 megapixels, some turned by EXIF
 *   bench_images loop THREADS COUNT FILE…   COUNT thumbnails of the files in turn by libvips and nothing else; prints the
 *                                           seconds that it took
 *
 * The loop is what one would write with libvips at hand: one call that decodes with shrink-on-load, turns, shrinks and
 * converts, one that encodes. It reads each file once, before the clock starts.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vips/vips.h>

#include "actors/imgproc/decode.h"

#define WIDTH 4000
#define HEIGHT 3000
#define QUALITY 85
#define IMAGES 6
#define FILES_MAX 64

[[gnu::noreturn]] static void die(const char *what) {
    (void)fprintf(stderr, "bench_images: %s %s\n", what, vips_error_buffer());
    exit(1);
}

static void check(int result, const char *what) {
    if (result != 0)
        die(what);
}

/* Scale and shift; the input goes. */
static VipsImage *scaled(VipsImage *image, double scale, double shift) {
    VipsImage *out;
    check(vips_linear1(image, &out, scale, shift, NULL), "linear");
    g_object_unref(image);
    return out;
}

static VipsImage *enlarged(VipsImage *image) {
    VipsImage *out;
    check(vips_resize(image, &out, 8, "kernel", VIPS_KERNEL_LINEAR, NULL), "enlarge");
    g_object_unref(image);
    return out;
}

/* Soft shapes, details, a gradient and the grain of a sensor. */
static VipsImage *make_plane(int seed) {
    VipsImage *shapes, *details, *grain, *positions, *gradient, *plane;
    check(vips_perlin(&shapes, WIDTH / 8, HEIGHT / 8, "cell_size", 90, "seed", seed, NULL), "shapes");
    check(vips_worley(&details, WIDTH / 8, HEIGHT / 8, "cell_size", 15, "seed", seed + 1, NULL), "details");
    check(vips_gaussnoise(&grain, WIDTH, HEIGHT, "mean", 0.0, "sigma", 9.0, "seed", seed + 2, NULL), "grain");
    check(vips_xyz(&positions, WIDTH, HEIGHT, NULL), "gradient");
    check(vips_extract_band(positions, &gradient, seed % 2, NULL), "gradient");
    g_object_unref(positions);
    VipsImage *parts[] = {scaled(enlarged(shapes), 60, 70), scaled(enlarged(details), 5.6, 0), grain,
                          scaled(gradient, 50.0 / WIDTH, 0)};
    check(vips_sum(parts, &plane, 4, NULL), "sum");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        g_object_unref(parts[i]);
    return plane;
}

static void make(const char *directory) {
    static const int orientations[IMAGES] = {1, 6, 1, 8, 3, 1};
    for (int i = 0; i < IMAGES; i++) {
        double scale[] = {1.0, 0.9, 0.6 + 0.1 * i}, shift[] = {8.0 * i, 10, 30};
        VipsImage *plane = make_plane(10 * i + i % 2), *gray, *colour, *bytes, *photo;
        char path[4096];
        check(vips_cast_uchar(plane, &gray, NULL), "cast"); /* computed once, and not for each band */
        VipsImage *memory = vips_image_copy_memory(gray);
        check(memory != NULL ? 0 : -1, "memory");
        check(vips_linear(memory, &colour, scale, shift, 3, NULL), "colour");
        check(vips_cast_uchar(colour, &bytes, NULL), "cast");
        check(vips_copy(bytes, &photo, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), "copy");
        vips_image_set_int(photo, VIPS_META_ORIENTATION, orientations[i]);
        (void)snprintf(path, sizeof path, "%s/photo%d.jpg", directory, i);
        check(vips_jpegsave(photo, path, "Q", QUALITY, NULL), "save");
        VipsImage *made[] = {plane, gray, memory, colour, bytes, photo};
        for (size_t k = 0; k < sizeof made / sizeof *made; k++)
            g_object_unref(made[k]);
    }
}

static struct {
    char *bytes;
    size_t size;
} files[FILES_MAX];

static size_t file_count;
static atomic_size_t next_image;
static size_t image_count;

static void *work(void *context) {
    (void)context;
    for (size_t i; (i = atomic_fetch_add(&next_image, 1)) < image_count;) {
        VipsImage *thumbnail = NULL;
        void *jpeg = NULL;
        size_t jpeg_size = 0;
        check(vips_thumbnail_buffer(files[i % file_count].bytes, files[i % file_count].size, &thumbnail, THUMBNAIL_WIDTH,
                                    "height", THUMBNAIL_HEIGHT, "size", VIPS_SIZE_DOWN, NULL),
              "thumbnail");
        check(vips_jpegsave_buffer(thumbnail, &jpeg, &jpeg_size, "Q", THUMBNAIL_QUALITY, "strip", TRUE, "optimize_coding", TRUE,
                                   NULL),
              "encode");
        g_free(jpeg);
        g_object_unref(thumbnail);
    }
    vips_thread_shutdown();
    return NULL;
}

static double now_s(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void read_file(const char *path) {
    gsize size;
    if (file_count == FILES_MAX || !g_file_get_contents(path, &files[file_count].bytes, &size, NULL))
        die(path);
    files[file_count++].size = size;
}

static void loop(size_t threads, size_t count) {
    pthread_t thread[64];
    if (threads < 1 || threads > 64)
        die("1 to 64 threads");
    image_count = count;
    double begun_s = now_s();
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, NULL) != 0)
            die("no thread");
    for (size_t i = 0; i < threads; i++)
        (void)pthread_join(thread[i], NULL);
    (void)printf("%.4f\n", now_s() - begun_s);
}

int main(int argc, char **argv) {
    if (VIPS_INIT(argv[0]) != 0)
        die("libvips does not start");
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        make(argv[2]);
    } else if (argc >= 5 && strcmp(argv[1], "loop") == 0) {
        vips_concurrency_set(1); /* each image by one thread, as pixbus-decoder does */
        vips_cache_set_max(0);
        for (int i = 4; i < argc; i++)
            read_file(argv[i]);
        loop(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    } else {
        (void)fprintf(stderr, "usage: bench_images make DIRECTORY | loop THREADS COUNT FILE…\n");
        return 2;
    }
    for (size_t i = 0; i < file_count; i++)
        g_free(files[i].bytes);
    vips_shutdown();
    return 0;
}
