#include <stdlib.h>

#include "actors/imgproc/imgproc.h"
#include "base/clock.h"
#include "base/log.h"

#define IMAGE_MEMORY_BYTES (192 * 1024 * 1024)
#define S3_AT_A_TIME 16 /* as many as events in hand */
#define S3_WAITING 64
#define REST_AFTER_US (5 * US_PER_S)

static void rest(struct loop_timer *timer) {
    struct imgproc *imgproc = timer->context;
    int64_t now_us = clock_monotonic_us();
    decoders_rest(imgproc->decoders, now_us - REST_AFTER_US);
    loop_timer_set(imgproc->loop, &imgproc->rest, now_us + REST_AFTER_US);
}

bool imgproc_open(struct actor *actor, void **ret_application) {
    const struct settings *settings = actor_settings(actor);
    struct imgproc *imgproc;
    if (settings->access_key_id == NULL || settings->secret_access_key == NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed", NULL);
        return false;
    }
    imgproc = calloc(1, sizeof *imgproc);
    if (imgproc == NULL)
        return false;
    imgproc->actor = actor;
    imgproc->loop = actor_loop(actor);
    imgproc->media_bucket = text_from(settings->media_bucket);
    imgproc->thumbnails_bucket = text_from(settings->thumbnails_bucket);
    imgproc->image_bytes_max = (size_t)settings->image_bytes_max;
    imgproc->memory.limit_bytes = IMAGE_MEMORY_BYTES;
    imgproc->rest = (struct loop_timer){.fire = rest, .context = imgproc};
    imgproc->s3 = s3_client_open(&(struct s3_client_options){.loop = imgproc->loop,
                                                             .endpoint = settings->s3_endpoint,
                                                             .credentials = {.region = settings->aws_region,
                                                                             .access_key_id = settings->access_key_id,
                                                                             .secret_access_key = settings->secret_access_key,
                                                                             .session_token = settings->session_token},
                                                             .in_flight_max = S3_AT_A_TIME,
                                                             .queue_max = S3_WAITING});
    imgproc->decoders = decoders_new(NULL, (size_t)settings->image_threads,
                                     &(struct decode_limits){.pixels_max = (uint64_t)settings->image_pixels_max,
                                                             .timeout_us = settings->image_timeout_ms * US_PER_MS});
    if (imgproc->s3 != NULL && imgproc->decoders != NULL) /* the threads last: libcurl wants to be there before them */
        imgproc->pool = pool_new(imgproc->loop, (size_t)settings->image_threads, S3_AT_A_TIME, NULL);
    if (imgproc->pool == NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", "no S3 client, decoders or threads: look at the S3 settings", NULL);
        imgproc_close(imgproc);
        return false;
    }
    loop_timer_set(imgproc->loop, &imgproc->rest, clock_monotonic_us() + REST_AFTER_US);
    *ret_application = imgproc;
    return true;
}

void imgproc_close(void *application) {
    struct imgproc *imgproc = application;
    loop_timer_clear(&imgproc->rest);
    pool_free(imgproc->pool); /* waits for what is being decoded */
    s3_client_close(imgproc->s3);
    event_drop_all(imgproc);
    decoders_free(imgproc->decoders);
    free(imgproc);
}
