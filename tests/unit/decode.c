/* Thumbnails of images that the test makes itself: every orientation, colour space and trick that came to mind. */
#include "actors/imgproc/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <vips/vips.h>

#include <cmocka.h>

#include "base/clock.h"

static const struct decode_limits limits = {.pixels_max = 100000000, .timeout_us = 20 * US_PER_S};

struct bytes {
    void *data;
    size_t size;
};

static struct text as_text(const struct bytes *bytes) {
    return (struct text){bytes->data, bytes->size};
}

/* Left half red, right half blue, upper quarter green: upright or not can be told. */
static VipsImage *make_picture(int width, int height) {
    VipsImage *picture = NULL, *made = NULL;
    assert_int_equal(vips_black(&picture, width, height, "bands", 3, NULL), 0);
    assert_int_equal(vips_copy(picture, &made, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), 0);
    g_object_unref(picture);
    picture = vips_image_copy_memory(made);
    g_object_unref(made);
    double red[] = {255, 0, 0}, green[] = {0, 255, 0}, blue[] = {0, 0, 255};
    assert_int_equal(vips_draw_rect(picture, red, 3, 0, 0, width / 2, height, "fill", TRUE, NULL), 0);
    assert_int_equal(vips_draw_rect(picture, blue, 3, width / 2, 0, width - width / 2, height, "fill", TRUE, NULL), 0);
    assert_int_equal(vips_draw_rect(picture, green, 3, 0, 0, width, height / 4, "fill", TRUE, NULL), 0);
    return picture;
}

static VipsImage *make_noise(int width, int height) {
    VipsImage *noise = NULL, *made = NULL;
    assert_int_equal(vips_gaussnoise(&noise, width, height, "mean", 128.0, "sigma", 60.0, "seed", 7, NULL), 0);
    assert_int_equal(vips_cast_uchar(noise, &made, NULL), 0);
    g_object_unref(noise);
    return made;
}

static struct bytes save(VipsImage *image, const char *suffix) {
    struct bytes bytes = {0};
    assert_int_equal(vips_image_write_to_buffer(image, suffix, &bytes.data, &bytes.size, NULL), 0);
    return bytes;
}

static struct decode_result decode(struct text image) {
    struct decode_result result;
    decode_thumbnail(image, &limits, &result);
    assert_true(result.decoded ? result.jpeg != NULL && result.reason[0] == '\0'
                               : result.jpeg == NULL && result.reason[0] != '\0');
    return result;
}

static VipsImage *thumbnail_of(const struct decode_result *result) {
    VipsImage *thumbnail = NULL;
    assert_true(result->decoded);
    assert_int_equal(vips_jpegload_buffer(result->jpeg, result->jpeg_bytes, &thumbnail, NULL), 0);
    assert_int_equal(vips_image_get_bands(thumbnail), 3);
    assert_int_equal(vips_image_get_interpretation(thumbnail), VIPS_INTERPRETATION_sRGB);
    return thumbnail;
}

static void assert_size(VipsImage *image, int width, int height) {
    assert_int_equal(vips_image_get_width(image), width);
    assert_int_equal(vips_image_get_height(image), height);
}

static void assert_pixel(VipsImage *image, int x, int y, int red, int green, int blue) {
    double *pixel = NULL;
    int bands;
    const int expected[] = {red, green, blue};
    assert_int_equal(vips_getpoint(image, &pixel, &bands, x, y, NULL), 0);
    assert_int_equal(bands, 3);
    for (int i = 0; i < 3; i++)
        assert_in_range((int)pixel[i] + 20, expected[i], expected[i] + 40);
    g_free(pixel);
}

/* Decode, check the thumbnail's size and the original's, and return the thumbnail. */
static VipsImage *expect(const struct bytes *bytes, uint32_t width, uint32_t height, int thumbnail_width, int thumbnail_height) {
    struct decode_result result = decode(as_text(bytes));
    if (!result.decoded)
        print_message("%s\n", result.reason);
    VipsImage *thumbnail = thumbnail_of(&result);
    VipsImage *kept = vips_image_copy_memory(thumbnail);
    assert_int_equal(result.width, width);
    assert_int_equal(result.height, height);
    assert_size(thumbnail, thumbnail_width, thumbnail_height);
    g_object_unref(thumbnail);
    decode_result_free(&result);
    return kept;
}

static void expect_refusal(struct text image, const char *words) {
    struct decode_result result = decode(image);
    assert_false(result.decoded);
    if (strstr(result.reason, words) == NULL)
        print_message("%s\n", result.reason);
    assert_non_null(strstr(result.reason, words));
}

