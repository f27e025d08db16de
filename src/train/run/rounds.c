/* The training loop: this stage's part of the schedule, and what happens between rounds. While microbatches are in
 * flight nothing collective may wait: decisions are pure functions of words that all ranks agreed on, and what
 * fails on one rank alone is told with the next word. Validation and agreeing wait until the stage has drained; a
 * checkpoint does not: each task's layers leave for it right after the task's own step. */
#include "train/run/run_impl.h"

#include "base/file.h"
#include "base/mem.h"
#include "train/step/schedule.h"
#include "train/step/stopping.h"

#include <stdlib.h>
#include <string.h>

/* A task's last step as this rank sees it. */
typedef struct progress {
    bool stepped;  /* in the latest round */
    bool reported; /* its result is in the metrics and its stopping rules are decided */
    bool untold;   /* a rule has stopped it, and nobody has been told why */
    bool unsaved;  /* the checkpoint that was begun waits for it */
} progress;

typedef struct rounds {
    fr_run_state *run;
    fr_schedule schedule;
    fr_steps *steps;
    progress *tasks;   /* [n_tasks] */
    fr_status failure; /* of this rank alone, yet untold */
    bool stop;         /* the leading word of a round asked for it, or --stop-after */
    bool failed;       /* the leading word says that some rank has failed */
} rounds;

/* A failure that the other ranks cannot know of. */
static fr_status leave_alone(const rounds *r, fr_status status)
{
    return status == FR_OK ? FR_OK : fr_group_abandon(r->run->world, status);
}

/* ---- stop requests ---------------------------------------------------------------------------- */

/* Whether a file STOP lies in the run folder. */
static bool stop_file(const fr_run_state *run)
{
    char *path = NULL;
    bool found = false;
    if (fr_join_path(run->ctx, run->config->run.dir, "STOP", &path) == FR_OK) {
        found = fr_file_exists(path);
    }
    free(path);
    return found;
}

static bool stop_wanted(const fr_run_state *run)
{
    return fr_signals_stop_wanted(run->options->signals) ||
           (fr_group_rank(run->world) == 0 && stop_file(run));
}

/* ---- results ---------------------------------------------------------------------------------- */

static void note_failure(rounds *r, fr_status status)
{
    r->failure = r->failure == FR_OK ? status : r->failure;
}

static fr_status save_task(rounds *r, int64_t index)
{
    if (!r->tasks[index].unsaved) {
        return FR_OK;
    }
    r->tasks[index].unsaved = false;
    return leave_alone(r, fr_run_save_task(r->run, index));
}

/* Finish the task's step if it is under way, once: metrics, stopping rules, its part of a checkpoint. */
static fr_status report_step(rounds *r, int64_t index)
{
    fr_run_state *run = r->run;
    fr_task *task = &run->tasks[index];
    fr_step_result result;
    if (r->tasks[index].reported) {
        return FR_OK;
    }
    FR_TRY(leave_alone(r, fr_step_finish(r->steps, index, &result)));
    r->tasks[index].reported = true;
    r->stop = r->stop || result.stop_requested;
    r->failed = r->failed || result.failed;
    if (result.skipped) {
        fr_log(run->ctx, FR_LOG_INFO,
               "task %s step %lld: non-finite numbers, step skipped",
               task->config->name, (long long)task->progress.step);
    }
    note_failure(r,
                 fr_metrics_step(run->metrics, task->config->name, task->progress.step,
                                 run->config->run.log_every, &result));
    fr_stop_reason reason = fr_task_decide(task, run->config->run.nonfinite_limit);
    r->tasks[index].untold = reason != FR_STOP_NONE;
    return save_task(r, index);
}

/* ---- between rounds --------------------------------------------------------------------------- */

/* Keep the prefix of the best validation beside the current one. */
static void keep_best(fr_task *task)
{
    size_t bytes = (size_t)task->n_local * sizeof(float);
    memcpy(task->best.k, task->state.k, bytes);
    memcpy(task->best.v, task->state.v, bytes);
}

static fr_status validate(fr_run_state *run, fr_task *task)
{
    fr_evaluation result;
    fr_stage_prefix prefix = fr_task_prefix(task);
    FR_TRY(fr_evaluate(&run->env, &run->session.grid, run->session.engine, task->valid,
                       &prefix, task->config->batch.microbatch_tokens, NULL, &result));
    bool best = fr_task_count_validation(task, result.loss);
    if (best) {
        keep_best(task);
        FR_TRY(fr_run_save_best(run));
    }
    return fr_group_agree(run->world,
                          fr_metrics_validation(run->metrics, task->config->name,
                                                task->progress.step, &result, best));
}

