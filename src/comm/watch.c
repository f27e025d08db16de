#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest that destroy waits for a thread that may hang in the folder. */
enum { PATIENCE_MS = 3000 };

static const char CLAIM_NAME[] = "timeout.txt";

int64_t fr_watch_wall_ms(void)
{
    return fr_clock_wall_ns() / 1000000;
}

void fr_watch_line_path(const fr_watch *watch, int rank, char *path)
{
    (void)snprintf(path, watch->path_bytes, "%s/rank-%04d.slot", watch->folder, rank);
}

static bool is_slot_name(const char *name)
{
    static const char HEAD[] = "rank-";
    const char *end = strrchr(name, '.');
    return strncmp(name, HEAD, sizeof HEAD - 1) == 0 && end != NULL &&
           strcmp(end, ".slot") == 0;
}

fr_status fr_watch_clear(fr_ctx *ctx, const char *folder)
{
    fr_status status = FR_OK;
    DIR *open_folder = opendir(folder);
    if (open_folder == NULL) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot open the folder %s: %s; check it",
                       folder, strerror(errno));
    }
    for (struct dirent *entry;
         status == FR_OK && (entry = readdir(open_folder)) != NULL;) {
        if (is_slot_name(entry->d_name) || strcmp(entry->d_name, CLAIM_NAME) == 0) {
            if (unlinkat(dirfd(open_folder), entry->d_name, 0) != 0) {
                status = FR_FAIL(ctx, FR_ERR_IO, "cannot remove %s/%s: %s; remove it",
                                 folder, entry->d_name, strerror(errno));
            }
        }
    }
    (void)closedir(open_folder);
    return status;
}

/* Everything that the threads need, so that they allocate nothing. */
static fr_status reserve(fr_ctx *ctx, const fr_watch_params *params, fr_watch *w)
{
    enum { NAME_BYTES = 32 };
    w->report_bytes = fr_hang_report_bytes(params->n_ranks);
    FR_TRY(fr_alloc(ctx, (int64_t)w->report_bytes, 1, &w->report));
    FR_TRY(fr_alloc(ctx, params->n_ranks, sizeof *w->ranks, &w->ranks));
    if (params->post != NULL) {
        return FR_OK;
    }
    w->path_bytes = strlen(params->folder) + NAME_BYTES;
    FR_TRY(fr_copy_string(ctx, params->folder, &w->folder));
    FR_TRY(fr_join_path(ctx, params->folder, CLAIM_NAME, &w->claim_path));
    FR_TRY(fr_alloc(ctx, (int64_t)w->path_bytes, 1, &w->own_path));
    return fr_alloc(ctx, (int64_t)w->path_bytes, 1, &w->peer_path);
}

static void describe_self(const fr_watch_params *params, fr_watch *w)
{
    char host[FR_RANK_LINE_HOST_BYTES];
    fr_machine_host("", host, sizeof host);
    w->own.rank = params->rank;
    w->own.pid = (int64_t)getpid();
    fr_rank_line_word(host, w->own.host, FR_RANK_LINE_HOST_BYTES);
    w->position = (fr_position){.step = -1,
                                .microbatch = -1,
                                .peer = -1,
                                .since_ms = fr_watch_wall_ms(),
                                .phase = "starting",
                                .task = "-"};
    fr_place_init(&w->place, &w->position);
    if (w->post == NULL) {
        fr_watch_line_path(w, params->rank, w->own_path);
    }
}

static fr_status init_locks(fr_ctx *ctx, fr_watch *w)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code == 0) {
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        code = pthread_cond_init(&w->wake, &attributes);
        (void)pthread_condattr_destroy(&attributes);
    }
    if (code == 0) {
        code = pthread_mutex_init(&w->mutex, NULL);
        if (code != 0) {
            (void)pthread_cond_destroy(&w->wake);
        }
    }
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot make the watch's locks: %s", strerror(code));
}

static void release(fr_watch *w)
{
    free(w->folder);
    free(w->own_path);
    free(w->claim_path);
    free(w->peer_path);
    free(w->report);
    free(w->ranks);
    free(w);
}

static void tell_to_end(fr_watch *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    (void)pthread_cond_broadcast(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
}

/* No signal is ever handled by the watch's threads: they inherit a mask that blocks all. */
static fr_status start_threads(fr_ctx *ctx, fr_watch *w)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&w->time_thread, NULL, fr_watch_keep_time, w);
    if (code == 0) {
        code = pthread_create(
            &w->file_thread, NULL,
            w->post != NULL ? fr_watch_keep_post : fr_watch_keep_files, w);
        if (code != 0) {
            tell_to_end(w);
            (void)pthread_join(w->time_thread, NULL);
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot start the watch's threads: %s; see ulimit -u",
                               strerror(code));
}

static fr_status start(fr_ctx *ctx, fr_watch *w)
{
    if (w->post == NULL && !fr_watch_write_line(w, FR_RANK_LINE_RUNNING)) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot write %s: %s; the run folder must be one that every "
                       "rank can write to",
                       w->own_path, strerror(errno));
    }
    FR_TRY(init_locks(ctx, w));
    fr_status status = start_threads(ctx, w);
    if (status != FR_OK) {
        (void)pthread_mutex_destroy(&w->mutex);
        (void)pthread_cond_destroy(&w->wake);
    }
    return status;
}

