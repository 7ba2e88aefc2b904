#include "actors/imgproc/decoders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/imgproc/decoder_wire.h"
#include "base/clock.h"

#define DECODER_NAME "pixbus-decoder"
#define GRACE_US (500 * US_PER_MS) /* the decoder's own time limit comes first: it gives the better reason */
#define START_US (10 * US_PER_S)   /* what a decoder may take to load its libraries on a busy machine */

struct decoder {
    pid_t pid; /* 0: not running */
    int socket_fd, image_fd;
    bool busy, fresh; /* fresh: has not said that it is ready */
    int64_t idle_since_us;
};

struct decoders {
    char program[PATH_MAX];
    struct decode_limits limits;
    pthread_mutex_t mutex; /* guards busy, pid and idle_since_us of those that are not busy */
    size_t count;
    struct decoder decoder[];
};

/* The program beside ours. */
static bool beside_us(char out[PATH_MAX]) {
    ssize_t size = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (size <= 0)
        return false;
    out[size] = '\0';
    char *slash = strrchr(out, '/');
    if (slash == NULL || (size_t)(slash + 1 - out) + sizeof DECODER_NAME > PATH_MAX)
        return false;
    memcpy(slash + 1, DECODER_NAME, sizeof DECODER_NAME);
    return true;
}

struct decoders *decoders_new(const char *program, size_t count, const struct decode_limits *limits) {
    struct decoders *decoders = calloc(1, sizeof *decoders + count * sizeof(struct decoder));
    if (decoders == NULL)
        return NULL;
    decoders->limits = *limits;
    decoders->count = count;
    if (program != NULL ? !text_copy(text_from(program), decoders->program, sizeof decoders->program)
                        : !beside_us(decoders->program)) {
        free(decoders);
        return NULL;
    }
    (void)pthread_mutex_init(&decoders->mutex, NULL);
    return decoders;
}

