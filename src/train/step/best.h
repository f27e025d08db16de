/*
 * best.h - a task's best validation belongs to the rows that it was measured on.
 */
#ifndef FR_TRAIN_STEP_BEST_H
#define FR_TRAIN_STEP_BEST_H

#include "train/step/task.h"

/**
 * After the progress of `saved` has been copied to the task: if its losses were measured on other validation rows than
 * the task has now, forget them and the count of validations without a better one, and log that once. Rows are the same
 * if what they hold is, wherever their file lies. A file before format 2.1 does not say what they held: there the names of
 * the file and the number of rows are compared, as the configs have them.
 * @param path  of the checkpoint, for messages
 */
FR_MUST_CHECK fr_status fr_best_recall(const fr_task_env *env, const char *path,
                                       const fr_checkpoint *checkpoint,
                                       const fr_checkpoint_task *saved, fr_task *task);

/** No validation has been made. */
void fr_best_forget(fr_task *task);

#endif
