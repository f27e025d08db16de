#define _POSIX_C_SOURCE 200809L
#include "train/run.h"

#include "base/file.h"
#include "base/mem.h"
#include "train/run_impl.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t fr_run_step(const fr_run_state *run)
{
    int64_t step = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        step = run->tasks[i].step > step ? run->tasks[i].step : step;
    }
    return step;
}

static void stop_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGUSR1);
}

void fr_run_block_signals(void)
{
    sigset_t wanted;
    stop_signals(&wanted);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
}

/* Whether a file STOP lies in the run folder; `remove` takes it away. */
static bool stop_file(fr_run_state *run, bool remove)
{
    char *path = NULL;
    bool found = false;
    if (fr_join_path(run->ctx, run->config->run.dir, "STOP", &path) == FR_OK) {
        found = fr_file_exists(path);
    }
    if (found && remove && unlink(path) != 0) {
        fr_log(run->ctx, FR_LOG_WARN,
               "warning: cannot remove %s (%s); remove it before the next start", path,
               strerror(errno));
    }
    free(path);
    return found;
}

/* The signals stay blocked and are looked at between steps: nothing happens inside a handler. */
static bool stop_wanted(fr_run_state *run)
{
    sigset_t wanted;
    sigset_t pending;
    bool stop = false;
    stop_signals(&wanted);
    if (sigpending(&pending) == 0) {
        stop = sigismember(&pending, SIGINT) == 1 ||
               sigismember(&pending, SIGTERM) == 1 ||
               sigismember(&pending, SIGUSR1) == 1;
    }
    if (fr_group_rank(run->world) == 0 && !stop) {
        stop = stop_file(run, false);
    }
    return stop;
}

/* Take what was answered by a checkpoint off the queue, so that unblocking does not kill. */
static void consume_signals(const sigset_t *wanted)
{
    static const struct timespec NOW = {0, 0};
    while (sigtimedwait(wanted, NULL, &NOW) > 0) {
    }
}

/* Keep the prefix of the best validation beside the current one. */
static void keep_best(fr_task *task, double loss)
{
    size_t bytes = (size_t)task->n_local * sizeof(float);
    task->best_loss = loss;
    task->best_step = task->step;
    memcpy(task->best.k, task->state.k, bytes);
    memcpy(task->best.v, task->state.v, bytes);
}

static fr_status validate(fr_run_state *run, fr_task *task)
{
    fr_evaluation result;
    fr_stage_prefix prefix = fr_task_prefix(task);
    FR_TRY(fr_evaluate(&run->env, &run->session.grid, run->session.engine, task->valid,
                       &prefix, task->config->batch.microbatch_tokens, NULL, &result));
    bool best = result.loss < task->best_loss;
    if (best) {
        keep_best(task, result.loss);
        FR_TRY(fr_run_save_best(run));
    }
    return fr_group_agree(run->world,
                          fr_metrics_validation(run->metrics, task->config->name,
                                                task->step, &result, best));
}

static bool validation_due(const fr_run_state *run, const fr_task *task)
{
    int64_t every = run->config->run.valid_every;
    bool last = task->step >= task->n_steps;
    return task->valid != NULL && (last || (every > 0 && task->step % every == 0));
}

static fr_status check_numeric(fr_run_state *run, const fr_task *task)
{
    int64_t limit = run->config->run.nonfinite_limit;
    if (task->skipped_in_row < limit) {
        return FR_OK;
    }
    return FR_FAIL(
        run->ctx, FR_ERR_NUMERIC,
        "task %s: %lld steps in a row gave non-finite numbers (step %lld, limit "
        "%lld); lower its learning rate or look at its data",
        task->config->name, (long long)task->skipped_in_row, (long long)task->step,
        (long long)limit);
}

static fr_status step_task(fr_run_state *run, fr_task *task, bool stop, bool *stopping)
{
    fr_step_result result;
    FR_TRY(fr_step_run(&run->env, &run->session.grid, run->session.engine, task, stop,
                       &result));
    *stopping = *stopping || result.stop_requested;
    if (result.skipped) {
        fr_log(run->ctx, FR_LOG_INFO,
               "task %s step %lld: non-finite numbers, step skipped",
               task->config->name, (long long)task->step);
    }
    FR_TRY(fr_group_agree(run->world,
                          fr_metrics_step(run->metrics, task->config->name, task->step,
                                          run->config->run.log_every, &result)));
    FR_TRY(check_numeric(run, task));
    if (validation_due(run, task)) {
        FR_TRY(validate(run, task));
    }
    task->stopped = task->step >= task->n_steps;
    return FR_OK;
}

/* One step of every live task; false in *live when none is left. */
static fr_status run_round(fr_run_state *run, bool *live, bool *stopping)
{
    bool stop = stop_wanted(run);
    *live = false;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        if (task->step < task->n_steps) {
            FR_TRY(step_task(run, task, stop, stopping));
            *live = *live || task->step < task->n_steps;
        }
    }
    if (run->options->stop_after > 0 && fr_run_step(run) >= run->options->stop_after) {
        *stopping = *stopping || *live;
    }
    return FR_OK;
}

static fr_status run_steps(fr_run_state *run)
{
    bool live = false;
    bool stopping = false;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        live = live || run->tasks[i].step < run->tasks[i].n_steps;
    }
    while (live && !stopping) {
        FR_TRY(run_round(run, &live, &stopping));
        bool due = fr_run_step(run) % run->config->run.save_every == 0;
        if (due || !live || stopping) {
            FR_TRY(fr_run_save(run));
        }
    }
    if (fr_group_rank(run->world) == 0) {
        /* answered by the checkpoint: the next start must not stop for it again */
        (void)stop_file(run, true);
    }
    if (!live) {
        return fr_run_save_prefixes(run);
    }
    return FR_FAIL(
        run->ctx, FR_ERR_STOPPED,
        "stopped on request after step %lld, checkpoint written to %s; start "
        "again with --resume to go on",
        (long long)fr_run_step(run), run->config->run.dir);
}

static void close_run(fr_run_state *run)
{
    fr_metrics_close(&run->metrics);
    for (int64_t i = 0; run->tasks != NULL && i < run->n_tasks; i++) {
        fr_task_close(&run->tasks[i]);
    }
    free(run->tasks);
    free(run->config_text);
    free(run->resumed_path);
    fr_checkpoint_destroy(&run->resumed);
    fr_session_close(&run->session);
}

fr_status fr_run(fr_ctx *ctx, fr_group *world, const fr_config *config,
                 const fr_run_options *options)
{
    fr_run_state run = {.ctx = ctx,
                        .world = world,
                        .config = config,
                        .options = options,
                        .saved_step = -1};
    sigset_t wanted;
    stop_signals(&wanted);
    fr_run_block_signals();
    fr_status status = fr_run_prepare(&run);
    if (status == FR_OK) {
        status = run_steps(&run);
    }
    close_run(&run);
    consume_signals(&wanted);
    (void)sigprocmask(SIG_UNBLOCK, &wanted, NULL);
    return status;
}
