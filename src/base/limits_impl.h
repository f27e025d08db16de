/*
 * limits_impl.h - shared by limits*.c.
 */
#ifndef FR_BASE_LIMITS_IMPL_H
#define FR_BASE_LIMITS_IMPL_H

#include "base/limits.h"

/** Text of folder/name, a file of /proc or of a control group, whose size is not known before; NULL: it cannot be read.
 * The caller frees. */
char *fr_limits_text(const char *folder, const char *name);

/** A whole number at the beginning of a text; anything else ("max", -1) and what is too large means FR_NO_LIMIT. */
int64_t fr_limits_number(const char *text);

/** The number behind `key` at the beginning of a line; FR_NO_LIMIT where there is none. */
int64_t fr_limits_behind(const char *text, const char *key);

/** Add what control groups allow; the machine's memory is in place. */
void fr_limits_read_groups(const char *root, fr_limits *out);

#endif
