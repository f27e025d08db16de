/*
 * prefix_file.h - opens the prefix that the user names as "FILE[:TASK]".
 */
#ifndef FR_TRAIN_CHECKPOINT_PREFIX_FILE_H
#define FR_TRAIN_CHECKPOINT_PREFIX_FILE_H

#include "model/arch.h"
#include "train/checkpoint/checkpoint.h"

/** Split "FILE[:TASK]" in place: the colon becomes NUL, and *task points behind it; NULL if no task is named. If a file
 * with the whole name exists, the colon is part of that name. */
void fr_prefix_file_split(char *reference, const char **task);

/**
 * Read the file and find the task. Without TASK the file must hold exactly one.
 * @param[out] out  caller destroys   @param[out] index  of the task in it
 * @return FR_OK; FR_ERR_CHECKPOINT (missing, damaged, no such task: the names are listed)
 */
FR_MUST_CHECK fr_status fr_prefix_file_open(fr_ctx *ctx, const char *reference,
                                            fr_checkpoint **out, int64_t *index);

/** FR_ERR_CHECKPOINT unless the prefix was made for a base with as many layers, key/value heads and head width as `arch`,
 * and fits into its context. */
FR_MUST_CHECK fr_status fr_prefix_file_check(fr_ctx *ctx, const char *reference,
                                             const fr_checkpoint_task *task,
                                             const fr_arch *arch);

/** Keys and values of some of a prefix's layers, in the host's memory. */
typedef struct fr_prefix_part {
    float *k; /* [n] */
    float *v;
    int64_t n; /* 0: none of the layers has a prefix */
} fr_prefix_part;

/** Those of the layers of a stage, borrowed from the task. */
fr_prefix_part fr_prefix_file_part(const fr_checkpoint_task *task, int64_t first_layer,
                                   int64_t n_layers);

#endif
