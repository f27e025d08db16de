/*
 * row_output.h - results of rows on their way out: whole lines, and nothing that a terminal would obey.
 *
 * Layer L5. `name` is how messages call the output.
 */
#ifndef FR_CLI_ROW_OUTPUT_H
#define FR_CLI_ROW_OUTPUT_H

#include "base/ctx.h"

#include <stdio.h>

/**
 * Write `bytes` bytes of text, whose closing zero becomes a newline: in one write where the system takes it at once, so
 * that whoever ends this process leaves whole lines. @return FR_OK; FR_ERR_IO
 */
FR_MUST_CHECK fr_status fr_write_line(fr_ctx *ctx, int file, const char *name,
                                      char *text, size_t bytes);

/** The same for what a model wrote (NULL: an empty line): as it is, but escaped where `out` is a terminal. */
FR_MUST_CHECK fr_status fr_write_text(fr_ctx *ctx, FILE *out, const char *name,
                                      char *text, size_t bytes);

#endif
