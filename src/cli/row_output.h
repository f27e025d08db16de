/*
 * row_output.h - writing the results of rows: whole lines, and no control characters to a terminal.
 *
 * `name` is what messages call the output.
 */
#ifndef FR_CLI_ROW_OUTPUT_H
#define FR_CLI_ROW_OUTPUT_H

#include "base/ctx.h"

#include <stdio.h>

/**
 * Write `bytes` bytes of text, whose closing zero becomes a newline: in one write if the system takes it at once, so
 * that a kill leaves whole lines. @return FR_OK; FR_ERR_IO
 */
FR_MUST_CHECK fr_status fr_write_line(fr_ctx *ctx, int file, const char *name,
                                      char *text, size_t bytes);

/** The same for a model's text (NULL: an empty line), unchanged, but escaped if `out` is a terminal. */
FR_MUST_CHECK fr_status fr_write_text(fr_ctx *ctx, FILE *out, const char *name,
                                      char *text, size_t bytes);

#endif
