/* Files that are saved while training goes on.
 *
 * Rank 0 alone writes: a thread of its own (writer.h) takes whole checkpoints from here. On all ranks a gather
 * (gather.h) brings the tasks' layers to rank 0, into a buffer `filling`; when all have arrived, the writer gets
 * the buffer, and when the file is committed, the buffer comes back to `spares`. There are up to FR_WRITER_PLACES
 * buffers, the second only where the first is still in use. Training stands still only where a third would be
 * needed.
 *
 * A failed write must not end this rank alone, because others may wait for its messages. It is kept in `failure`
 * until all ranks agree on it. While this rank waits for the disk it is busy for the watch, however long that
 * takes. */
#include "train/run/saves.h"

#include "base/clock.h"
#include "base/mem.h"
#include "train/run/gather.h"
#include "train/run/tasks.h"

#include <stdlib.h>
#include <string.h>

struct fr_saves {
    fr_saves_params about;
    fr_gather *gather;
    fr_writer *writer;                       /* NULL on ranks other than 0 */
    fr_checkpoint *spares[FR_WRITER_PLACES]; /* buffers that nobody uses */
    int n_spares;
    int n_buffers;          /* allocated, in use or not */
    fr_checkpoint *filling; /* layers are on their way into it; NULL: none */
    double blocked;    /* seconds that training stood still, not yet in the metrics */
    int64_t total;     /* steps of all tasks in the newest checkpoint; -1: none */
    fr_status failure; /* of a write, the first one */
};

static bool is_writing_rank(const fr_saves *s)
{
    return s->writer != NULL;
}

static fr_task *tasks_of(const fr_saves *s)
{
    return s->about.tasks;
}

/* Training stands still from here to `resume`; returns when that began. */
static double pause(const fr_saves *s)
{
    fr_watch_busy(s->about.watch, "saving");
    return fr_clock_seconds();
}

static void resume(fr_saves *s, double began)
{
    fr_watch_busy(s->about.watch, NULL);
    s->blocked += fr_clock_seconds() - began;
}

/* ---- the writer's results and its buffers ----------------------------------------------------- */

/* Take back what is written: a line in the metrics, a buffer to use again. */
static void collect(fr_saves *s)
{
    bool taken = true;
    while (taken) {
        fr_write write;
        fr_status status = fr_writer_take(s->writer, &write, &taken);
        if (taken && status == FR_OK) {
            status = fr_metrics_saved(s->about.metrics, &write, s->blocked);
            s->blocked = 0;
        }
        s->failure = fr_first_failure(s->failure, status);
        if (taken && write.name == NULL) {
            s->spares[s->n_spares++] = write.checkpoint;
        } else if (taken) {
            fr_checkpoint_destroy(&write.checkpoint);
        }
    }
}

/* Advance messages, then sleep, so that the writer can use this core. */
static void rest(fr_saves *s)
{
    enum { POLL_MS = 1 }; /* far less than a write takes, far more than a poll */
    fr_group_poll(s->about.grid->world);
    fr_writer_rest(s->writer, POLL_MS);
    collect(s);
}

/* The writer has few places; a wait here is part of the time that training stands still. */
static void add_write(fr_saves *s, const fr_write *write)
{
    while (!fr_writer_has_room(s->writer)) {
        rest(s);
    }
    fr_writer_add(s->writer, write);
}

/* A buffer holds all that does not change during a run, so only arrays and progress are filled for each checkpoint. */
static fr_status add_buffer(fr_saves *s)
{
    fr_checkpoint *buffer = NULL;
    FR_TRY(fr_describe_tasks(s->about.env, &s->about.identity, tasks_of(s),
                             s->about.n_tasks, true, &buffer));
    s->spares[s->n_spares++] = buffer;
    s->n_buffers++;
    return FR_OK;
}

/* Without memory for a second buffer the first is waited for. */
static fr_checkpoint *take_buffer(fr_saves *s)
{
    collect(s);
    bool may_add = s->n_buffers < FR_WRITER_PLACES && s->failure == FR_OK;
    if (s->n_spares == 0 && may_add && add_buffer(s) != FR_OK) {
        fr_ctx_clear_error(s->about.env->ctx);
    }
    while (s->n_spares == 0) {
        rest(s);
    }
    return s->spares[--s->n_spares];
}

/* The name of a checkpoint has the largest step of any task, as the buffer holds it and not as the tasks stand now. */
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

/* From here on the buffer belongs to the writer, until collect takes it back. */
static void hand_over(fr_saves *s)
{
    fr_write write = {.step = step_of(s->filling), .checkpoint = s->filling};
    add_write(s, &write);
    s->filling = NULL;
}

/* ---- open and close --------------------------------------------------------------------------- */

/* The first buffer is made at the start: a run that lacks the memory for it fails before its first step. */
static fr_status open_writer(fr_saves *s)
{
    FR_TRY(add_buffer(s));
    return fr_writer_create(s->about.env->ctx, s->about.folder, s->about.keep,
                            &s->writer);
}

fr_status fr_saves_open(const fr_saves_params *params, fr_saves **out)
{
    fr_group *world = params->grid->world;
    fr_saves *s = NULL;
    *out = NULL;
    fr_status status =
        fr_group_agree(world, fr_alloc(params->env->ctx, 1, sizeof *s, &s));
    if (status != FR_OK) {
        free(s); /* another rank lacks the memory */
        return status;
    }
    *s = (fr_saves){.about = *params, .total = params->newest};
    status = fr_gather_create(params->env, params->grid, params->tasks, params->n_tasks,
                              FR_GATHER_ALL, &s->gather);
    if (status == FR_OK) {
        status =
            fr_group_agree(world, fr_group_rank(world) == 0 ? open_writer(s) : FR_OK);
    }
    if (status != FR_OK) {
        fr_saves_close(&s);
    }
    *out = s;
    return status;
}

