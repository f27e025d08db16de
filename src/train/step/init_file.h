/*
 * init_file.h - a prefix that starts from another one's file.
 */
#ifndef FR_TRAIN_STEP_INIT_FILE_H
#define FR_TRAIN_STEP_INIT_FILE_H

#include "train/step/task.h"

/** The slots of a prefix whose init is a file: what the config says, else all that the file has. Local.
 * @return FR_OK; FR_ERR_CONFIG (more than the file has); FR_ERR_CHECKPOINT */
FR_MUST_CHECK fr_status fr_init_file_length(const fr_task_env *env,
                                            const fr_task_config *config,
                                            int64_t *length);

/** Copies this rank's layers from the file, with warnings where the file's prefix meant something else. Local.
 * @return FR_OK; FR_ERR_CONFIG (other layers); FR_ERR_CHECKPOINT (missing, damaged, another shape than the base's, or
 *         changed since its length was read) */
FR_MUST_CHECK fr_status fr_init_from_file(const fr_task_env *env, fr_task *task);

#endif
