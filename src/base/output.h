/*
 * output.h - files that the user names for results: checks before the work, and writing them at the end.
 *
 * A command checks its output before it computes anything, so that hours of work are not lost to a wrong name.
 */
#ifndef FR_BASE_OUTPUT_H
#define FR_BASE_OUTPUT_H

#include "base/ctx.h"

#include <stddef.h>

/** Whether results could be written there now: its folder exists and may be written to, and it is neither a folder itself nor
 * a symbolic link outside /dev. Nothing is opened or made. @return FR_OK; FR_ERR_IO */
FR_MUST_CHECK fr_status fr_output_check(fr_ctx *ctx, const char *path);

/**
 * Refuse an output that is a file which the command reads, under whatever name. A folder that is read counts with its
 * entries, one level deep. Devices and FIFOs are never the same in this sense.
 * @param output  NULL: nothing to check, as for input; option, reader: how the command line names the two, "--output"
 * @return FR_OK; FR_ERR_ARG
 */
FR_MUST_CHECK fr_status fr_output_apart(fr_ctx *ctx, const char *option,
                                        const char *output, const char *reader,
                                        const char *input);

/** Write all of it: a regular file is replaced at once (fr_file_replace), a pipe or device takes the bytes as they
 * come (fr_file_open_output). @return FR_OK; FR_ERR_IO */
FR_MUST_CHECK fr_status fr_output_write(fr_ctx *ctx, const char *path, const char *text,
                                        size_t bytes);

#endif
