/*
 * utf8.h - bytes that should be UTF-8 text made into such.
 *
 * Layer L0. A model may stop inside a character or put bytes together that are none: what others read must be valid.
 */
#ifndef FR_BASE_UTF8_H
#define FR_BASE_UTF8_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Replace what is no UTF-8 by U+FFFD, one for each longest run of bytes that begins a character and one for each byte
 * that begins none (Unicode 15, section 3.9, table 3-11): as Python's errors="replace" and so the decode of
 * `transformers`. A NUL is a character like others.
 * @param[in,out] text   from malloc or fr_alloc, NUL-terminated; replaced where it grows, the caller's also on failure
 * @param[in,out] bytes  without the closing NUL
 * @param[out] n_replaced  how many were put in; may be NULL
 * @return FR_OK; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_utf8_repair(fr_ctx *ctx, char **text, size_t *bytes,
                                       int64_t *n_replaced);

#endif
