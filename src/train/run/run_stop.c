#include "train/run/run_impl.h"

#include "base/mem.h"
#include "train/step/stopping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_BYTES = 160 };

static void describe(const fr_run_state *run, const fr_task *task,
                     fr_stop_reason reason, char out[REASON_BYTES])
{
    switch (reason) {
    case FR_STOP_NONFINITE:
        (void)snprintf(out, REASON_BYTES,
                       "%lld steps in a row gave non-finite numbers (limit %lld)",
                       (long long)task->progress.skipped_in_row,
                       (long long)run->config->run.nonfinite_limit);
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

bool fr_run_is_live(const fr_run_state *run)
{
    bool live = false;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        live = live || !run->tasks[i].progress.stopped;
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
                       task->config->name, (long long)task->progress.step, text);
    }
    fr_log(run->ctx, FR_LOG_INFO, "%stask %s stopped after step %lld: %s",
           reason == FR_STOP_NONFINITE ? "warning: " : "", task->config->name,
           (long long)task->progress.step, text);
    return fr_group_agree(run->world,
                          fr_metrics_stopped(run->metrics, task->config->name,
                                             task->progress.step,
                                             task->n_steps - task->progress.step,
                                             fr_stop_reason_name(reason)));
}

void fr_run_tell_stopped(const fr_run_state *run, fr_task *task)
{
    char text[REASON_BYTES];
    fr_stop_reason reason = fr_task_decide(task, run->config->run.nonfinite_limit);
    if (reason != FR_STOP_NONE && reason != FR_STOP_STEPS) {
        describe(run, task, reason, text);
        fr_log(run->ctx, FR_LOG_INFO, "task %s stays stopped at step %lld: %s",
               task->config->name, (long long)task->progress.step, text);
    }
}

/* Tasks' names in a message, as many as fit. */
typedef struct name_list {
    char text[400];
    size_t used;
} name_list;

static void add_name(name_list *list, const char *name, const char *of)
{
    if (list->used < sizeof list->text) {
        list->used += (size_t)snprintf(
            list->text + list->used, sizeof list->text - list->used, "%s%s%s%s",
            list->used > 0 ? ", " : "", of, of[0] != '\0' ? " of " : "", name);
    }
}

static const char *end_of(const name_list *list)
{
    return list->used < sizeof list->text ? "" : "...";
}

static fr_status fail_stopped(const fr_run_state *run, const name_list *names)
{
    return FR_FAIL(run->ctx, FR_ERR_NUMERIC,
                   "stopped by %lld steps in a row with non-finite numbers: %s%s; all "
                   "other tasks are done and prefix.h5 is written; lower the learning "
                   "rate or look at the data",
                   (long long)run->config->run.nonfinite_limit, names->text,
                   end_of(names));
}

static fr_status fail_useless(const fr_run_state *run, const name_list *names)
{
    return FR_FAIL(
        run->ctx, FR_ERR_NUMERIC,
        "trained to the end, but not to finite numbers: %s%s; prefix.h5 is "
        "written; lower the learning rate, or look at the data and the model "
        "file",
        names->text, end_of(names));
}

/* What of a task's result is not finite; NULL: nothing. A validation on the way is passed over: later steps may mend
 * it. */
static const char *useless_part(const fr_task *task, bool bad_prefix)
{
    return bad_prefix                         ? "the prefix"
           : isnan(task->progress.valid_loss) ? "the last validation"
           : task->progress.step > 0 && task->progress.skipped == task->progress.step
               ? "every step"
               : NULL;
}

static fr_status judge(fr_run_state *run, int64_t *bad_prefix)
{
    name_list stopped = {.used = 0};
    name_list useless = {.used = 0};
    for (int64_t i = 0; i < run->n_tasks; i++) {
        const fr_task *task = &run->tasks[i];
        bad_prefix[i] = !fr_all_finite(task->state.k, task->n_local) ||
                        !fr_all_finite(task->state.v, task->n_local);
    }
    FR_TRY(fr_group_allreduce(run->world, FR_MAX, bad_prefix, run->n_tasks));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        const char *part = useless_part(task, bad_prefix[i] != 0);
        if (fr_task_decide(task, run->config->run.nonfinite_limit) ==
            FR_STOP_NONFINITE) {
            add_name(&stopped, task->config->name, "");
        } else if (part != NULL) {
            add_name(&useless, task->config->name, part);
        }
    }
    if (stopped.used > 0) {
        return fail_stopped(run, &stopped);
    }
    return useless.used > 0 ? fail_useless(run, &useless) : FR_OK;
}

fr_status fr_run_verdict(fr_run_state *run)
{
    int64_t *bad_prefix = NULL;
    FR_TRY(fr_group_agree(
        run->world, fr_alloc(run->ctx, run->n_tasks, sizeof *bad_prefix, &bad_prefix)));
    fr_status status = judge(run, bad_prefix);
    free(bad_prefix);
    return status;
}
