#include "train/run/run_impl.h"

#include "base/mem.h"
#include "train/step/stopping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

/* snprintf gives the length of the whole text, so `used` passes the capacity where names were cut. */
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

/* What of a task's result is not finite; NULL: nothing. Only the last validation counts: an earlier one may have been
 * mended by later steps. */
static const char *useless_part(const fr_task *task, bool bad_prefix)
{
    return bad_prefix                         ? "the prefix"
           : isnan(task->progress.valid_loss) ? "the last validation"
           : task->progress.step > 0 && task->progress.skipped == task->progress.step
               ? "every step"
               : NULL;
}

/* Stopped tasks are named before useless ones, because their message tells more. bad_prefix is a flag for each
 * task; a prefix is bad if it is so on any stage. */
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