/* Steps of a task when the one under way is done: the same on every rank, however far the word has come. */
static int64_t planned_step(const rounds *r, int64_t index)
{
    return r->run->tasks[index].progress.step +
           (fr_step_is_done(r->steps, index) ? 0 : 1);
}

static bool is_multiple(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static bool validation_due(const rounds *r, int64_t index)
{
    const fr_task *task = &r->run->tasks[index];
    int64_t step = planned_step(r, index);
    return r->tasks[index].stepped && task->valid != NULL &&
           (step >= task->n_steps ||
            is_multiple(step, r->run->config->run.valid_every));
}

/* Any task that still trains makes a checkpoint due: after a resume they may stand at different steps. */
static bool save_due(const rounds *r)
{
    for (int64_t i = 0; i < r->run->n_tasks; i++) {
        if (r->tasks[i].stepped &&
            is_multiple(planned_step(r, i), r->run->config->run.save_every)) {
            return true;
        }
    }
    return false;
}

/* A checkpoint of the round that nothing else ends: tasks whose step is still under way follow when it is done. */
static fr_status begin_save(rounds *r)
{
    fr_run_state *run = r->run;
    int64_t total = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        total += planned_step(r, i);
        r->tasks[i].unsaved = true;
    }
    FR_TRY(leave_alone(r, fr_run_begin_save(run, total)));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        if (r->tasks[i].reported) {
            FR_TRY(save_task(r, i));
        }
    }
    return FR_OK;
}

/* Something between this round and the next needs all tasks' steps done. */
static bool pause_due(const rounds *r)
{
    const fr_run_state *run = r->run;
    bool due = r->stop || r->failed || !fr_run_is_live(run);
    for (int64_t i = 0; i < run->n_tasks; i++) {
        bool ends = planned_step(r, i) >= run->tasks[i].n_steps;
        due = due || r->tasks[i].untold || (r->tasks[i].stepped && ends) ||
              validation_due(r, i);
        due = due || (run->options->stop_after > 0 && r->tasks[i].stepped &&
                      planned_step(r, i) >= run->options->stop_after);
    }
    return due;
}

static fr_status validate_tasks(rounds *r)
{
    fr_run_state *run = r->run;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        bool nonfinite =
            fr_task_decide(task, run->config->run.nonfinite_limit) == FR_STOP_NONFINITE;
        if (!nonfinite && validation_due(r, i)) {
            FR_TRY(validate(run, task));
        }
        if (r->tasks[i].stepped || r->tasks[i].untold) {
            r->tasks[i].untold = false;
            FR_TRY(fr_run_decide(run, task));
        }
    }
    return FR_OK;
}

/* Nothing is in flight: all ranks are here, or will be without this one's help. */
static fr_status pause_round(rounds *r)
{
    fr_run_state *run = r->run;
    int64_t stop_after = run->options->stop_after;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        FR_TRY(report_step(r, i));
    }
    FR_TRY(leave_alone(r, fr_engine_settle(run->session.engine)));
    FR_TRY(leave_alone(r, fr_run_settle_saves(run)));
    note_failure(r, run->saves.failure);
    fr_status untold = r->failure;
    r->failure = FR_OK;
    FR_TRY(fr_group_agree(run->world, untold));
    bool save = save_due(r);
    FR_TRY(validate_tasks(r));
    bool live = fr_run_is_live(run);
    r->stop = r->stop || (stop_after > 0 && fr_run_step(run) >= stop_after);
    if (save || !live || r->stop) {
        FR_TRY(leave_alone(r, fr_run_save(run)));
    }
    if (!live || r->stop) {
        FR_TRY(fr_run_finish_saves(run));
    }
    if (live && r->stop) {
        return FR_FAIL(
            run->ctx, FR_ERR_STOPPED,
            "stopped on request after step %lld, checkpoint written to %s; start "
            "again with --resume to go on",
            (long long)fr_run_step(run), run->config->run.dir);
    }
    return FR_OK;
}

static fr_status answer_round(rounds *r, const fr_action *action)
{
    fr_run_state *run = r->run;
    int64_t lead = r->schedule.lead;
    if (lead >= 0) {
        if (!action->must && !fr_step_is_done(r->steps, lead)) {
            fr_schedule_defer(&r->schedule);
            return FR_OK;
        }
        FR_TRY(report_step(r, lead));
    }
    if (pause_due(r)) {
        if (fr_schedule_in_flight(&r->schedule) > 0) {
            fr_schedule_drain(&r->schedule);
            return FR_OK;
        }
        FR_TRY(pause_round(r));
    } else if (save_due(r)) {
        FR_TRY(begin_save(r));
    }
    if (!fr_run_is_live(run)) {
        fr_schedule_end(&r->schedule);
        return FR_OK;
    }
    for (int64_t i = 0; i < run->n_tasks; i++) {
        r->tasks[i].stepped = false;
    }
    fr_schedule_begin_round(&r->schedule);
    return FR_OK;
}

