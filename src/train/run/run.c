#include "train/run/run.h"

#include "device/profile.h"
#include "train/run/run_impl.h"

#include <stdlib.h>

int64_t fr_run_step(const fr_run_state *run)
{
    int64_t step = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        step = run->tasks[i].progress.step > step ? run->tasks[i].progress.step : step;
    }
    return step;
}

int64_t fr_run_total(const fr_run_state *run)
{
    int64_t total = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        total += run->tasks[i].progress.step;
    }
    return total;
}

static fr_status run_steps(fr_run_state *run)
{
    double began = fr_now();
    if (run->options->profile) {
        fr_device_profile_start(run->session.device);
    }
    fr_status status = fr_run_rounds(run);
    double seconds = fr_now() - began;
    if ((status == FR_OK || status == FR_ERR_STOPPED) &&
        fr_group_rank(run->world) == 0) {
        fr_run_answer_stop(run);
    }
    FR_TRY(status);
    if (run->options->profile) {
        FR_TRY(fr_run_report_profile(run, seconds));
    }
    FR_TRY(fr_run_save_prefixes(run));
    FR_TRY(fr_run_report_sweep(run));
    FR_TRY(fr_run_verdict(run));
    return fr_run_report_gain(run);
}

static void close_run(fr_run_state *run)
{
    fr_run_close_saves(run);
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
                        .saves = {.total = -1}};
    *options->watch = NULL;
    fr_status status = fr_run_prepare(&run);
    if (status == FR_OK) {
        status = fr_run_measure_base(&run);
    }
    if (status == FR_OK) {
        fr_signals_hold(options->signals, fr_group_rank(world));
        status = run_steps(&run);
    }
    if (status != FR_OK && status != FR_ERR_STOPPED) {
        fr_watch_fail(run.watch);
    }
    fr_watch_busy(run.watch, "closing");
    close_run(&run);
    return status;
}