fr_status fr_watch_create(fr_ctx *ctx, const fr_watch_params *params, fr_watch **out)
{
    fr_watch *w = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *w, &w));
    w->n_ranks = params->n_ranks;
    w->timeout_ms = params->timeout_seconds * 1000;
    w->post = params->post;
    w->leave = params->leave;
    w->argument = params->argument;
    atomic_init(&w->looked_ms, fr_clock_ms());
    fr_status status = reserve(ctx, params, w);
    if (status == FR_OK) {
        describe_self(params, w);
        status = start(ctx, w);
    }
    if (status != FR_OK) {
        release(w);
        return status;
    }
    *out = w;
    return FR_OK;
}

static bool rest(fr_watch *watch, int64_t ms, bool until_closing)
{
    struct timespec until = fr_clock_after(ms);
    int code = 0;
    bool is_over = false;
    (void)pthread_mutex_lock(&watch->mutex);
    while (!is_over && code == 0) {
        is_over = watch->is_ending || (until_closing && watch->is_closing);
        if (!is_over) {
            code = pthread_cond_timedwait(&watch->wake, &watch->mutex, &until);
        }
    }
    (void)pthread_mutex_unlock(&watch->mutex);
    return is_over;
}

bool fr_watch_rest(fr_watch *watch, int64_t ms)
{
    return rest(watch, ms, false);
}

bool fr_watch_rest_open(fr_watch *watch, int64_t ms)
{
    return rest(watch, ms, true);
}

void fr_watch_files_are_done(fr_watch *watch)
{
    (void)pthread_mutex_lock(&watch->mutex);
    watch->files_are_done = true;
    (void)pthread_cond_broadcast(&watch->wake);
    (void)pthread_mutex_unlock(&watch->mutex);
}

/* The thread of messages still looks at the others meanwhile, so this wait is watched like any other. */
void fr_watch_close(fr_watch *watch)
{
    if (watch == NULL || watch->post == NULL) {
        return;
    }
    fr_watch_wait_begin(watch, "closing", -1);
    (void)pthread_mutex_lock(&watch->mutex);
    watch->is_closing = true;
    (void)pthread_cond_broadcast(&watch->wake);
    while (!watch->files_are_done) {
        (void)pthread_cond_wait(&watch->wake, &watch->mutex);
    }
    (void)pthread_mutex_unlock(&watch->mutex);
    fr_watch_wait_end(watch);
}

static bool wait_for_files(fr_watch *w)
{
    struct timespec until = fr_clock_after(PATIENCE_MS);
    int code = 0;
    (void)pthread_mutex_lock(&w->mutex);
    while (!w->files_are_done && code == 0) {
        code = pthread_cond_timedwait(&w->wake, &w->mutex, &until);
    }
    bool are_done = w->files_are_done;
    (void)pthread_mutex_unlock(&w->mutex);
    return are_done;
}

void fr_watch_destroy(fr_watch **watch)
{
    fr_watch *w = *watch;
    *watch = NULL;
    if (w == NULL) {
        return;
    }
    tell_to_end(w);
    (void)pthread_join(w->time_thread, NULL);
    if (!wait_for_files(w)) {
        /* the thread still uses the watch, so its memory stays */
        (void)pthread_detach(w->file_thread);
        return;
    }
    (void)pthread_join(w->file_thread, NULL);
    (void)pthread_mutex_destroy(&w->mutex);
    (void)pthread_cond_destroy(&w->wake);
    release(w);
}

void fr_watch_fail(fr_watch *watch)
{
    if (watch != NULL) {
        atomic_store(&watch->has_failed, true);
    }
}

static void publish(fr_watch *watch)
{
    watch->position.since_ms = fr_watch_wall_ms();
    fr_place_set(&watch->place, &watch->position);
}

void fr_watch_at(fr_watch *watch, int64_t step, const char *task, int64_t microbatch)
{
    if (watch != NULL) {
        watch->position.step = step;
        fr_rank_line_word(task, watch->position.task, FR_PLACE_TASK_BYTES);
        watch->position.microbatch = microbatch;
        watch->position.phase = NULL;
        publish(watch);
    }
}

void fr_watch_microbatch(fr_watch *watch, int64_t microbatch)
{
    if (watch != NULL) {
        watch->position.microbatch = microbatch;
        publish(watch);
    }
}

void fr_watch_busy(fr_watch *watch, const char *phase)
{
    if (watch != NULL) {
        watch->position.phase = phase;
        publish(watch);
    }
}

void fr_watch_wait_begin(fr_watch *watch, const char *what, int peer)
{
    if (watch != NULL) {
        watch->position.wait = what;
        watch->position.peer = peer;
        publish(watch);
    }
}

void fr_watch_wait_end(fr_watch *watch)
{
    if (watch != NULL) {
        watch->position.wait = NULL;
        watch->position.peer = -1;
        publish(watch);
    }
}
