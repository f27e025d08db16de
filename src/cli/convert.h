/*
 * convert.h - a file of format 1 as a file of this version's format.
 *
 * Format 1 can be read only with the HDF5 library, which hostile files can crash or hang. A separate process therefore reads
 * it, with limits on memory, processor time and waiting. It hands over the bytes of a new file, which are checked like those
 * of any other file.
 */
#ifndef FR_CLI_CONVERT_H
#define FR_CLI_CONVERT_H

#include "train/checkpoint/checkpoint.h"

/**
 * Make `new_path`, which must not be there, from `old_path`. Starts a process: no other thread may use
 * the HDF5 library meanwhile.
 * @param[out] n_tasks  that the file holds   @param[out] minor  version of its format
 * @return FR_OK; FR_ERR_ARG (new_path is there, or old_path has this format already); FR_ERR_CHECKPOINT (missing, not
 *         ours, damaged, or such that its reader crashed or met a limit); FR_ERR_NUMERIC (a number of an array is not
 *         finite); FR_ERR_IO. new_path is there only after FR_OK, and then it is whole.
 */
FR_MUST_CHECK fr_status fr_convert(fr_ctx *ctx, const char *old_path,
                                   const char *new_path, int64_t *n_tasks,
                                   int64_t *minor);

#endif