static void test_formats(void **state) {
    (void)state;
    static const char *const suffixes[] = {".jpg", ".png", ".webp[lossless]", ".gif", ".jpg[interlace]", ".png[interlace]"};
    VipsImage *picture = make_picture(1200, 900);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct bytes bytes = save(picture, suffixes[i]);
        VipsImage *thumbnail = expect(&bytes, 1200, 900, 300, 225);
        assert_pixel(thumbnail, 20, 20, 0, 255, 0);
        assert_pixel(thumbnail, 20, 200, 255, 0, 0);
        assert_pixel(thumbnail, 280, 200, 0, 0, 255);
        g_object_unref(thumbnail);
        g_free(bytes.data);
    }
    g_object_unref(picture);
}

/* The picture is stored so that the orientation's correction brings it upright again. */
static VipsImage *stored_for(VipsImage *upright, int orientation) {
    static const struct {
        VipsAngle before;
        bool mirrored;
    } undo[9] = {{0, false},
                 {VIPS_ANGLE_D0, false},
                 {VIPS_ANGLE_D0, true},
                 {VIPS_ANGLE_D180, false},
                 {VIPS_ANGLE_D180, true},
                 {VIPS_ANGLE_D270, true},
                 {VIPS_ANGLE_D270, false},
                 {VIPS_ANGLE_D90, true},
                 {VIPS_ANGLE_D90, false}};
    VipsImage *mirrored = NULL, *turned = NULL;
    if (undo[orientation].mirrored)
        assert_int_equal(vips_flip(upright, &mirrored, VIPS_DIRECTION_HORIZONTAL, NULL), 0);
    else
        assert_int_equal(vips_copy(upright, &mirrored, NULL), 0);
    assert_int_equal(vips_rot(mirrored, &turned, undo[orientation].before, NULL), 0);
    g_object_unref(mirrored);
    VipsImage *stored = vips_image_copy_memory(turned);
    g_object_unref(turned);
    vips_image_set_int(stored, VIPS_META_ORIENTATION, orientation);
    vips_image_set_string(stored, "exif-ifd3-GPSLatitude", "52/1 30/1 0/1");
    return stored;
}

static void test_orientations(void **state) {
    (void)state;
    VipsImage *picture = make_picture(1600, 800);
    for (int orientation = 1; orientation <= 8; orientation++) {
        VipsImage *stored = stored_for(picture, orientation);
        struct bytes bytes = save(stored, ".jpg");
        VipsImage *thumbnail = expect(&bytes, 1600, 800, 300, 150);
        assert_pixel(thumbnail, 20, 15, 0, 255, 0);
        assert_pixel(thumbnail, 20, 130, 255, 0, 0);
        assert_pixel(thumbnail, 280, 130, 0, 0, 255);
        g_object_unref(thumbnail);
        g_free(bytes.data);
        g_object_unref(stored);
    }
    g_object_unref(picture);
}

static void test_metadata_is_gone(void **state) {
    (void)state;
    VipsImage *picture = make_picture(800, 600), *stored = stored_for(picture, 6);
    struct bytes bytes = save(stored, ".jpg");
    assert_non_null(memmem(bytes.data, bytes.size, "Exif", 4));
    struct decode_result result = decode(as_text(&bytes));
    assert_null(memmem(result.jpeg, result.jpeg_bytes, "Exif", 4));
    assert_null(memmem(result.jpeg, result.jpeg_bytes, "ICC_PROFILE", 11));
    decode_result_free(&result);
    g_free(bytes.data);
    g_object_unref(stored);
    g_object_unref(picture);
}

static void test_small_images_are_not_enlarged(void **state) {
    (void)state;
    VipsImage *picture = make_picture(40, 30);
    struct bytes bytes = save(picture, ".png");
    g_object_unref(expect(&bytes, 40, 30, 40, 30));
    g_free(bytes.data);
    g_object_unref(picture);
    picture = make_picture(1, 1);
    bytes = save(picture, ".jpg");
    g_object_unref(expect(&bytes, 1, 1, 1, 1));
    g_free(bytes.data);
    g_object_unref(picture);
}

static void test_extreme_shapes(void **state) {
    (void)state;
    static const char *const suffixes[] = {".jpg", ".png"};
    static const int sizes[][4] = {{10000, 1, 300, 1}, {1, 10000, 1, 240}, {60000, 2, 300, 1}, {16, 65000, 1, 240}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < 2; k++) {
            VipsImage *picture = make_picture(sizes[i][0], sizes[i][1]);
            struct bytes bytes = save(picture, suffixes[k]);
            g_object_unref(expect(&bytes, (uint32_t)sizes[i][0], (uint32_t)sizes[i][1], sizes[i][2], sizes[i][3]));
            g_free(bytes.data);
            g_object_unref(picture);
        }
}

