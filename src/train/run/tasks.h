/*
 * tasks.h - what a run asks of all of its tasks together.
 */
#ifndef FR_TRAIN_RUN_TASKS_H
#define FR_TRAIN_RUN_TASKS_H

#include "train/step/task.h"

/** The largest number of steps that any task has done. */
int64_t fr_tasks_step(const fr_task *tasks, int64_t n_tasks);
/** Steps done by all tasks together: after a resume with other rules or tasks they stand at different steps. */
int64_t fr_tasks_total(const fr_task *tasks, int64_t n_tasks);
/** Whether any task still trains. */
bool fr_tasks_are_live(const fr_task *tasks, int64_t n_tasks);

#endif
