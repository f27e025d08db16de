/*
 * seeds.h - what the writers of first inputs share. A writer is a case of seeds.c, named as its fuzzer.
 */
#ifndef FR_TESTS_FUZZ_SEEDS_H
#define FR_TESTS_FUZZ_SEEDS_H

#include <stddef.h>

/** Write one first input of this name into the folder that FUZZ_SEEDS names. */
void seed_write(const char *name, const void *data, size_t bytes);
/** The same from a file. */
void seed_copy(const char *name, const char *path);

#endif
