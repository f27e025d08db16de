/*
 * sealed.h - files with a right seal around any content, as anybody can make them.
 */
#ifndef FR_TESTS_SEALED_H
#define FR_TESTS_SEALED_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/**
 * A file for the reader out of raw bytes. Bytes that begin like a file are one, and get the digest of their content.
 * Of others, what is before the signature of HDF5 becomes the index, the rest the arrays behind it.
 * @return memory of *n_sealed bytes that the caller frees; NULL without memory
 */
uint8_t *fr_test_seal(fr_ctx *ctx, const uint8_t *data, size_t bytes, size_t *n_sealed);

/** The raw bytes, without header and padding, that fr_test_seal makes this file of; likewise. */
uint8_t *fr_test_unseal(const uint8_t *image, size_t bytes, size_t *n_raw);

#endif
