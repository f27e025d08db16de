/* Steps are counted with the skipped ones. A checkpoint is named by the largest step, and two checkpoints are of
 * the same state if their totals agree, because within a run no task goes back. */
#include "train/run/tasks.h"

int64_t fr_tasks_step(const fr_task *tasks, int64_t n_tasks)
{
    int64_t step = 0;
    for (int64_t i = 0; i < n_tasks; i++) {
        step = tasks[i].progress.step > step ? tasks[i].progress.step : step;
    }
    return step;
}

int64_t fr_tasks_total(const fr_task *tasks, int64_t n_tasks)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n_tasks; i++) {
        total += tasks[i].progress.step;
    }
    return total;
}

bool fr_tasks_are_live(const fr_task *tasks, int64_t n_tasks)
{
    bool live = false;
    for (int64_t i = 0; i < n_tasks; i++) {
        live = live || !tasks[i].progress.stopped;
    }
    return live;
}
