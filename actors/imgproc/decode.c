#include "actors/imgproc/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <vips/vips.h>

#include "base/clock.h"

#define ACCEPTED "JPEG, PNG, WebP and GIF images are accepted."

enum format { FORMAT_NONE, FORMAT_JPEG, FORMAT_PNG, FORMAT_WEBP, FORMAT_GIF };

static const char *const format_names[] = {"", "JPEG", "PNG", "WebP", "GIF"};

/* One decoding: what to give up at, and why it was given up. */
struct decoding {
    int64_t deadline_us;
    bool too_slow;
};

static void ignore_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer context) {
    (void)domain, (void)level, (void)message, (void)context;
}

/* Only the four loaders that are called by name below may ever run, whatever an image claims to be. */
static void block_other_loaders(void) {
    static const char *const loaders[] = {"VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer", "VipsForeignLoadWebpBuffer",
                                          "VipsForeignLoadNsgifBuffer"};
    vips_block_untrusted_set(TRUE);
    vips_operation_block_set("VipsForeignLoad", TRUE);
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
        vips_operation_block_set(loaders[i], FALSE);
}

bool decode_start(const char *program) {
    if (VIPS_INIT(program) != 0) {
        (void)fprintf(stderr, "libvips does not start: %s\n", vips_error_buffer());
        return false;
    }
    /* Damaged images are everyday; their warnings would fill the log. */
    (void)g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG, ignore_log,
                            NULL);
    vips_concurrency_set(1); /* images are decoded side by side, not each by many threads */
    vips_cache_set_max(0);   /* no image comes twice */
    block_other_loaders();
    return true;
}

void decode_end(void) {
    vips_shutdown();
}

static bool starts_with(struct text image, const char *magic, size_t size) {
    return image.size >= size && memcmp(image.data, magic, size) == 0;
}

static enum format recognise(struct text image) {
    if (starts_with(image, "\xff\xd8\xff", 3))
        return FORMAT_JPEG;
    if (starts_with(image, "\x89PNG\r\n\x1a\n", 8))
        return FORMAT_PNG;
    if (starts_with(image, "GIF87a", 6) || starts_with(image, "GIF89a", 6))
        return FORMAT_GIF;
    if (starts_with(image, "RIFF", 4) && image.size >= 12 && memcmp(image.data + 8, "WEBP", 4) == 0)
        return FORMAT_WEBP;
    return FORMAT_NONE;
}

