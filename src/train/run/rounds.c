/* The training loop: this stage's part of the schedule, and what happens between rounds.
 *
 * A round gives every live task one step. The schedule (schedule.h) says what this stage does next: run a forward
 * or a backward, open the next task's step, or begin a round.
 *
 * No collective may block while microbatches are in flight. Every decision is therefore a pure function of the step
 * summary that all ranks have agreed on, and a failure of one rank is reported in its next summary. Requests to
 * stop and failures travel in the summary of a round's first step, the leading step, which all ranks read before
 * the next round.
 *
 * What needs agreement waits until the stage has drained (pause_round): validation, a stopping rule that fired, the
 * end. A checkpoint does not: each task's layers leave for it right after the task's own step. */
#include "train/run/rounds.h"

#include "base/mem.h"
#include "train/run/task_end.h"
#include "train/run/tasks.h"
#include "train/step/evaluate.h"
#include "train/step/schedule.h"
#include "train/step/step.h"
#include "train/step/stopping.h"

#include <stdlib.h>
#include <string.h>

/* A task's last step as this rank sees it. */
typedef struct progress {
    bool stepped;  /* in the latest round */
    bool reported; /* its result is in the metrics and its stopping rules are decided */
    bool unreported; /* a stopping rule fired; the message has not been printed yet */
    bool unsaved;    /* the checkpoint that was begun waits for it */
} progress;

typedef struct rounds {
    fr_rounds_params about;
    const fr_config *config;
    fr_schedule schedule;
    fr_steps *steps;
    progress *tasks;   /* [n_tasks] */
    fr_status failure; /* of this rank alone; the others do not know of it yet */
    bool stop;   /* the leading summary of a round asked for it, or --stop-after */
    bool failed; /* the leading summary says that some rank has failed */
} rounds;

/* A failure that the other ranks cannot know of. */
static fr_status leave_alone(const rounds *r, fr_status status)
{
    return status == FR_OK ? FR_OK : fr_group_abandon(r->about.grid->world, status);
}

/* ---- results ---------------------------------------------------------------------------------- */

/* A task's layers leave for the checkpoint right after its own step, when they are those of that step on every
 * rank. */
static fr_status save_task(rounds *r, int64_t index)
{
    if (!r->tasks[index].unsaved) {
        return FR_OK;
    }
    r->tasks[index].unsaved = false;
    return fr_saves_task(r->about.saves, index);
}

/* Finish the task's step if it is under way, once: metrics, stopping rules, its part of a checkpoint. */
static fr_status report_step(rounds *r, int64_t index)
{
    const fr_rounds_params *run = &r->about;
    fr_task *task = &run->tasks[index];
    fr_step_result result;
    if (r->tasks[index].reported) {
        return FR_OK;
    }
    FR_TRY(fr_step_finish(r->steps, index, &result));
    r->tasks[index].reported = true;
    /* Only leading summaries carry these flags, so all ranks see them at the same round. */
    r->stop = r->stop || result.stop_requested;
    r->failed = r->failed || result.failed;
    if (result.skipped) {
        fr_log(run->env->ctx, FR_LOG_INFO,
               "task %s step %lld: non-finite numbers, step skipped",
               task->config->name, (long long)task->progress.step);
    }
    r->failure = fr_first_failure(r->failure,
                                  fr_metrics_step(run->metrics, task->config->name,
                                                  task->progress.step,
                                                  r->config->run.log_every, &result));
    fr_stop_reason reason = fr_task_decide(task, r->config->run.nonfinite_limit);
    r->tasks[index].unreported = reason != FR_STOP_NONE;
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

/* A loss counts as the best before it is written: all ranks have the same loss and decide alike. best.h5 is handed
 * over first, so the metrics never name a best prefix that no writer has. */
static fr_status validate(const fr_rounds_params *run, fr_task *task)
{
    fr_evaluation result;
    fr_stage_prefix prefix = fr_task_prefix(task);
    FR_TRY(fr_evaluate(run->env, run->grid, run->engine, task->valid, &prefix,
                       task->microbatch_tokens, NULL, &result));
    bool best = fr_task_count_validation(task, result.loss);
    if (best) {
        keep_best(task);
        FR_TRY(fr_saves_best(run->saves));
    }
    return fr_group_agree(run->grid->world,
                          fr_metrics_validation(run->metrics, task->config->name,
                                                task->progress.step, &result, best));
}

/* Steps of a task when the one under way is done: the same on every rank, however far its summary has come. */
static int64_t planned_step(const rounds *r, int64_t index)
{
    return r->about.tasks[index].progress.step +
           (fr_step_is_done(r->steps, index) ? 0 : 1);
}

static bool is_multiple(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

/* After the last step always, so that the best prefix of a task is known when it ends. */
static bool validation_due(const rounds *r, int64_t index)
{
    const fr_task *task = &r->about.tasks[index];
    int64_t step = planned_step(r, index);
    return r->tasks[index].stepped && task->valid != NULL &&
           (step >= task->n_steps || is_multiple(step, r->config->run.valid_every));
}

/* Any task that still trains makes a checkpoint due: after a resume they may stand at different steps. */
static bool save_due(const rounds *r)
{
    for (int64_t i = 0; i < r->about.n_tasks; i++) {
        if (r->tasks[i].stepped &&
            is_multiple(planned_step(r, i), r->config->run.save_every)) {
            return true;
        }
    }
    return false;
}

/* A checkpoint of the round that nothing else ends: tasks whose step is still under way follow when it is done. */
static fr_status begin_save(rounds *r)
{
    const fr_rounds_params *run = &r->about;
    int64_t total = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        total += planned_step(r, i);
        r->tasks[i].unsaved = true;
    }
    FR_TRY(fr_saves_begin(run->saves, total));
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
    const fr_rounds_params *run = &r->about;
    /* Every term is the same on all ranks. Flags come from leading summaries, and steps are planned ones. Results
     * are reported, and rules decided, at fixed points of the schedule. */
    bool due = r->stop || r->failed || !fr_tasks_are_live(run->tasks, run->n_tasks);
    for (int64_t i = 0; i < run->n_tasks; i++) {
        bool ends = planned_step(r, i) >= run->tasks[i].n_steps;
        due = due || r->tasks[i].unreported || (r->tasks[i].stepped && ends) ||
              validation_due(r, i);
        due = due || (run->stop_after > 0 && r->tasks[i].stepped &&
                      planned_step(r, i) >= run->stop_after);
    }
    return due;
}

static fr_status validate_tasks(rounds *r)
{
    const fr_rounds_params *run = &r->about;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        /* A task that diverged is not validated: its loss would not be finite and would say nothing new. */
        bool nonfinite =
            fr_task_decide(task, r->config->run.nonfinite_limit) == FR_STOP_NONFINITE;
        if (!nonfinite && validation_due(r, i)) {
            FR_TRY(validate(run, task));
        }
        if (r->tasks[i].stepped || r->tasks[i].unreported) {
            r->tasks[i].unreported = false;
            FR_TRY(fr_task_end_decide(run->env, run->grid->world, run->metrics, task,
                                      run->n_tasks == 1));
        }
    }
    return FR_OK;
}