/* Half of it transparent black: that half becomes white. */
static void test_alpha_on_white(void **state) {
    (void)state;
    static const char *const suffixes[] = {".png", ".webp[lossless]", ".gif", ".png[bitdepth=16]"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        VipsImage *black = NULL, *made = NULL;
        assert_int_equal(vips_black(&black, 600, 400, "bands", 4, NULL), 0);
        assert_int_equal(vips_copy(black, &made, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), 0);
        g_object_unref(black);
        VipsImage *picture = vips_image_copy_memory(made);
        g_object_unref(made);
        double red[] = {255, 0, 0, 255};
        assert_int_equal(vips_draw_rect(picture, red, 4, 0, 0, 300, 400, "fill", TRUE, NULL), 0);
        if (i == 3) { /* 16 bits */
            made = NULL;
            assert_int_equal(vips_colourspace(picture, &made, VIPS_INTERPRETATION_RGB16, NULL), 0);
            g_object_unref(picture);
            picture = made;
        }
        struct bytes bytes = save(picture, i == 3 ? ".png" : suffixes[i]);
        VipsImage *thumbnail = expect(&bytes, 600, 400, 300, 200);
        assert_pixel(thumbnail, 50, 100, 255, 0, 0);
        assert_pixel(thumbnail, 250, 100, 255, 255, 255);
        g_object_unref(thumbnail);
        g_free(bytes.data);
        g_object_unref(picture);
    }
}

/* The picture in another colour space, saved with a suffix: the thumbnail has the picture's colours again. */
static void check_colours(VipsInterpretation space, const char *suffix) {
    VipsImage *picture = make_picture(600, 400), *converted = NULL;
    assert_int_equal(vips_colourspace(picture, &converted, space, NULL), 0);
    struct bytes bytes = save(converted, suffix);
    VipsImage *thumbnail = expect(&bytes, 600, 400, 300, 200);
    assert_pixel(thumbnail, 250, 100, 0, 0, 255);
    g_object_unref(thumbnail);
    g_free(bytes.data);
    g_object_unref(converted);
    g_object_unref(picture);
}

static void test_colour_spaces(void **state) {
    (void)state;
    check_colours(VIPS_INTERPRETATION_RGB16, ".png");
    VipsImage *picture = make_picture(600, 400), *converted = NULL;
    /* CMYK cannot hold pure blue: it is enough that it is a blue, and three bands. */
    assert_int_equal(vips_icc_export(picture, &converted, "output_profile", "cmyk", NULL), 0);
    for (int with_profile = 0; with_profile < 2; with_profile++) {
        struct bytes bytes = save(converted, with_profile ? ".jpg" : ".jpg[strip]");
        VipsImage *thumbnail = expect(&bytes, 600, 400, 300, 200);
        double *pixel = NULL;
        int bands;
        assert_int_equal(vips_getpoint(thumbnail, &pixel, &bands, 250, 100, NULL), 0);
        assert_true(pixel[2] > pixel[0] + 40 && pixel[2] > pixel[1] + 40);
        g_free(pixel);
        g_object_unref(thumbnail);
        g_free(bytes.data);
    }
    g_object_unref(converted);
    converted = NULL;
    assert_int_equal(vips_colourspace(picture, &converted, VIPS_INTERPRETATION_B_W, NULL), 0);
    struct bytes grey = save(converted, ".jpg");
    g_object_unref(expect(&grey, 600, 400, 300, 200));
    g_free(grey.data);
    g_object_unref(converted);
    converted = NULL;
    assert_int_equal(vips_colourspace(picture, &converted, VIPS_INTERPRETATION_GREY16, NULL), 0);
    grey = save(converted, ".png");
    g_object_unref(expect(&grey, 600, 400, 300, 200));
    g_free(grey.data);
    g_object_unref(converted);
    g_object_unref(picture);
}

