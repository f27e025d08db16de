/*
 * utf8.h - turns bytes that should be UTF-8 into valid UTF-8.
 *
 * A model may stop inside a character or generate bytes that form none, but readers of its answers need valid text.
 */
#ifndef FR_BASE_UTF8_H
#define FR_BASE_UTF8_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Replace what is not UTF-8 by U+FFFD, one for each longest run of bytes that begins a character and one for each byte
 * that begins none (Unicode 15, section 3.9, table 3-11): as Python's errors="replace" does, and so `transformers`.
 * A NUL is a character like others.
 * @param[in,out] text   from malloc or fr_alloc, NUL-terminated; replaced where it grows, the caller's also on failure
 * @param[in,out] bytes  without the closing NUL
 * @param[out] n_replaced  how many were put in; may be NULL
 * @return FR_OK; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_utf8_repair(fr_ctx *ctx, char **text, size_t *bytes,
                                       int64_t *n_replaced);

/** Bytes at the end of a text that begin a character and may be completed by bytes that follow; 0 to 3. What stands before them is
 * repaired in the same way whatever follows. */
size_t fr_utf8_open_bytes(const char *text, size_t bytes);

/** Bytes of a character that begins with this one; 1 if none of several bytes does. */
size_t fr_utf8_whole_bytes(char begin);

#endif