/* Finish what is under way on this rank. */
static fr_status settle(rounds *r)
{
    for (int64_t i = 0; i < r->about.n_tasks; i++) {
        FR_TRY(report_step(r, i));
    }
    FR_TRY(fr_engine_settle(r->about.engine));
    FR_TRY(fr_saves_settle(r->about.saves));
    r->failure = fr_first_failure(r->failure, fr_saves_failure(r->about.saves));
    return FR_OK;
}

/* No message of a step is under way now, so a failure of one rank, such as a full disk, can end all of them. */
static fr_status agree_on_failures(rounds *r)
{
    fr_status failure = r->failure;
    r->failure = FR_OK;
    return fr_group_agree(r->about.grid->world, failure);
}

/* Nothing is in flight: all ranks are here, or will be without this one's help. */
static fr_status pause_round(rounds *r)
{
    const fr_rounds_params *run = &r->about;
    FR_TRY(leave_alone(r, settle(r)));
    FR_TRY(agree_on_failures(r));
    /* Before validate_tasks, after which a task may have ended. */
    bool save = save_due(r);
    FR_TRY(validate_tasks(r));
    bool live = fr_tasks_are_live(run->tasks, run->n_tasks);
    int64_t step = fr_tasks_step(run->tasks, run->n_tasks);
    r->stop = r->stop || (run->stop_after > 0 && step >= run->stop_after);
    if (save || !live || r->stop) {
        FR_TRY(leave_alone(r, fr_saves_whole(run->saves)));
    }
    if (!live || r->stop) {
        FR_TRY(fr_saves_finish(run->saves));
    }
    if (live && r->stop) {
        return FR_FAIL(
            run->env->ctx, FR_ERR_STOPPED,
            "stopped on request after step %lld, checkpoint written to %s; start "
            "again with --resume to go on",
            (long long)step, r->config->run.dir);
    }
    return FR_OK;
}

/* Whether another round begins. The leading step of the round before must be done, because its summary says so. A
 * stage that need not answer yet defers and runs a backward meanwhile; one that must answer waits for the
 * reduction.
 *
 * Then one of three things happens: the stage drains for a pause, a checkpoint begins and training goes on, or
 * neither. */
