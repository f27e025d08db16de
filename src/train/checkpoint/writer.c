/*
 * A queue of two writes between the owner and one thread. Three counts describe it: taken <= written <= added. The owner
 * adds and takes, the thread writes; a write belongs to the thread from add until `written` passes it, and to the owner
 * otherwise. The counts and the queue are under the mutex, except that the owner may read the counts that it alone
 * changes. After a failed write the thread writes nothing more and only counts.
 */
#define _DEFAULT_SOURCE
#include "train/checkpoint/writer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fr_writer {
    fr_ctx *owner; /* borrowed */
    fr_ctx *ctx;   /* of the thread */
    char *folder;
    int64_t keep;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    /* under the mutex: */
    fr_write writes[FR_WRITER_PLACES];
    int64_t added;   /* number of writes so far */
    int64_t written; /* of those, finished */
    int64_t taken;   /* of those, taken back */
    int64_t failed;  /* number of the write that failed; -1: none */
    bool is_ending;
};

static fr_write *write_at(fr_writer *w, int64_t number)
{
    return &w->writes[number % FR_WRITER_PLACES];
}

/* A write without a name is a checkpoint of the run folder, where older ones are removed and `latest` is updated. */
static fr_status write_file(const fr_writer *w, const fr_write *write)
{
    char *path = NULL;
    if (write->name == NULL) {
        return fr_checkpoint_save(w->ctx, w->folder, write->step, w->keep,
                                  write->checkpoint);
    }
    FR_TRY(fr_join_path(w->ctx, w->folder, write->name, &path));
    fr_status status = fr_checkpoint_write(w->ctx, path, write->checkpoint);
    free(path);
    return status;
}

/* Both times are measured: the difference is what waiting for the disk and for a core took. */
static fr_status write_timed(const fr_writer *w, fr_write *write)
{
    double start = fr_clock_seconds();
    double cpu_start = fr_clock_thread_seconds();
    fr_status status = write_file(w, write);
    write->seconds = fr_clock_seconds() - start;
    write->cpu_seconds = fr_clock_thread_seconds() - cpu_start;
    return status;
}

/* The thread. It writes without the mutex, so that the owner can add and take meanwhile. */
static void *run_writer(void *argument)
{
    enum {
        NICENESS = 5
    }; /* about a quarter of a busy core, enough to finish within a step */
    fr_writer *w = argument;
    (void)!nice(
        NICENESS); /* on Linux of this thread alone; if it fails, the writer merely competes with the compute threads */
    (void)pthread_mutex_lock(&w->mutex);
    while (true) {
        while (w->written == w->added && !w->is_ending) {
            (void)pthread_cond_wait(&w->changed, &w->mutex);
        }
        if (w->written == w->added) {
            break;
        }
        if (w->failed < 0) {
            fr_write *next = write_at(w, w->written);
            (void)pthread_mutex_unlock(&w->mutex);
            fr_status status = write_timed(w, next);
            (void)pthread_mutex_lock(&w->mutex);
            w->failed = status == FR_OK ? -1 : w->written;
        }
        w->written++;
        (void)pthread_cond_broadcast(&w->changed);
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* The condition waits on the monotonic clock: a change of the system's time must not shorten or lengthen a rest. The
 * result is an error number of pthread, or 0. */
static int init_locks(fr_writer *w)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code != 0) {
        return code;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    code = pthread_cond_init(&w->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (code == 0) {
        code = pthread_mutex_init(&w->mutex, NULL);
        if (code != 0) {
            (void)pthread_cond_destroy(&w->changed);
        }
    }
    return code;
}

/* A thread inherits its creator's mask, so all signals are blocked only while it is made. Signals then never
 * interrupt a write and reach the threads that handle them. */
static int start_thread(fr_writer *w)
{
    sigset_t all;
    sigset_t before;
    int code = init_locks(w);
    if (code != 0) {
        return code;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&w->thread, NULL, run_writer, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        (void)pthread_mutex_destroy(&w->mutex);
        (void)pthread_cond_destroy(&w->changed);
    }
    return code;
}

static void release(fr_writer *w)
{
    fr_ctx_destroy(&w->ctx);
    free(w->folder);
    free(w);
}

/* The thread has a context of its own, since a context keeps one error and belongs to one thread. */
fr_status fr_writer_create(fr_ctx *ctx, const char *folder, int64_t keep,
                           fr_writer **out)
{
    fr_writer *w = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *w, &w));
    w->owner = ctx;
    w->keep = keep;
    w->failed = -1;
    w->ctx = fr_ctx_create();
    fr_status status = fr_check_memory(ctx, w->ctx != NULL, 1);
    if (status == FR_OK) {
        status = fr_copy_string(ctx, folder, &w->folder);
    }
    if (status == FR_OK) {
        int code = start_thread(w);
        status = code == 0 ? FR_OK
                           : FR_FAIL(ctx, FR_ERR_INTERNAL,
                                     "cannot start the thread that writes checkpoints: "
                                     "%s; see ulimit -u",
                                     strerror(code));
    }
    if (status != FR_OK) {
        release(w);
        return status;
    }
    *out = w;
    return FR_OK;
}

/* After the join the thread is gone, so the rest needs no mutex. Writes that nobody took back still own checkpoints. */
void fr_writer_destroy(fr_writer **writer)
{
    fr_writer *w = *writer;
    *writer = NULL;
    if (w == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->mutex);
    (void)pthread_join(w->thread, NULL);
    for (; w->taken < w->added; w->taken++) {
        fr_checkpoint_destroy(&write_at(w, w->taken)->checkpoint);
    }
    (void)pthread_mutex_destroy(&w->mutex);
    (void)pthread_cond_destroy(&w->changed);
    release(w);
}

bool fr_writer_has_room(const fr_writer *writer)
{
    /* counts that the owner alone changes */
    return writer->added - writer->taken < FR_WRITER_PLACES;
}

bool fr_writer_is_empty(const fr_writer *writer)
{
    return writer->added == writer->taken;
}

void fr_writer_add(fr_writer *writer, const fr_write *write)
{
    (void)pthread_mutex_lock(&writer->mutex);
    *write_at(writer, writer->added) = *write;
    writer->added++;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
}

/* Writes before the failed one succeeded and are returned as such; that one and all later ones carry the failure. */
fr_status fr_writer_take(fr_writer *writer, fr_write *out, bool *taken)
{
    fr_writer *w = writer;
    fr_status status = FR_OK;
    (void)pthread_mutex_lock(&w->mutex);
    *taken = w->taken < w->written;
    if (*taken) {
        *out = *write_at(w, w->taken);
        if (w->failed >= 0 && w->taken >= w->failed) {
            status = fr_ctx_pass_error(w->ctx, w->owner);
        }
        w->taken++;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return status;
}

/* `code` becomes ETIMEDOUT at the end of the time. The loop is needed because a wait may end without a reason. */
void fr_writer_rest(fr_writer *writer, int64_t ms)
{
    struct timespec until = fr_clock_after(ms);
    int code = 0;
    (void)pthread_mutex_lock(&writer->mutex);
    while (writer->taken == writer->written && code == 0) {
        code = pthread_cond_timedwait(&writer->changed, &writer->mutex, &until);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
}
