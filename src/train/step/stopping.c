#include "train/step/stopping.h"

/* A failure comes before all other reasons, so that a task that diverged on its last step does not count as
 * finished. stop_below 0 never holds unless a loss is negative, which no mean of nats is, and NaN is below nothing. */
fr_stop_reason fr_stop_decide(const fr_stop_rules *rules, const fr_stop_facts *facts)
{
    if (facts->skipped_in_row >= rules->nonfinite_limit) {
        return FR_STOP_NONFINITE;
    }
    if (facts->step >= rules->n_steps) {
        return FR_STOP_STEPS;
    }
    if (facts->valid_loss < rules->stop_below) {
        return FR_STOP_BELOW;
    }
    if (rules->patience > 0 && facts->stale_validations >= rules->patience) {
        return FR_STOP_PATIENCE;
    }
    return FR_STOP_NONE;
}

fr_stop_reason fr_task_decide(fr_task *task, int64_t nonfinite_limit)
{
    fr_stop_rules rules = {.n_steps = task->n_steps,
                           .nonfinite_limit = nonfinite_limit,
                           .patience = task->config->patience,
                           .stop_below = task->config->stop_below};
    fr_stop_facts facts = {.step = task->progress.step,
                           .skipped_in_row = task->progress.skipped_in_row,
                           .stale_validations = task->progress.stale_validations,
                           .valid_loss = task->progress.valid_loss};
    fr_stop_reason reason = fr_stop_decide(&rules, &facts);
    task->progress.stopped = reason != FR_STOP_NONE;
    return reason;
}

bool fr_task_count_validation(fr_task *task, double loss)
{
    /* Strictly lower: equal losses keep the earlier prefix and count against patience. */
    bool best = loss < task->progress.best_loss;
    task->progress.valid_loss = loss;
    task->progress.stale_validations = best ? 0 : task->progress.stale_validations + 1;
    if (best) {
        task->progress.best_loss = loss;
        task->progress.best_step = task->progress.step;
    }
    return best;
}

/* These names are part of the formats of metrics.jsonl and sweep.jsonl. */
const char *fr_stop_reason_name(fr_stop_reason reason)
{
    switch (reason) {
    case FR_STOP_NONFINITE:
        return "nonfinite";
    case FR_STOP_STEPS:
        return "steps";
    case FR_STOP_BELOW:
        return "stop_below";
    case FR_STOP_PATIENCE:
        return "patience";
    case FR_STOP_NONE:
    default:
        return "";
    }
}
