/*
 * checkpoints.h - small checkpoints for tests, and files of a folder.
 */
#ifndef FR_TESTS_CHECKPOINTS_H
#define FR_TESTS_CHECKPOINTS_H

#include "support/suite.h"
#include "train/checkpoint/checkpoint.h"

enum { FR_FIXTURE_SLOTS = 3, FR_FIXTURE_LAYERS = 2, FR_FIXTURE_FLOATS = 24 };

/**
 * Tasks "alpha", "beta", "gamma", ... (at most 4) of 3 slots, 2 layers, 2 heads of 4 (24 floats a layer's
 * array); numbers and step depend on `step` alone. The caller destroys it.
 */
fr_checkpoint *fr_fixture_checkpoint(int64_t n_tasks, bool moments, int64_t step);

/** Turn a task of a fixture into one with an MLP of 5 hidden units over embeddings of 6, in place of moments. */
void fr_fixture_add_mlp(fr_checkpoint_task *task);

/** Join into `out` (4096 bytes). */
void fr_fixture_path(const char *folder, const char *name, char *out);

/** Entries of a folder whose names contain `part` ("" for all). */
int fr_fixture_count(const char *folder, const char *part);

/** Write bytes as they are. */
void fr_fixture_write(const char *path, const void *data, size_t bytes);

/** Assert that all fields and arrays of two checkpoints agree. */
void fr_fixture_assert_equal(const fr_checkpoint *got, const fr_checkpoint *wanted);

#endif