/* ---- microbatches ------------------------------------------------------------------------------- */

/* Requests ride on the word of a round's first task, which all ranks read before the next round. */
static void close_step(rounds *r, int64_t index)
{
    bool leads = index == r->schedule.lead;
    fr_step_close(r->steps, index, leads && stop_wanted(r->run),
                  leads && r->failure != FR_OK);
}

static fr_status answer_open(rounds *r, const fr_action *action)
{
    int64_t index = action->task;
    int64_t n_own = 0;
    if (!action->must && !fr_step_is_done(r->steps, index)) {
        fr_schedule_defer(&r->schedule);
        return FR_OK;
    }
    FR_TRY(report_step(r, index));
    if (r->run->tasks[index].progress.stopped) {
        fr_schedule_open(&r->schedule, 0, false);
        return FR_OK;
    }
    FR_TRY(leave_alone(r, fr_step_begin(r->steps, index, &n_own)));
    r->tasks[index] = (progress){.stepped = true};
    fr_schedule_open(&r->schedule, n_own, true);
    if (n_own == 0) {
        close_step(r, index);
        return FR_OK;
    }
    return leave_alone(
        r, fr_engine_expect(r->run->session.engine, fr_step_pass(r->steps, index), 0));
}

static fr_status run_forward(rounds *r, const fr_action *action)
{
    fr_engine *engine = r->run->session.engine;
    fr_pass *pass = fr_step_pass(r->steps, action->task);
    FR_TRY(fr_engine_forward(engine, pass, action->microbatch, action->flight));
    if (action->closes) {
        return FR_OK;
    }
    return fr_engine_expect(engine, pass, action->microbatch + 1);
}

static fr_status run_microbatch(rounds *r, const fr_action *action)
{
    fr_run_state *run = r->run;
    const fr_task *task = &run->tasks[action->task];
    fr_watch_at(run->watch, task->progress.step + 1, task->config->name,
                action->microbatch);
    fr_steps_progress(r->steps);
    FR_TRY(leave_alone(r, fr_run_progress_saves(run)));
    note_failure(r, run->saves.failure);
    if (action->act == FR_ACT_FORWARD) {
        return leave_alone(r, run_forward(r, action));
    }
    FR_TRY(leave_alone(r, fr_engine_backward(run->session.engine,
                                             fr_step_pass(r->steps, action->task),
                                             action->flight)));
    if (action->closes) {
        close_step(r, action->task);
    }
    return FR_OK;
}

static fr_status run_rounds(rounds *r)
{
    fr_status status = FR_OK;
    while (status == FR_OK) {
        fr_action action = fr_schedule_next(&r->schedule);
        switch (action.act) {
        case FR_ACT_ROUND:
            status = answer_round(r, &action);
            break;
        case FR_ACT_OPEN:
            status = answer_open(r, &action);
            break;
        case FR_ACT_FORWARD:
        case FR_ACT_BACKWARD:
            status = run_microbatch(r, &action);
            break;
        case FR_ACT_END:
        default:
            return FR_OK;
        }
    }
    return status;
}

/* No step is under way, so none is left to report. */
static fr_status rounds_init(fr_run_state *run, rounds *r)
{
    *r = (rounds){.run = run};
    const fr_grid *grid = &run->session.grid;
    int64_t max_in_flight = fr_schedule_max_in_flight(grid->n_stages, grid->stage,
                                                      run->config->run.warmup_depth);
    FR_TRY(fr_alloc(run->ctx, run->n_tasks, sizeof *r->tasks, &r->tasks));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        r->tasks[i].reported = true;
    }
    FR_TRY(fr_schedule_init(run->ctx, run->n_tasks, max_in_flight, &r->schedule));
    return fr_steps_create(&run->env, &run->session.grid, run->session.engine,
                           run->tasks, run->n_tasks, &r->steps);
}

fr_status fr_run_rounds(fr_run_state *run)
{
    rounds r;
    fr_status status = fr_group_agree(run->world, rounds_init(run, &r));
    if (status == FR_OK) {
        status = run_rounds(&r);
    }
    fr_steps_destroy(&r.steps);
    fr_schedule_fini(&r.schedule);
    free(r.tasks);
    return status;
}
