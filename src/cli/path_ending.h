/*
 * path_ending.h - how a path ends: ".jsonl", ".part" and the like.
 */
#ifndef FR_CLI_PATH_ENDING_H
#define FR_CLI_PATH_ENDING_H

#include "base/ctx.h"

#include <stdbool.h>

bool fr_path_ends_with(const char *path, const char *ending);

/** `path` followed by `ending`. The caller frees. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_path_with_ending(fr_ctx *ctx, const char *path,
                                            const char *ending, char **out);

#endif