/* Red in Display P3 is beyond sRGB; taken for sRGB it would come out as another colour. Swapped primaries show it well. */
static void test_embedded_profile_is_honoured(void **state) {
    (void)state;
    VipsImage *picture = make_picture(600, 400), *with_profile = NULL;
    assert_int_equal(vips_icc_transform(picture, &with_profile, "p3", NULL), 0);
    double *stored = NULL;
    int bands;
    assert_int_equal(vips_getpoint(with_profile, &stored, &bands, 450, 300, NULL), 0);
    assert_true(stored[2] < 252); /* it is another number than sRGB's blue */
    g_free(stored);
    struct bytes bytes = save(with_profile, ".png");
    VipsImage *thumbnail = expect(&bytes, 600, 400, 300, 200);
    assert_pixel(thumbnail, 250, 150, 0, 0, 255);
    assert_pixel(thumbnail, 50, 150, 255, 0, 0);
    g_object_unref(thumbnail);
    g_free(bytes.data);
    g_object_unref(with_profile);
    g_object_unref(picture);
}

static void test_animations_give_their_first_frame(void **state) {
    (void)state;
    static const char *const suffixes[] = {".gif", ".webp[lossless]"};
    VipsImage *frames[2] = {make_picture(400, 320), make_noise(400, 320)}, *tall = NULL, *colour = NULL, *joined = NULL;
    assert_int_equal(vips_colourspace(frames[1], &colour, VIPS_INTERPRETATION_sRGB, NULL), 0);
    VipsImage *both[2] = {frames[0], colour};
    assert_int_equal(vips_arrayjoin(both, &tall, 2, "across", 1, NULL), 0);
    joined = vips_image_copy_memory(tall);
    vips_image_set_int(joined, VIPS_META_PAGE_HEIGHT, 320);
    for (size_t i = 0; i < 2; i++) {
        struct bytes bytes = save(joined, suffixes[i]);
        VipsImage *thumbnail = expect(&bytes, 400, 320, 300, 240);
        assert_pixel(thumbnail, 20, 200, 255, 0, 0);
        assert_pixel(thumbnail, 280, 200, 0, 0, 255);
        g_object_unref(thumbnail);
        g_free(bytes.data);
    }
    g_object_unref(joined);
    g_object_unref(tall);
    g_object_unref(colour);
    g_object_unref(frames[0]);
    g_object_unref(frames[1]);
}

static void test_truncated_images(void **state) {
    (void)state;
    static const char *const suffixes[] = {".jpg", ".png", ".webp", ".jpg[interlace]"};
    static const size_t per_mille[] = {1, 100, 500, 990};
    VipsImage *noise = make_noise(1000, 800);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct bytes bytes = save(noise, suffixes[i]);
        for (size_t k = 0; k < sizeof per_mille / sizeof *per_mille; k++)
            expect_refusal((struct text){bytes.data, bytes.size * per_mille[k] / 1000}, "damaged or incomplete");
        for (size_t size = 12; size < 400; size += 7) { /* within the headers */
            struct decode_result result = decode((struct text){bytes.data, size});
            assert_false(result.decoded);
        }
        g_free(bytes.data);
    }
    g_object_unref(noise);
}

static void test_damaged_images(void **state) {
    (void)state;
    VipsImage *noise = make_noise(700, 500);
    struct bytes bytes = save(noise, ".png");
    memset((char *)bytes.data + bytes.size / 2, 0x55, 64);
    expect_refusal(as_text(&bytes), "damaged");
    g_free(bytes.data);
    g_object_unref(noise);
}

static void test_trailing_bytes_do_not_matter(void **state) {
    (void)state;
    VipsImage *picture = make_picture(640, 480);
    struct bytes bytes = save(picture, ".jpg");
    size_t size = bytes.size + 1000000;
    char *longer = calloc(1, size);
    assert_non_null(longer);
    memcpy(longer, bytes.data, bytes.size);
    struct decode_result result = decode((struct text){longer, size});
    assert_true(result.decoded);
    decode_result_free(&result);
    free(longer);
    g_free(bytes.data);
    g_object_unref(picture);
}

static void test_what_is_no_image(void **state) {
    (void)state;
    static const char *const others[] = {
        "x",
        "hello, this is text named cat.jpg",
        "<!doctype html><html></html>",
        "PK\3\4zip",
        "%PDF-1.7\n%",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\"/>",
        "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\"/>",
        "BM6",
        "8BPS",
        "P6 1 1 255\nabc",
        "\x76\x2f\x31\x01",
        "push graphic-context",
        "RIFF1234WAVE"};
    expect_refusal(TEXT(""), "empty");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_refusal(text_from(others[i]), "JPEG, PNG, WebP and GIF images are accepted");
    expect_refusal(TEXT("\xff\xd8\xff"), "damaged");
    expect_refusal(TEXT("\x89PNG\r\n\x1a\n"), "damaged");
    expect_refusal(TEXT("GIF89a"), "damaged");
    expect_refusal(TEXT("RIFF\4\0\0\0WEBP"), "damaged");
    VipsImage *picture = make_picture(64, 64);
    struct bytes bytes = save(picture, ".tif");
    expect_refusal(as_text(&bytes), "another kind");
    g_free(bytes.data);
    g_object_unref(picture);
}

