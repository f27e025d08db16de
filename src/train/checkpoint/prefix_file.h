/*
 * prefix_file.h - open the prefix that "FILE[:TASK]" names.
 *
 * Layer L4; uses checkpoint.
 */
#ifndef FR_TRAIN_CHECKPOINT_PREFIX_FILE_H
#define FR_TRAIN_CHECKPOINT_PREFIX_FILE_H

#include "model/network/stage.h"
#include "train/checkpoint/checkpoint.h"

/** Split "FILE[:TASK]" in place: the colon becomes NUL and *task what follows it, or NULL if no task is named. A
 * colon belongs to the file's name if a file of the whole name exists. */
void fr_prefix_file_split(char *reference, const char **task);

/**
 * Read the file and find the task; without TASK the file must hold one. Split by fr_prefix_file_split.
 * @param[out] out  caller destroys   @param[out] index  task within it
 * @return FR_OK; FR_ERR_CHECKPOINT (missing, damaged, no such task: the names are listed)
 */
FR_MUST_CHECK fr_status fr_prefix_file_open(fr_ctx *ctx, const char *reference,
                                            fr_checkpoint **out, int64_t *index);

/** FR_ERR_CHECKPOINT unless the task's prefix was made for a base of as many layers, with its heads and head width,
 * and fits into its context. */
FR_MUST_CHECK fr_status fr_prefix_file_check(fr_ctx *ctx, const char *reference,
                                             const fr_checkpoint_task *task,
                                             const fr_arch *arch);

/** View for a stage that begins at `first_layer`; length 0 for a NULL task. */
fr_stage_prefix fr_prefix_file_view(const fr_checkpoint_task *task,
                                    int64_t first_layer);

#endif
