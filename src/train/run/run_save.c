#define _POSIX_C_SOURCE 200809L
#include "train/run/run_impl.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fr_run_identify(const fr_run_state *run, fr_run_identity *out)
{
    *out = (fr_run_identity){.shape = run->session.shape,
                             .isa = run->session.isa,
                             .arithmetic = fr_device_arithmetic(run->session.device),
                             .version = run->options->version,
                             .layout = run->session.layout,
                             .config = run->config_text};
    memcpy(out->digest, run->session.digest, FR_DIGEST_BYTES);
}

static bool is_writing_rank(const fr_run_state *run)
{
    return run->saves.writer != NULL;
}

/* ---- the writer's results and its buffers ----------------------------------------------------- */

static void note_failure(fr_saves *s, fr_status status)
{
    s->failure = s->failure == FR_OK ? status : s->failure;
}

/* Take back what is written: a line in the metrics, a buffer to use again. */
static void collect(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    bool taken = true;
    while (taken) {
        fr_write write;
        fr_status status = fr_writer_take(s->writer, &write, &taken);
        if (taken && status == FR_OK) {
            status = fr_metrics_saved(run->metrics, &write, s->blocked);
            s->blocked = 0;
        }
        note_failure(s, status);
        if (taken && write.name == NULL) {
            s->spares[s->n_spares++] = write.checkpoint;
        } else if (taken) {
            fr_checkpoint_destroy(&write.checkpoint);
        }
    }
}

/* Messages of others pass meanwhile. Sleeps: the writer needs a core. Callers are busy "saving" for the watch: the rank
 * is alive however long the disk takes. */
static void rest(fr_run_state *run)
{
    enum { POLL_MS = 1 };
    fr_group_poll(run->world);
    fr_writer_rest(run->saves.writer, POLL_MS);
    collect(run);
}

static void add_write(fr_run_state *run, const fr_write *write)
{
    while (!fr_writer_has_room(run->saves.writer)) {
        rest(run);
    }
    fr_writer_add(run->saves.writer, write);
}

static fr_status add_buffer(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    fr_run_identity identity;
    fr_checkpoint *buffer = NULL;
    fr_run_identify(run, &identity);
    FR_TRY(fr_gather_describe(s->gather, &identity, &buffer));
    s->spares[s->n_spares++] = buffer;
    s->n_buffers++;
    return FR_OK;
}

/* The second buffer comes only where the first is still in use, and is done without where there is no memory. */
static fr_checkpoint *take_buffer(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    collect(run);
    bool may_add = s->n_buffers < FR_WRITER_PLACES && s->failure == FR_OK;
    if (s->n_spares == 0 && may_add && add_buffer(run) != FR_OK) {
        fr_ctx_clear_error(run->ctx);
    }
    while (s->n_spares == 0) {
        rest(run);
    }
    return s->spares[--s->n_spares];
}

static int64_t step_of(const fr_checkpoint *checkpoint)
{
    int64_t step = 0;
    for (int64_t i = 0; i < checkpoint->n_tasks; i++) {
        step = checkpoint->tasks[i].progress.step > step
                   ? checkpoint->tasks[i].progress.step
                   : step;
    }
    return step;
}

static void hand_over(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    fr_write write = {.step = step_of(s->filling), .checkpoint = s->filling};
    add_write(run, &write);
    s->filling = NULL;
}

/* ---- checkpoints ------------------------------------------------------------------------------ */

fr_status fr_run_open_saves(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    fr_status status = FR_OK;
    FR_TRY(fr_gather_create(&run->env, &run->session.grid, run->tasks, run->n_tasks,
                            FR_GATHER_ALL, &s->gather));
    if (fr_group_rank(run->world) == 0) {
        status = add_buffer(run);
        if (status == FR_OK) {
            status = fr_writer_create(run->ctx, run->config->run.dir,
                                      run->config->run.keep, &s->writer);
        }
    }
    return fr_group_agree(run->world, status);
}

void fr_run_close_saves(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    fr_writer_destroy(&s->writer);
    fr_gather_destroy(&s->gather);
    fr_checkpoint_destroy(&s->filling);
    while (s->n_spares > 0) {
        fr_checkpoint_destroy(&s->spares[--s->n_spares]);
    }
}

static fr_status settle(fr_run_state *run)
{
    FR_TRY(fr_gather_wait(run->saves.gather));
    if (run->saves.filling != NULL) {
        hand_over(run);
    }
    return FR_OK;
}

fr_status fr_run_settle_saves(fr_run_state *run)
{
    double start = fr_now();
    fr_watch_busy(run->watch, "saving");
    fr_status status = settle(run);
    fr_watch_busy(run->watch, NULL);
    run->saves.blocked += fr_now() - start;
    return status;
}

