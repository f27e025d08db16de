/*
 * mem.h - checked, zeroed, 64-byte aligned allocation, and checks of what lies in it.
 *
 * Everything allocated here is released with free().
 */
#ifndef FR_BASE_MEM_H
#define FR_BASE_MEM_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/**
 * Allocate `count` elements of `size` bytes, zeroed, aligned to 64 bytes (padded to a multiple of it).
 * A count of 0 gives a valid pointer to no elements.
 *
 * @param[out] out  address of the pointer variable (any object pointer type)
 * @return FR_OK; FR_ERR_NO_MEMORY on overflow, a negative count, or no memory (*out = NULL)
 */
FR_MUST_CHECK fr_status fr_alloc(fr_ctx *ctx, int64_t count, size_t size, void *out);

/** Like fr_alloc without zeroing, for what is large and soon overwritten: the system adds each page at the first write,
 * near the thread that writes. 0 <= bytes <= INT64_MAX - 2 MiB. */
FR_MUST_CHECK fr_status fr_alloc_large(fr_ctx *ctx, int64_t bytes, void *out);

/** Copy a string; FR_ERR_NO_MEMORY on failure. */
FR_MUST_CHECK fr_status fr_copy_string(fr_ctx *ctx, const char *text, char **out);
/** The same for a text that may be missing: NULL leaves *out as it is. */
FR_MUST_CHECK fr_status fr_copy_optional(fr_ctx *ctx, const char *text, char **out);

/** Whether none of n numbers is infinite or NaN. */
bool fr_all_finite(const float *values, int64_t n);

/** *out = a * b; false if a factor is negative or the product exceeds INT64_MAX. */
bool fr_mul_i64(int64_t a, int64_t b, int64_t *out);

#endif
