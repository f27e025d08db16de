/*
 * restore.h - from a checkpoint, which knows no ranks, back to the layers of this rank.
 */
#ifndef FR_TRAIN_RUN_RESTORE_H
#define FR_TRAIN_RUN_RESTORE_H

#include "train/step/task.h"

/**
 * Local: take this rank's layers and the task's progress from a checkpoint. The task is found by its name; a task that
 * the checkpoint lacks keeps what it has, and *found is false.
 * @param path  of the checkpoint, for messages
 * @return FR_OK; FR_ERR_CHECKPOINT if shapes, data or moments do not fit
 */
FR_MUST_CHECK fr_status fr_restore_task(const fr_task_env *env, const char *path,
                                        const fr_checkpoint *checkpoint, fr_task *task,
                                        bool *found);

#endif
