#include "train/run_impl.h"

#include "train/stopping.h"

#include <stdio.h>
#include <string.h>

enum { REASON_BYTES = 160 };

static void describe(const fr_run_state *run, const fr_task *task,
                     fr_stop_reason reason, char out[REASON_BYTES])
{
    switch (reason) {
    case FR_STOP_NONFINITE:
        (void)snprintf(out, REASON_BYTES,
                       "%lld steps in a row gave non-finite numbers (limit %lld)",
                       (long long)task->skipped_in_row,
                       (long long)run->config->run.nonfinite_limit);
        break;
    case FR_STOP_BELOW:
        (void)snprintf(out, REASON_BYTES,
                       "validation loss %.4f is below its stop_below %g",
                       task->valid_loss, task->config->stop_below);
        break;
    case FR_STOP_PATIENCE:
        (void)snprintf(out, REASON_BYTES,
                       "%lld validations without a better loss than %.4f of step %lld",
                       (long long)task->stale_validations, task->best_loss,
                       (long long)task->best_step);
        break;
    case FR_STOP_STEPS:
    case FR_STOP_NONE:
    default:
        (void)snprintf(out, REASON_BYTES, "its steps are done");
        break;
    }
}

bool fr_run_is_live(const fr_run_state *run)
{
    bool live = false;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        live = live || !run->tasks[i].stopped;
    }
    return live;
}

fr_status fr_run_decide(fr_run_state *run, fr_task *task)
{
    char text[REASON_BYTES];
    fr_stop_reason reason = fr_task_decide(task, run->config->run.nonfinite_limit);
    if (reason == FR_STOP_NONE || reason == FR_STOP_STEPS) {
        return FR_OK;
    }
    describe(run, task, reason, text);
    if (reason == FR_STOP_NONFINITE && run->n_tasks == 1) {
        return FR_FAIL(run->ctx, FR_ERR_NUMERIC,
                       "task %s step %lld: %s; lower its learning rate or look at its "
                       "data",
                       task->config->name, (long long)task->step, text);
    }
    fr_log(run->ctx, FR_LOG_INFO, "%stask %s stopped after step %lld: %s",
           reason == FR_STOP_NONFINITE ? "warning: " : "", task->config->name,
           (long long)task->step, text);
    return fr_group_agree(run->world,
                          fr_metrics_stopped(run->metrics, task->config->name,
                                             task->step, task->n_steps - task->step,
                                             fr_stop_reason_name(reason)));
}

void fr_run_tell_stopped(const fr_run_state *run, fr_task *task)
{
    char text[REASON_BYTES];
    fr_stop_reason reason = fr_task_decide(task, run->config->run.nonfinite_limit);
    if (reason != FR_STOP_NONE && reason != FR_STOP_STEPS) {
        describe(run, task, reason, text);
        fr_log(run->ctx, FR_LOG_INFO, "task %s stays stopped at step %lld: %s",
               task->config->name, (long long)task->step, text);
    }
}

fr_status fr_run_verdict(fr_run_state *run)
{
    enum { NAMES_BYTES = 400 };
    char names[NAMES_BYTES] = "";
    size_t used = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        bool failed =
            fr_task_decide(task, run->config->run.nonfinite_limit) == FR_STOP_NONFINITE;
        if (failed && used < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used > 0 ? ", " : "", task->config->name);
        }
    }
    if (used == 0) {
        return FR_OK;
    }
    return FR_FAIL(run->ctx, FR_ERR_NUMERIC,
                   "stopped by %lld steps in a row with non-finite numbers: %s%s; all "
                   "other tasks are done and prefix.h5 is written; lower the learning "
                   "rate or look at the data",
                   (long long)run->config->run.nonfinite_limit, names,
                   used < sizeof names ? "" : "...");
}
