#include "train/run/task_end.h"

#include "train/step/stopping.h"

#include <stdio.h>

/* The longest of the sentences below with its numbers; a longer one would be cut, not overrun. */
enum { REASON_BYTES = 160 };

static void describe(const fr_task_env *env, const fr_task *task, fr_stop_reason reason,
                     char out[REASON_BYTES])
{
    switch (reason) {
    case FR_STOP_NONFINITE:
        (void)snprintf(out, REASON_BYTES,
                       "%lld steps in a row gave non-finite numbers (limit %lld)",
                       (long long)task->progress.skipped_in_row,
                       (long long)env->config->run.nonfinite_limit);
        break;
    case FR_STOP_BELOW:
        (void)snprintf(out, REASON_BYTES,
                       "validation loss %.4f is below its stop_below %g",
                       task->progress.valid_loss, task->config->stop_below);
        break;
    case FR_STOP_PATIENCE:
        (void)snprintf(out, REASON_BYTES,
                       "%lld validations without a better loss than %.4f of step %lld",
                       (long long)task->progress.stale_validations,
                       task->progress.best_loss, (long long)task->progress.best_step);
        break;
    case FR_STOP_STEPS:
    case FR_STOP_NONE:
    default:
        (void)snprintf(out, REASON_BYTES, "its steps are done");
        break;
    }
}

fr_status fr_task_end_decide(const fr_task_env *env, fr_group *world,
                             fr_metrics *metrics, fr_task *task, bool is_alone)
{
    char text[REASON_BYTES];
    fr_stop_reason reason = fr_task_decide(task, env->config->run.nonfinite_limit);
    /* To have done all steps is the expected end and needs no message. */
    if (reason == FR_STOP_NONE || reason == FR_STOP_STEPS) {
        return FR_OK;
    }
    describe(env, task, reason, text);
    /* Among several tasks the others go on, and fr_run_verdict fails at the end of the run. */
    if (reason == FR_STOP_NONFINITE && is_alone) {
        return FR_FAIL(env->ctx, FR_ERR_NUMERIC,
                       "task %s step %lld: %s; lower its learning rate or look at its "
                       "data",
                       task->config->name, (long long)task->progress.step, text);
    }
    fr_log(env->ctx, reason == FR_STOP_NONFINITE ? FR_LOG_WARN : FR_LOG_INFO,
           "task %s stopped after step %lld: %s", task->config->name,
           (long long)task->progress.step, text);
    return fr_group_agree(world, fr_metrics_stopped(metrics, task->config->name,
                                                    task->progress.step,
                                                    task->n_steps - task->progress.step,
                                                    fr_stop_reason_name(reason)));
}

/* Without a line in the metrics: the line of the first time is still in the file. */
void fr_task_end_repeat(const fr_task_env *env, fr_task *task)
{
    char text[REASON_BYTES];
    fr_stop_reason reason = fr_task_decide(task, env->config->run.nonfinite_limit);
    if (reason != FR_STOP_NONE && reason != FR_STOP_STEPS) {
        describe(env, task, reason, text);
        fr_log(env->ctx, FR_LOG_INFO, "task %s stays stopped at step %lld: %s",
               task->config->name, (long long)task->progress.step, text);
    }
}