fr_status fr_run_begin_save(fr_run_state *run, int64_t total)
{
    fr_saves *s = &run->saves;
    double start = fr_now();
    fr_watch_busy(run->watch, "saving");
    fr_status status = settle(run);
    if (status == FR_OK && is_writing_rank(run)) {
        s->filling = take_buffer(run);
    }
    if (status == FR_OK) {
        status = fr_gather_begin(s->gather, s->filling);
    }
    s->total = total;
    fr_watch_busy(run->watch, NULL);
    s->blocked += fr_now() - start;
    return status;
}

fr_status fr_run_save_task(fr_run_state *run, int64_t task)
{
    double start = fr_now();
    fr_status status = fr_gather_task(run->saves.gather, task);
    run->saves.blocked += fr_now() - start;
    return status;
}

fr_status fr_run_progress_saves(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    bool is_done = false;
    FR_TRY(fr_gather_test(s->gather, &is_done));
    if (is_writing_rank(run)) {
        collect(run);
        if (is_done && s->filling != NULL && fr_writer_has_room(s->writer)) {
            hand_over(run);
        }
    }
    return FR_OK;
}

fr_status fr_run_save(fr_run_state *run)
{
    if (fr_run_total(run) == run->saves.total) {
        return FR_OK;
    }
    FR_TRY(fr_run_begin_save(run, fr_run_total(run)));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        FR_TRY(fr_run_save_task(run, i));
    }
    return fr_run_progress_saves(run);
}

fr_status fr_run_finish_saves(fr_run_state *run)
{
    fr_saves *s = &run->saves;
    double start = fr_now();
    fr_watch_busy(run->watch, "saving");
    fr_status status = settle(run);
    while (is_writing_rank(run) && !fr_writer_is_empty(s->writer)) {
        rest(run);
        s->blocked += fr_now() - start;
        start = fr_now();
    }
    status = fr_group_agree(run->world, status == FR_OK ? s->failure : status);
    fr_watch_busy(run->watch, NULL);
    return status;
}

/* ---- prefixes for inference ------------------------------------------------------------------- */

static fr_status gather_all(fr_run_state *run, fr_gather *gather, fr_checkpoint *into)
{
    FR_TRY(fr_gather_begin(gather, into));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        FR_TRY(fr_gather_task(gather, i));
    }
    return fr_gather_wait(gather);
}

/* Hand a prefix for inference to the writer, where no step is under way. */
static fr_status save_prefix_file(fr_run_state *run, const char *name,
                                  fr_gather_what what)
{
    fr_gather *gather = NULL;
    fr_write write = {.name = name, .step = fr_run_step(run)};
    fr_run_identity identity;
    double start = fr_now();
    fr_run_identify(run, &identity);
    fr_watch_busy(run->watch, "saving");
    fr_status status = fr_gather_create(&run->env, &run->session.grid, run->tasks,
                                        run->n_tasks, what, &gather);
    if (status == FR_OK) {
        if (is_writing_rank(run)) {
            status = fr_gather_describe(gather, &identity, &write.checkpoint);
        }
        status = fr_group_agree(run->world, status);
    }
    if (status == FR_OK) {
        status = gather_all(run, gather, write.checkpoint);
    }
    if (status == FR_OK && is_writing_rank(run)) {
        add_write(run, &write);
        write.checkpoint = NULL;
    }
    fr_checkpoint_destroy(&write.checkpoint);
    fr_gather_destroy(&gather);
    fr_watch_busy(run->watch, NULL);
    run->saves.blocked += fr_now() - start;
    return status;
}

fr_status fr_run_save_prefixes(fr_run_state *run)
{
    FR_TRY(save_prefix_file(run, "prefix.h5", FR_GATHER_PREFIX));
    return fr_run_finish_saves(run);
}

fr_status fr_run_save_best(fr_run_state *run)
{
    return save_prefix_file(run, "best.h5", FR_GATHER_BEST);
}

/* ---- stop requests ---------------------------------------------------------------------------- */

void fr_run_answer_stop(fr_run_state *run)
{
    char *asked = NULL;
    char *answered = NULL;
    fr_status status = fr_join_path(run->ctx, run->config->run.dir, "STOP", &asked);
    if (status == FR_OK) {
        status = fr_join_path(run->ctx, run->config->run.dir, "STOPPED", &answered);
    }
    if (status == FR_OK && fr_file_exists(asked) && rename(asked, answered) != 0) {
        fr_log(run->ctx, FR_LOG_WARN,
               "cannot rename %s (%s); remove it before the next start", asked,
               strerror(errno));
    }
    free(asked);
    free(answered);
}

void fr_run_forget_stop(fr_run_state *run)
{
    char *path = NULL;
    if (fr_join_path(run->ctx, run->config->run.dir, "STOPPED", &path) == FR_OK) {
        (void)unlink(path);
    }
    free(path);
}
