#define _POSIX_C_SOURCE 200809L
#include "comm/watch_impl.h"

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

/*
 * A watch from its creation to its end, and the calls of the main thread.
 *
 *   main thread       fr_watch_at, _busy, _wait_begin ... publish where the rank is (place.h); they never wait
 *   thread of time    counts how long the current wait lasts; ends the rank if the other thread hangs (watch_time.c)
 *   thread of lines   twice a second: writes this rank's line; in a long wait looks at the other ranks' lines, decides
 *                     and ends the rank (watch_files.c or watch_messages.c, then watch_look.c)
 *
 * The threads share watch_state.c: the clock, sleeping, and the own line. They end when fr_watch_destroy tells them to;
 * the thread of lines of a watch by messages ends with fr_watch_close, together with those of the other ranks.
 */

/* Longest that destroy waits for a thread that may hang in the folder: a slow folder answers within this. */
enum { PATIENCE_MS = 3000 };

/* Created by the first rank that gives a verdict (watch_look.c). */
static const char CLAIM_NAME[] = "timeout.txt";

/* Any number counts, since an earlier run may have had more ranks. */
static bool is_line_file(const char *name)
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
        if (is_line_file(entry->d_name) || strcmp(entry->d_name, CLAIM_NAME) == 0) {
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
    if (params->channel != NULL) {
        return FR_OK;
    }
    w->path_bytes = strlen(params->folder) + NAME_BYTES;
    FR_TRY(fr_copy_string(ctx, params->folder, &w->folder));
    FR_TRY(fr_join_path(ctx, params->folder, CLAIM_NAME, &w->claim_path));
    FR_TRY(fr_alloc(ctx, (int64_t)w->path_bytes, 1, &w->own_path));
    return fr_alloc(ctx, (int64_t)w->path_bytes, 1, &w->peer_path);
}

/* Before the threads start, so what they read is complete. */
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
                                .since_ms = fr_watch_wall_ms(w),
                                .phase = "starting",
                                .task = "-"};
    fr_place_init(&w->place, &w->position);
    if (w->channel == NULL) {
        fr_watch_line_path(w, params->rank, w->own_path);
    }
}

/* Only when no thread uses the watch any more. */
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

static void end_threads(fr_watch *w)
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
            &w->line_thread, NULL,
            w->channel != NULL ? fr_watch_keep_messages : fr_watch_keep_files, w);
        if (code != 0) {
            end_threads(w);
            (void)pthread_join(w->time_thread, NULL);
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot start the watch's threads: %s; see ulimit -u",
                               strerror(code));
}

/* The first line is written here and not in the thread, so that a folder without write permission is an error of
 * the start. */
static fr_status start(fr_ctx *ctx, fr_watch *w)
{
    if (w->channel == NULL && !fr_watch_write_line(w, FR_RANK_LINE_RUNNING)) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot write %s: %s; the run folder must be one that every "
                       "rank can write to",
                       w->own_path, strerror(errno));
    }
    FR_TRY(fr_watch_init_locks(ctx, w));
    fr_status status = start_threads(ctx, w);
    if (status != FR_OK) {
        fr_watch_fini_locks(w);
    }
    return status;
}

/* looked_ms begins at now: the thread of time must not take the time before the first look for a folder that
 * hangs. */
fr_status fr_watch_create(fr_ctx *ctx, const fr_watch_params *params, fr_watch **out)
{
    fr_watch *w = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *w, &w));
    w->n_ranks = params->n_ranks;
    w->timeout_ms = params->timeout_seconds * 1000;
    w->channel = params->channel;
    w->clock = params->clock != NULL ? params->clock : &FR_WATCH_CLOCK;
    w->leave = params->leave;
    w->argument = params->argument;
    atomic_init(&w->looked_ms, fr_watch_now_ms(w));
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

/* The thread of lines looks at the others meanwhile, so this wait is watched like any other. */
void fr_watch_close(fr_watch *watch)
{
    if (watch == NULL || watch->channel == NULL) {
        return;
    }
    fr_watch_wait_begin(watch, "closing", -1);
    (void)pthread_mutex_lock(&watch->mutex);
    watch->is_closing = true;
    (void)pthread_cond_broadcast(&watch->wake);
    while (!watch->lines_are_done) {
        (void)pthread_cond_wait(&watch->wake, &watch->mutex);
    }
    (void)pthread_mutex_unlock(&watch->mutex);
    fr_watch_wait_end(watch);
}

void fr_watch_destroy(fr_watch **watch)
{
    fr_watch *w = *watch;
    *watch = NULL;
    if (w == NULL) {
        return;
    }
    end_threads(w);
    (void)pthread_join(w->time_thread, NULL);
    if (!fr_watch_await_lines(w, PATIENCE_MS)) {
        /* the thread still uses the watch, so its memory stays */
        (void)pthread_detach(w->line_thread);
        return;
    }
    (void)pthread_join(w->line_thread, NULL);
    fr_watch_fini_locks(w);
    release(w);
}

void fr_watch_fail(fr_watch *watch)
{
    if (watch != NULL) {
        atomic_store(&watch->has_failed, true);
    }
}

/* Each change of the position begins a new state, whose length is counted from now on. */
static void publish(fr_watch *watch)
{
    watch->position.since_ms = fr_watch_wall_ms(watch);
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
