/*
 * quantity.h - sizes as people write them.
 *
 * Every option that takes a size is read here, and every size in a message is printed here.
 */
#ifndef FR_BASE_QUANTITY_H
#define FR_BASE_QUANTITY_H

#include "base/ctx.h"

#include <stdint.h>

enum { FR_SIZE_BYTES = 32 };

/** What fr_size_read takes, for messages and help. */
#define FR_SIZE_FORMS                                                                  \
    "a number of bytes, or one with a unit: 512M, 80G or 80GiB (powers of 1024), "     \
    "512MB or 80GB (powers of 1000)"

/**
 * A size: a decimal number, then nothing (bytes), B, a letter of KMGTP or that letter with iB (powers of 1024), or the
 * letter with B (powers of 1000), as in coreutils. A space before the unit and small letters k, m, g, t, p are fine;
 * "Gb" is not, which may mean bits.
 *
 * @return false: not of this form, below 1 byte, or 2^60 bytes and more; *out is left alone
 */
FR_MUST_CHECK bool fr_size_read(const char *text, int64_t *out);

/** "1.50 GiB": the number with the largest unit that keeps it at 1 or more. */
void fr_size_text(double bytes, char out[FR_SIZE_BYTES]);

#endif