/* Read the header; pixels follow when they are asked for. `shrink` (1, 2, 4, 8) is what the loader can do by itself. */
static VipsImage *load(enum format format, struct text image, int shrink) {
    VipsImage *loaded = NULL;
    void *bytes = (void *)(uintptr_t)image.data; /* libvips only reads it */
    switch (format) {
    case FORMAT_JPEG:
        (void)vips_jpegload_buffer(bytes, image.size, &loaded, "shrink", shrink, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                   VIPS_FAIL_ON_ERROR, NULL);
        break;
    case FORMAT_PNG:
        (void)vips_pngload_buffer(bytes, image.size, &loaded, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                                  NULL);
        break;
    case FORMAT_WEBP:
        (void)vips_webpload_buffer(bytes, image.size, &loaded, "page", 0, "n", 1, "scale", 1.0 / shrink, "access",
                                   VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
        break;
    case FORMAT_GIF:
        (void)vips_gifload_buffer(bytes, image.size, &loaded, "page", 0, "n", 1, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                  VIPS_FAIL_ON_ERROR, NULL);
        break;
    case FORMAT_NONE: break;
    }
    return loaded;
}

/* How much the loader may shrink so that at least twice the wanted size is left for a good reduction. */
static int shrink_of(enum format format, uint32_t upright_width, uint32_t upright_height) {
    double horizontal = (double)upright_width / THUMBNAIL_WIDTH, vertical = (double)upright_height / THUMBNAIL_HEIGHT;
    double factor = horizontal > vertical ? horizontal : vertical;
    if (format != FORMAT_JPEG && format != FORMAT_WEBP)
        return 1;
    uint32_t smaller = upright_width < upright_height ? upright_width : upright_height;
    int shrink = factor >= 16 ? 8 : factor >= 8 ? 4 : factor >= 4 ? 2 : 1;
    return smaller < 16 ? 1 : shrink; /* no axis may get lost */
}

/* libvips calls this after each few lines: the place to look at the clock. */
static void on_progress(VipsImage *image, VipsProgress *progress, gpointer context) {
    struct decoding *decoding = context;
    (void)progress;
    if (clock_monotonic_us() < decoding->deadline_us)
        return;
    decoding->too_slow = true;
    vips_image_set_kill(image, TRUE);
}

/* Replace *image by what an operation made of it. */
static bool step(VipsImage **image, VipsImage *made, int result) {
    g_object_unref(*image);
    *image = result == 0 ? made : NULL;
    return result == 0;
}

/*
 * Turn, shrink, and bring into sRGB, on white. False: *image is NULL. An image without a profile is taken for what it says
 * it is; sending it through profiles all the same would shift its colours.
 */
static bool make_thumbnail(VipsImage **image) {
    bool profile = vips_image_get_typeof(*image, VIPS_META_ICC_NAME) != 0 || (*image)->Type == VIPS_INTERPRETATION_CMYK;
    VipsImage *made = NULL;
    int result = vips_thumbnail_image(*image, &made, THUMBNAIL_WIDTH, "height", THUMBNAIL_HEIGHT, "size", VIPS_SIZE_DOWN,
                                      profile ? "export_profile" : NULL, "srgb", NULL);
    if (!step(image, made, result))
        return false;
    if ((*image)->Type != VIPS_INTERPRETATION_sRGB) {
        made = NULL;
        result = vips_colourspace(*image, &made, VIPS_INTERPRETATION_sRGB, NULL);
        if (!step(image, made, result))
            return false;
    }
    if (vips_image_hasalpha(*image)) {
        VipsArrayDouble *white = vips_array_double_newv(3, 255.0, 255.0, 255.0);
        made = NULL;
        result = vips_flatten(*image, &made, "background", white, NULL);
        vips_area_unref(VIPS_AREA(white));
        if (!step(image, made, result))
            return false;
    }
    made = NULL;
    result = vips_cast_uchar(*image, &made, NULL);
    return step(image, made, result);
}

static bool save(VipsImage *image, struct decode_result *ret_result) {
    void *bytes = NULL;
    size_t size = 0;
    if (vips_jpegsave_buffer(image, &bytes, &size, "Q", THUMBNAIL_QUALITY, "strip", TRUE, "optimize_coding", TRUE, NULL) != 0)
        return false;
    ret_result->jpeg = size <= THUMBNAIL_BYTES_MAX ? malloc(size) : NULL;
    if (ret_result->jpeg != NULL) {
        memcpy(ret_result->jpeg, bytes, size);
        ret_result->jpeg_bytes = size;
    }
    g_free(bytes);
    return ret_result->jpeg != NULL;
}

[[gnu::format(printf, 2, 3)]] static void refuse(struct decode_result *result, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(result->reason, sizeof result->reason, format, arguments);
    va_end(arguments);
}

static void decode_pixels(enum format format, struct text bytes, int shrink, struct decoding *decoding,
                          struct decode_result *result) {
    VipsImage *image = load(format, bytes, shrink);
    if (image != NULL) {
        vips_image_set_progress(image, TRUE);
        (void)g_signal_connect(image, "eval", G_CALLBACK(on_progress), decoding);
        VipsImage *source = g_object_ref(image);
        result->decoded = make_thumbnail(&image) && save(image, result);
        (void)g_signal_handlers_disconnect_by_data(source, decoding);
        g_object_unref(source);
    }
    if (image != NULL)
        g_object_unref(image);
    if (decoding->too_slow)
        refuse(result, "Decoding the %s image took too long.", format_names[format]);
    else if (!result->decoded)
        refuse(result, "The %s file is damaged or incomplete.", format_names[format]);
}

void decode_thumbnail(struct text image, const struct decode_limits *limits, struct decode_result *ret_result) {
    struct decoding decoding = {.deadline_us = clock_monotonic_us() + limits->timeout_us};
    *ret_result = (struct decode_result){0};
    if (image.size == 0) {
        refuse(ret_result, "The file is empty. " ACCEPTED);
        return;
    }
    enum format format = recognise(image);
    if (format == FORMAT_NONE) {
        refuse(ret_result, "The file is of another kind. " ACCEPTED);
        return;
    }
    VipsImage *header = load(format, image, 1);
    if (header == NULL) {
        refuse(ret_result, "The %s file is damaged or incomplete.", format_names[format]);
        vips_error_clear();
        return;
    }
    bool turned = vips_image_get_orientation_swap(header);
    uint32_t width = (uint32_t)vips_image_get_width(header), height = (uint32_t)vips_image_get_height(header);
    uint64_t pixels = (uint64_t)width * height;
    g_object_unref(header);
    ret_result->width = turned ? height : width;
    ret_result->height = turned ? width : height;
    if (pixels > limits->pixels_max)
        refuse(ret_result, "The image has %u x %u pixels; at most %llu million are accepted.", width, height,
               (unsigned long long)(limits->pixels_max / 1000000));
    else
        decode_pixels(format, image, shrink_of(format, ret_result->width, ret_result->height), &decoding, ret_result);
    vips_error_clear();
}
