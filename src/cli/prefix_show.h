/*
 * prefix_show.h - what a file of prefixes holds, on standard output: `forerun prefix list` and `info`.
 */
#ifndef FR_CLI_PREFIX_SHOW_H
#define FR_CLI_PREFIX_SHOW_H

#include "train/checkpoint/checkpoint.h"

/** One line a task: name, slots, layers, best loss, step, template. */
FR_MUST_CHECK fr_status fr_prefix_list(fr_ctx *ctx, const fr_checkpoint *checkpoint);

/**
 * What `inspect` prints and everything else that the file says of its tasks and of itself, its config too.
 * @param index  of the only task to print; -1: all tasks
 */
FR_MUST_CHECK fr_status fr_prefix_info(fr_ctx *ctx, const char *path,
                                       const fr_checkpoint *checkpoint, int64_t index);

#endif
