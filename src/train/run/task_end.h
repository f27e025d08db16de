/*
 * task_end.h - says why a task ends before its last step.
 */
#ifndef FR_TRAIN_RUN_TASK_END_H
#define FR_TRAIN_RUN_TASK_END_H

#include "train/run/metrics.h"

/**
 * After a task's step and its validation, if one was due: set task->stopped by the rules of stopping.h and say the reason
 * once, in the log and in metrics.jsonl. Collective over the world.
 * @param is_alone  the run has no other task
 * @return FR_OK; FR_ERR_NUMERIC if the only task of the run is stopped by non-finite steps
 */
FR_MUST_CHECK fr_status fr_task_end_decide(const fr_task_env *env, fr_group *world,
                                           fr_metrics *metrics, fr_task *task,
                                           bool is_alone);

/** After a restore: say that a rule still holds the task. */
void fr_task_end_repeat(const fr_task_env *env, fr_task *task);

#endif
