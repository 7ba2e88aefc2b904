/* pixbus-decoder: decodes one image after the other for pixbus-imgproc, until its socket is closed. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/imgproc/decode.h"
#include "actors/imgproc/decoder_wire.h"

/* False at the end, or if the parent is gone. */
static bool receive_all(void *bytes, size_t size) {
    for (char *at = bytes; size > 0;) {
        ssize_t got = recv(DECODER_SOCKET_FD, at, size, MSG_WAITALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool send_all(const void *bytes, size_t size) {
    for (const char *at = bytes; size > 0;) {
        ssize_t sent = send(DECODER_SOCKET_FD, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool serve_one(void) {
    struct decoder_job job;
    struct decode_result result;
    struct decoder_answer answer = {.magic = DECODER_MAGIC};
    if (!receive_all(&job, sizeof job) || job.magic != DECODER_MAGIC)
        return false;
    void *image = MAP_FAILED;
    if (job.image_bytes > 0) {
        image = mmap(NULL, job.image_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, DECODER_IMAGE_FD, 0);
        if (image == MAP_FAILED)
            return false;
    }
    decode_thumbnail((struct text){image != MAP_FAILED ? image : "", job.image_bytes},
                     &(struct decode_limits){.pixels_max = job.pixels_max, .timeout_us = job.timeout_us}, &result);
    if (image != MAP_FAILED)
        (void)munmap(image, job.image_bytes);
    answer.decoded = result.decoded;
    answer.width = result.width;
    answer.height = result.height;
    answer.jpeg_bytes = (uint32_t)result.jpeg_bytes;
    memcpy(answer.reason, result.reason, sizeof answer.reason);
    bool sent = send_all(&answer, sizeof answer) && send_all(result.jpeg, result.jpeg_bytes);
    decode_result_free(&result);
    return sent;
}

int main(int argc, char **argv) {
    char peek;
    if (argc != 1 || (recv(DECODER_SOCKET_FD, &peek, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN)) {
        (void)fprintf(stderr, "pixbus-decoder is started by pixbus-imgproc and takes no arguments\n");
        return 2;
    }
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a crash over a stranger's image writes no file */
    if (!decode_start(argv[0]))
        return 1;
    const uint32_t hello = DECODER_MAGIC;
    for (bool serving = send_all(&hello, sizeof hello); serving;)
        serving = serve_one();
    return 0;
}