/* The magic of one format and the rest of another never reaches the other's loader. */
static void test_polyglots(void **state) {
    (void)state;
    VipsImage *picture = make_picture(64, 64);
    struct bytes bytes = save(picture, ".png");
    memcpy(bytes.data, "\xff\xd8\xff\xe0", 4);
    expect_refusal(as_text(&bytes), "damaged");
    g_free(bytes.data);
    g_object_unref(picture);
}

/* A small file that claims to be huge is refused by its header, at once. */
static void test_bombs(void **state) {
    (void)state;
    VipsImage *picture = make_picture(64, 64);
    struct bytes png = save(picture, ".png"), jpeg = save(picture, ".jpg"), gif = save(picture, ".gif");
    memcpy((char *)png.data + 16, "\0\1\x86\xa0\0\1\x86\xa0", 8); /* IHDR: 100000 x 100000; its checksum is wrong now */
    struct decode_result result = decode(as_text(&png));
    assert_false(result.decoded);
    char *frame = memmem(jpeg.data, jpeg.size, "\xff\xc0", 2);
    assert_non_null(frame);
    memcpy(frame + 5, "\xfa\xfa\xfa\xfa", 4);
    expect_refusal(as_text(&jpeg), "64250 x 64250 pixels; at most 100 million are accepted");
    /* The canvas alone is not believed: its frame must be as large. */
    frame = memmem(gif.data, gif.size, "\x2c\0\0\0\0\x40", 6);
    assert_non_null(frame);
    memcpy((char *)gif.data + 6, "\xff\xff\xff\xff", 4);
    memcpy(frame + 5, "\xff\xff\xff\xff", 4);
    int64_t begun_us = clock_monotonic_us();
    expect_refusal(as_text(&gif), "65535 x 65535 pixels");
    assert_true(clock_monotonic_us() - begun_us < US_PER_S);
    g_free(png.data);
    g_free(jpeg.data);
    g_free(gif.data);
    g_object_unref(picture);
}

static void test_pixel_limit_is_exact(void **state) {
    (void)state;
    VipsImage *picture = make_picture(100, 50);
    struct bytes bytes = save(picture, ".png");
    struct decode_result result;
    decode_thumbnail(as_text(&bytes), &(struct decode_limits){.pixels_max = 5000, .timeout_us = US_PER_S}, &result);
    assert_true(result.decoded);
    decode_result_free(&result);
    decode_thumbnail(as_text(&bytes), &(struct decode_limits){.pixels_max = 4999, .timeout_us = US_PER_S}, &result);
    assert_false(result.decoded);
    g_free(bytes.data);
    g_object_unref(picture);
}

static void test_time_limit(void **state) {
    (void)state;
    VipsImage *noise = make_noise(4000, 3000);
    struct bytes bytes = save(noise, ".png[compression=1]");
    struct decode_result result;
    int64_t begun_us = clock_monotonic_us();
    decode_thumbnail(as_text(&bytes), &(struct decode_limits){.pixels_max = 100000000, .timeout_us = 10 * US_PER_MS}, &result);
    assert_false(result.decoded);
    assert_non_null(strstr(result.reason, "too long"));
    assert_true(clock_monotonic_us() - begun_us < 2 * US_PER_S);
    g_free(bytes.data);
    g_object_unref(noise);
}

static int setup(void **state) {
    (void)state;
    return !decode_start("unit_decode");
}

static int teardown(void **state) {
    (void)state;
    decode_end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_metadata_is_gone),
        cmocka_unit_test(test_small_images_are_not_enlarged),
        cmocka_unit_test(test_extreme_shapes),
        cmocka_unit_test(test_alpha_on_white),
        cmocka_unit_test(test_colour_spaces),
        cmocka_unit_test(test_embedded_profile_is_honoured),
        cmocka_unit_test(test_animations_give_their_first_frame),
        cmocka_unit_test(test_truncated_images),
        cmocka_unit_test(test_damaged_images),
        cmocka_unit_test(test_trailing_bytes_do_not_matter),
        cmocka_unit_test(test_what_is_no_image),
        cmocka_unit_test(test_polyglots),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_pixel_limit_is_exact),
        cmocka_unit_test(test_time_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
