#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pool {
    struct loop *loop;
    void (*thread_end)(void);
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t work_or_stop;
    struct pool_job *first, **last;
    size_t waiting, idle, queue_max;
    bool stopping;
    size_t threads;
    pthread_t thread[];
};

static void job_done(struct loop_task *task) {
    struct pool_job *job = task->context;
    job->done(job);
}

static void *thread_main(void *argument) {
    struct pool *pool = argument;
    (void)pthread_mutex_lock(&pool->mutex);
    while (!pool->stopping) {
        struct pool_job *job = pool->first;
        if (job == NULL) {
            (void)pthread_cond_wait(&pool->work_or_stop, &pool->mutex);
            continue;
        }
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->waiting--;
        pool->idle--;
        (void)pthread_mutex_unlock(&pool->mutex);
        job->work(job);
        (void)pthread_mutex_lock(&pool->mutex);
        pool->idle++;
        job->task = (struct loop_task){.run = job_done, .context = job};
        loop_post(pool->loop, &job->task);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    if (pool->thread_end != NULL)
        pool->thread_end();
    return NULL;
}

struct pool *pool_new(struct loop *loop, size_t threads, size_t queue_max, void (*thread_end)(void)) {
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
    sigset_t all, before;
    int error = 0;
    if (pool == NULL)
        return NULL;
    pool->loop = loop;
    pool->thread_end = thread_end;
    pool->queue_max = queue_max;
    pool->last = &pool->first;
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->work_or_stop, NULL);
    (void)sigfillset(&all); /* signals belong to the loop's thread */
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    for (; pool->threads < threads && error == 0; pool->threads += error == 0)
        error = pthread_create(&pool->thread[pool->threads], NULL, thread_main, pool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_mutex_lock(&pool->mutex);
    pool->idle += pool->threads; /* a thread may have taken itself off already: the count wraps and comes back */
    (void)pthread_mutex_unlock(&pool->mutex);
    if (error != 0) {
        pool_free(pool);
        errno = error;
        return NULL;
    }
    return pool;
}

bool pool_submit(struct pool *pool, struct pool_job *job) {
    bool taken;
    (void)pthread_mutex_lock(&pool->mutex);
    taken = pool->waiting < pool->idle + pool->queue_max;
    if (taken) {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
        (void)pthread_cond_signal(&pool->work_or_stop);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return taken;
}

void pool_free(struct pool *pool) {
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work_or_stop);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->threads; i++)
        (void)pthread_join(pool->thread[i], NULL);
    (void)pthread_cond_destroy(&pool->work_or_stop);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