static bool spawn(const struct decoders *decoders, int socket_fd, int image_fd, pid_t *ret_pid) {
    char *arguments[] = {(char[]){DECODER_NAME}, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    /* A dup2 onto itself would keep FD_CLOEXEC, so the two come from above 4. */
    int result = posix_spawn_file_actions_adddup2(&actions, socket_fd, DECODER_SOCKET_FD);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&actions, image_fd, DECODER_IMAGE_FD);
    if (result == 0)
        result = posix_spawn(ret_pid, decoders->program, &actions, &attributes, arguments, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return result == 0;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Move a descriptor to a number above those that the decoder knows. */
static int move_up(int fd) {
    int moved = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, DECODER_IMAGE_FD + 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    return moved;
}

static bool start(const struct decoders *decoders, struct decoder *decoder) {
    int pair[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    int theirs = move_up(pair[1]);
    int image_fd = move_up(memfd_create("pixbus-image", MFD_CLOEXEC));
    pid_t pid = 0;
    if (theirs < 0 || image_fd < 0 || !spawn(decoders, theirs, image_fd, &pid)) {
        close_fd(&pair[0]);
        close_fd(&theirs);
        close_fd(&image_fd);
        return false;
    }
    close_fd(&theirs);
    *decoder = (struct decoder){.pid = pid, .socket_fd = pair[0], .image_fd = image_fd, .busy = true, .fresh = true};
    return true;
}

/* A closed socket ends an idle decoder by itself; one that hangs is killed. */
static void end(struct decoder *decoder, bool killing) {
    close_fd(&decoder->socket_fd);
    close_fd(&decoder->image_fd);
    if (killing)
        (void)kill(decoder->pid, SIGKILL);
    while (waitpid(decoder->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    decoder->pid = 0;
}

void decoders_free(struct decoders *decoders) {
    if (decoders == NULL)
        return;
    for (size_t i = 0; i < decoders->count; i++)
        if (decoders->decoder[i].pid != 0)
            end(&decoders->decoder[i], true);
    (void)pthread_mutex_destroy(&decoders->mutex);
    free(decoders);
}

void decoders_rest(struct decoders *decoders, int64_t before_us) {
    (void)pthread_mutex_lock(&decoders->mutex);
    for (size_t i = 0; i < decoders->count; i++) {
        struct decoder *decoder = &decoders->decoder[i];
        if (decoder->pid != 0 && !decoder->busy && decoder->idle_since_us < before_us)
            end(decoder, true);
    }
    (void)pthread_mutex_unlock(&decoders->mutex);
}

size_t decoders_count(struct decoders *decoders) {
    size_t count = 0;
    (void)pthread_mutex_lock(&decoders->mutex);
    for (size_t i = 0; i < decoders->count; i++)
        count += decoders->decoder[i].pid != 0;
    (void)pthread_mutex_unlock(&decoders->mutex);
    return count;
}

/* A decoder for this thread alone: one that runs, or else a new one. NULL if none can be started. */
static struct decoder *take(struct decoders *decoders) {
    struct decoder *taken = NULL;
    (void)pthread_mutex_lock(&decoders->mutex);
    for (size_t i = 0; i < decoders->count; i++) {
        struct decoder *decoder = &decoders->decoder[i];
        if (!decoder->busy && (taken == NULL || (decoder->pid != 0 && taken->pid == 0)))
            taken = decoder;
    }
    if (taken != NULL && taken->pid == 0 && !start(decoders, taken))
        taken = NULL;
    if (taken != NULL)
        taken->busy = true;
    (void)pthread_mutex_unlock(&decoders->mutex);
    return taken;
}

static void give_back(struct decoders *decoders, struct decoder *decoder, bool usable) {
    /* Its pages would otherwise stay until the next image. */
    if (usable && ftruncate(decoder->image_fd, 0) != 0)
        usable = false;
    (void)pthread_mutex_lock(&decoders->mutex);
    if (!usable)
        end(decoder, true);
    decoder->busy = false;
    decoder->idle_since_us = clock_monotonic_us();
    (void)pthread_mutex_unlock(&decoders->mutex);
}

static bool put_image(const struct decoder *decoder, struct text image) {
    for (size_t at = 0; at < image.size;) {
        ssize_t written = pwrite(decoder->image_fd, image.data + at, image.size - at, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += (size_t)written;
    }
    return true;
}

enum receipt { RECEIVED, ENDED, LATE };

static enum receipt receive_all(int fd, void *bytes, size_t size, int64_t deadline_us) {
    for (char *at = bytes; size > 0;) {
        int64_t left_us = deadline_us - clock_monotonic_us();
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        if (left_us <= 0)
            return LATE;
        if (poll(&watched, 1, (int)((left_us + 999) / US_PER_MS)) <= 0)
            continue; /* late, or interrupted */
        ssize_t got = recv(fd, at, size, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return ENDED;
        at += got;
        size -= (size_t)got;
    }
    return RECEIVED;
}

static enum receipt receive_answer(const struct decoder *decoder, int64_t deadline_us, struct decode_result *ret_result) {
    struct decoder_answer answer;
    enum receipt receipt = receive_all(decoder->socket_fd, &answer, sizeof answer, deadline_us);
    if (receipt != RECEIVED)
        return receipt;
    if (answer.magic != DECODER_MAGIC || answer.jpeg_bytes > THUMBNAIL_BYTES_MAX ||
        (answer.decoded != 0) != (answer.jpeg_bytes > 0))
        return ENDED;
    ret_result->decoded = answer.decoded != 0;
    ret_result->width = answer.width;
    ret_result->height = answer.height;
    answer.reason[sizeof answer.reason - 1] = '\0';
    memcpy(ret_result->reason, answer.reason, sizeof ret_result->reason);
    if (answer.jpeg_bytes == 0)
        return RECEIVED;
    ret_result->jpeg = malloc(answer.jpeg_bytes);
    ret_result->jpeg_bytes = answer.jpeg_bytes;
    receipt = ret_result->jpeg != NULL ? receive_all(decoder->socket_fd, ret_result->jpeg, answer.jpeg_bytes, deadline_us)
                                       : ENDED;
    if (receipt != RECEIVED)
        decode_result_free(ret_result);
    return receipt;
}

/* A decoder says that it is ready; until then nothing that goes wrong is the image's fault. */
static bool greet(struct decoder *decoder) {
    uint32_t hello = 0;
    if (decoder->fresh && (receive_all(decoder->socket_fd, &hello, sizeof hello, clock_monotonic_us() + START_US) != RECEIVED ||
                           hello != DECODER_MAGIC))
        return false;
    decoder->fresh = false;
    return true;
}

enum attempt {
    ATTEMPT_ANSWERED,  /* the result is here */
    ATTEMPT_LATE,      /* no answer in time */
    ATTEMPT_ENDED,     /* it had the image, and ended */
    ATTEMPT_NOT_BEGUN, /* no decoder was started or fed: it may have been killed while it had nothing to do */
};

static enum attempt try_once(struct decoders *decoders, struct text image, struct decode_result *ret_result) {
    struct decoder *decoder = take(decoders);
    struct decoder_job job = {.magic = DECODER_MAGIC,
                              .image_bytes = image.size,
                              .pixels_max = decoders->limits.pixels_max,
                              .timeout_us = decoders->limits.timeout_us};
    if (decoder == NULL)
        return ATTEMPT_NOT_BEGUN;
    if (!greet(decoder) || !put_image(decoder, image) ||
        send(decoder->socket_fd, &job, sizeof job, MSG_NOSIGNAL) != (ssize_t)sizeof job) {
        give_back(decoders, decoder, false);
        return ATTEMPT_NOT_BEGUN;
    }
    enum receipt receipt = receive_answer(decoder, clock_monotonic_us() + decoders->limits.timeout_us + GRACE_US, ret_result);
    give_back(decoders, decoder, receipt == RECEIVED);
    return receipt == RECEIVED ? ATTEMPT_ANSWERED : receipt == LATE ? ATTEMPT_LATE : ATTEMPT_ENDED;
}

bool decoders_decode(struct decoders *decoders, struct text image, struct decode_result *ret_result) {
    struct decode_result result = {0};
    enum attempt attempt = try_once(decoders, image, &result);
    /* Once more with a new process: one that ended may have been killed for a reason of its own. */
    if (attempt == ATTEMPT_ENDED || attempt == ATTEMPT_NOT_BEGUN)
        attempt = try_once(decoders, image, &result);
    if (attempt == ATTEMPT_NOT_BEGUN)
        return false;
    if (attempt != ATTEMPT_ANSWERED) {
        result = (struct decode_result){0};
        (void)snprintf(result.reason, sizeof result.reason, "%s",
                       attempt == ATTEMPT_LATE ? "Decoding the image took too long." : "The image cannot be decoded.");
    }
    *ret_result = result;
    return true;
}