void fr_saves_close(fr_saves **saves)
{
    fr_saves *s = *saves;
    *saves = NULL;
    if (s == NULL) {
        return;
    }
    /* First, because its thread still reads buffers. */
    fr_writer_destroy(&s->writer);
    fr_gather_destroy(&s->gather);
    fr_checkpoint_destroy(&s->filling);
    while (s->n_spares > 0) {
        fr_checkpoint_destroy(&s->spares[--s->n_spares]);
    }
    free(s);
}

fr_status fr_saves_failure(const fr_saves *saves)
{
    return saves->failure;
}

/* ---- checkpoints ------------------------------------------------------------------------------ */

/* Every task of the checkpoint has been taken, so a buffer whose messages have arrived is complete. */
static fr_status settle(fr_saves *s)
{
    FR_TRY(fr_gather_wait(s->gather));
    if (s->filling != NULL) {
        hand_over(s);
    }
    return FR_OK;
}

fr_status fr_saves_settle(fr_saves *saves)
{
    double began = pause(saves);
    fr_status status = settle(saves);
    resume(saves, began);
    return status;
}

fr_status fr_saves_begin(fr_saves *saves, int64_t total)
{
    fr_saves *s = saves;
    double began = pause(s);
    fr_status status = settle(s);
    if (status == FR_OK && is_writing_rank(s)) {
        s->filling = take_buffer(s);
    }
    if (status == FR_OK) {
        status = fr_gather_begin(s->gather, s->filling);
    }
    s->total = total;
    resume(s, began);
    return status;
}

/* No watch phase: it copies and sends, and waits for nothing. */
fr_status fr_saves_task(fr_saves *saves, int64_t task)
{
    double began = fr_clock_seconds();
    fr_status status = fr_gather_task(saves->gather, task);
    saves->blocked += fr_clock_seconds() - began;
    return status;
}

fr_status fr_saves_progress(fr_saves *saves)
{
    fr_saves *s = saves;
    bool is_done = false;
    FR_TRY(fr_gather_test(s->gather, &is_done));
    if (is_writing_rank(s)) {
        collect(s);
        if (is_done && s->filling != NULL && fr_writer_has_room(s->writer)) {
            hand_over(s);
        }
    }
    return FR_OK;
}

fr_status fr_saves_whole(fr_saves *saves)
{
    int64_t total = fr_tasks_total(tasks_of(saves), saves->about.n_tasks);
    if (total == saves->total) {
        return FR_OK;
    }
    FR_TRY(fr_saves_begin(saves, total));
    for (int64_t i = 0; i < saves->about.n_tasks; i++) {
        FR_TRY(fr_saves_task(saves, i));
    }
    return fr_saves_progress(saves);
}

/* blocked is added up in pieces, so that the line of each file has the time up to its own commit. */
fr_status fr_saves_finish(fr_saves *saves)
{
    fr_saves *s = saves;
    double began = pause(s);
    fr_status status = settle(s);
    while (is_writing_rank(s) && !fr_writer_is_empty(s->writer)) {
        rest(s);
        s->blocked += fr_clock_seconds() - began;
        began = fr_clock_seconds();
    }
    status =
        fr_group_agree(s->about.grid->world, status == FR_OK ? s->failure : status);
    fr_watch_busy(s->about.watch, NULL);
    return status;
}

/* ---- prefixes for inference ------------------------------------------------------------------- */

/* All at once, since no step is under way. Unlike a checkpoint this may wait. */
static fr_status gather_all(const fr_saves *s, fr_gather *gather, fr_checkpoint *into)
{
    FR_TRY(fr_gather_begin(gather, into));
    for (int64_t i = 0; i < s->about.n_tasks; i++) {
        FR_TRY(fr_gather_task(gather, i));
    }
    return fr_gather_wait(gather);
}

/* The buffer is made for this one file, and collect destroys it once the file is written. */
static fr_status add_prefix_file(fr_saves *s, const char *name, fr_gather *gather)
{
    fr_write write = {.name = name,
                      .step = fr_tasks_step(tasks_of(s), s->about.n_tasks)};
    fr_status status = FR_OK;
    if (is_writing_rank(s)) {
        status = fr_describe_tasks(s->about.env, &s->about.identity, tasks_of(s),
                                   s->about.n_tasks, false, &write.checkpoint);
    }
    status = fr_group_agree(s->about.grid->world, status);
    if (status == FR_OK) {
        status = gather_all(s, gather, write.checkpoint);
    }
    if (status == FR_OK && is_writing_rank(s)) {
        add_write(s, &write);
        return FR_OK;
    }
    fr_checkpoint_destroy(&write.checkpoint);
    return status;
}

/* Hand a prefix for inference to the writer, where no step is under way. */
static fr_status save_prefix_file(fr_saves *s, const char *name, fr_gather_what what)
{
    fr_gather *gather = NULL;
    double began = pause(s);
    fr_status status = fr_gather_create(s->about.env, s->about.grid, tasks_of(s),
                                        s->about.n_tasks, what, &gather);
    if (status == FR_OK) {
        status = add_prefix_file(s, name, gather);
    }
    fr_gather_destroy(&gather);
    resume(s, began);
    return status;
}

fr_status fr_saves_prefixes(fr_saves *saves)
{
    FR_TRY(save_prefix_file(saves, "prefix.h5", FR_GATHER_PREFIX));
    return fr_saves_finish(saves);
}

fr_status fr_saves_best(fr_saves *saves)
{
    return save_prefix_file(saves, "best.h5", FR_GATHER_BEST);
}
