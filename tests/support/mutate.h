/*
 * mutate.h - damaged copies of valid files, the same for the same round on every machine.
 */
#ifndef FR_TESTS_MUTATE_H
#define FR_TESTS_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/**
 * A copy with one to four damages: flipped bits, 16-, 32- or 64-bit fields overwritten by extreme values,
 * bytes replaced, a piece copied elsewhere, or the end cut off. Most damages fall into the first
 * kilobyte, where headers are.
 *
 * @return memory of exactly *n_mutated bytes (at least 1 allocated), freed by the caller
 */
uint8_t *fr_test_mutate(const uint8_t *bytes, size_t n_bytes, uint64_t round,
                        size_t *n_mutated);

/** Sum of bytes plus one, so that reading is not optimised away; 1 for no bytes. */
uint64_t fr_test_sum(const void *data, size_t bytes);

#endif
