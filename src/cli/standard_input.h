/*
 * standard_input.h - what is given on standard input in place of a file or an option.
 */
#ifndef FR_CLI_STANDARD_INPUT_H
#define FR_CLI_STANDARD_INPUT_H

#include "comm/group.h"

/** Most bytes of it. */
#define FR_STANDARD_INPUT_BYTES ((int64_t)1 << 30)

/** All of it, NUL-terminated, on every rank: rank 0 reads. Collective. The caller frees *out, NULL after a failure.
 * @return FR_OK; FR_ERR_DATA (too much, without holding it all); FR_ERR_IO */
FR_MUST_CHECK fr_status fr_standard_input_read(fr_ctx *ctx, fr_group *world, char **out,
                                               size_t *bytes);

#endif