static fr_status answer_round(rounds *r, const fr_action *action)
{
    const fr_rounds_params *run = &r->about;
    int64_t lead = r->schedule.lead;
    if (lead >= 0) {
        if (!action->must && !fr_step_is_done(r->steps, lead)) {
            fr_schedule_defer(&r->schedule);
            return FR_OK;
        }
        FR_TRY(leave_alone(r, report_step(r, lead)));
    }
    if (pause_due(r)) {
        if (fr_schedule_in_flight(&r->schedule) > 0) {
            fr_schedule_drain(&r->schedule);
            return FR_OK;
        }
        FR_TRY(pause_round(r));
    } else if (save_due(r)) {
        FR_TRY(leave_alone(r, begin_save(r)));
    }
    if (!fr_tasks_are_live(run->tasks, run->n_tasks)) {
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

/* Requests and failures are read as late as possible, at the close of the leading step, and only there. */
static void close_step(rounds *r, int64_t index)
{
    bool leads = index == r->schedule.lead;
    fr_step_close(r->steps, index, leads && fr_stop_request_is_made(r->about.stop),
                  leads && r->failure != FR_OK);
}

/* A task's step begins only when its last one is done, since its forwards need the updated prefix. A replica may
 * get no microbatch of a small step: it closes the step at once and still takes part in the reductions. */
static fr_status answer_open(rounds *r, const fr_action *action)
{
    int64_t index = action->task;
    int64_t n_own = 0;
    if (!action->must && !fr_step_is_done(r->steps, index)) {
        fr_schedule_defer(&r->schedule);
        return FR_OK;
    }
    FR_TRY(report_step(r, index));
    if (r->about.tasks[index].progress.stopped) {
        fr_schedule_open(&r->schedule, 0, false);
        return FR_OK;
    }
    FR_TRY(fr_step_begin(r->steps, index, &n_own));
    r->tasks[index] = (progress){.stepped = true};
    fr_schedule_open(&r->schedule, n_own, true);
    if (n_own == 0) {
        close_step(r, index);
        return FR_OK;
    }
    return fr_engine_expect(r->about.engine, fr_step_pass(r->steps, index), 0);
}

/* The next input is expected as soon as this forward is done, so that it arrives during the backward that follows. */
static fr_status run_forward(rounds *r, const fr_action *action)
{
    fr_engine *engine = r->about.engine;
    fr_pass *pass = fr_step_pass(r->steps, action->task);
    fr_status status = fr_engine_forward(engine, pass, action->microbatch);
    return status != FR_OK || action->closes
               ? status
               : fr_engine_expect(engine, pass, action->microbatch + 1);
}

/* The oldest microbatch in flight; the last one of its step closes it. */
static fr_status run_backward(rounds *r, const fr_action *action)
{
    fr_status status = fr_engine_backward(r->about.engine);
    if (status == FR_OK && action->closes) {
        close_step(r, action->task);
    }
    return status;
}

/* Between microbatches: what the ranks agree on and what is saved moves on. */
static fr_status progress_others(rounds *r)
{
    fr_steps_progress(r->steps);
    FR_TRY(fr_saves_progress(r->about.saves));
    r->failure = fr_first_failure(r->failure, fr_saves_failure(r->about.saves));
    return FR_OK;
}

static fr_status run_microbatch(rounds *r, const fr_action *action)
{
    const fr_task *task = &r->about.tasks[action->task];
    fr_watch_at(r->about.watch, task->progress.step + 1, task->config->name,
                action->microbatch);
    FR_TRY(progress_others(r));
    return action->act == FR_ACT_FORWARD ? run_forward(r, action)
                                         : run_backward(r, action);
}

/* answer_round reports its failures itself, partly by agreement. The other actions are this rank's alone, and the
 * others would wait for it without leave_alone. */
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
            status = leave_alone(r, answer_open(r, &action));
            break;
        case FR_ACT_FORWARD:
        case FR_ACT_BACKWARD:
            status = leave_alone(r, run_microbatch(r, &action));
            break;
        case FR_ACT_END:
        default:
            return FR_OK;
        }
    }
    return status;
}

/* No step is under way, so none is left to report. */
static fr_status rounds_init(const fr_rounds_params *params, rounds *r)
{
    const fr_grid *grid = params->grid;
    *r = (rounds){.about = *params, .config = params->env->config};
    int64_t max_in_flight = fr_schedule_max_in_flight(grid->n_stages, grid->stage,
                                                      r->config->run.warmup_depth);
    FR_TRY(fr_alloc(params->env->ctx, params->n_tasks, sizeof *r->tasks, &r->tasks));
    for (int64_t i = 0; i < params->n_tasks; i++) {
        r->tasks[i].reported = true;
    }
    FR_TRY(fr_schedule_init(params->env->ctx, params->n_tasks, max_in_flight,
                            &r->schedule));
    return fr_steps_create(params->env, params->grid,
                           fr_engine_replicas(params->engine), params->tasks,
                           params->n_tasks, &r->steps);
}

fr_status fr_rounds_run(const fr_rounds_params *params)
{
    rounds r;
    fr_status status = fr_group_agree(params->grid->world, rounds_init(params, &r));
    if (status == FR_OK) {
        status = run_rounds(&r);
    }
    fr_steps_destroy(&r.steps);
    fr_schedule_fini(&r.schedule);
    free(r.tasks);
    return status;
}
