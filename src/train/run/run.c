/* The order of a run: prepare, measure the base, train, write, report.
 *
 * Signals are held from the first step on. Before it there is nothing that a checkpoint could save, so a signal
 * ends the rank at once; afterwards it asks for a stop after the same step on all ranks.
 *
 * The verdict comes after all files are written. A run that gave no usable prefix fails, but what it has stays
 * there to be looked at. */
#include "train/run/run.h"

#include "base/clock.h"
#include "device/profile.h"
#include "train/run/run_impl.h"

#include <stdlib.h>

/* The file STOP is answered only here, after the checkpoint is committed: a kill before that leaves the request in
 * place. */
static fr_status run_rounds(fr_run_state *run)
{
    fr_rounds_params params = {.env = &run->env,
                               .grid = &run->session.grid,
                               .engine = run->session.engine,
                               .tasks = run->tasks,
                               .n_tasks = run->n_tasks,
                               .metrics = run->metrics,
                               .saves = run->saves,
                               .watch = run->watch,
                               .stop = &run->stop,
                               .stop_after = run->options->stop_after};
    fr_status status = fr_rounds_run(&params);
    if (status == FR_OK || status == FR_ERR_STOPPED) {
        fr_stop_request_answer(&run->stop);
    }
    return status;
}

/* Profiled time is that of the rounds alone: neither loading nor the last files belong to a step. */
static fr_status run_steps(fr_run_state *run)
{
    double began = fr_clock_seconds();
    if (run->options->profile) {
        fr_device_profile_start(run->session.device);
    }
    FR_TRY(run_rounds(run));
    double seconds = fr_clock_seconds() - began;
    if (run->options->profile) {
        FR_TRY(fr_run_report_profile(run, seconds));
    }
    FR_TRY(fr_saves_prefixes(run->saves));
    FR_TRY(fr_run_report_sweep(run));
    FR_TRY(fr_run_verdict(run));
    return fr_run_report_gain(run);
}

/* Saves first, because its writer still uses the tasks and the metrics; the lock last, when nothing writes any
 * more. */
static void close_run(fr_run_state *run)
{
    fr_saves_close(&run->saves);
    fr_metrics_close(&run->metrics);
    for (int64_t i = 0; run->tasks != NULL && i < run->n_tasks; i++) {
        fr_task_close(&run->tasks[i]);
    }
    free(run->tasks);
    free(run->config_text);
    free(run->resumed_path);
    fr_checkpoint_destroy(&run->resumed);
    fr_session_close(&run->session);
    fr_lock_release(&run->lock);
}

fr_status fr_run(fr_ctx *ctx, fr_group *world, const fr_config *config,
                 const fr_run_options *options)
{
    fr_run_state run = {.ctx = ctx,
                        .world = world,
                        .config = config,
                        .options = options,
                        .stop = {ctx, options->signals,
                                 fr_group_rank(world) == 0 ? config->run.dir : NULL}};
    *options->watch = NULL;
    fr_status status = fr_run_prepare(&run);
    if (status == FR_OK) {
        status = fr_run_measure_base(&run);
    }
    if (status == FR_OK) {
        fr_signals_hold(options->signals, fr_group_rank(world));
        status = run_steps(&run);
    }
    /* The rank line in the run folder then ends with "failed" and not with "ended". */
    if (status != FR_OK && status != FR_ERR_STOPPED) {
        fr_watch_fail(run.watch);
    }
    fr_watch_busy(run.watch, "closing");
    close_run(&run);
    return status;
}
