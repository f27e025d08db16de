/*
 * linear_case.h - weights for the tests of linear maps, and the products they are compared with.
 */
#ifndef FR_TESTS_LINEAR_CASE_H
#define FR_TESTS_LINEAR_CASE_H

#include "device/matrix.h"

typedef struct fr_linear_case {
    fr_matrix w; /* dense, rows owned here */
    float *wide; /* the same numbers in f32, [n_out, n_in] */
} fr_linear_case;

/** Weights of a type, uniform in [-1, 1]. */
fr_linear_case fr_linear_case_init(int64_t n_out, int64_t n_in, fr_dtype dtype);
void fr_linear_case_fini(fr_linear_case *linear);

/** Set one weight; the value is cut to bf16 where they are. */
void fr_linear_case_set(fr_linear_case *linear, int64_t out, int64_t in, float value);

/** The rows of a dense matrix again, not in place: *memory, for the caller to free, holds each of them with a row of NaN behind
 * it. */
fr_matrix fr_test_apart(const fr_matrix *dense, void **memory);

/** x as it enters fr_linear_few: rounded to bf16 (nearest even) if the weights are bf16. */
float fr_linear_case_round(fr_dtype dtype, float x);

/** A run of n finite numbers, `step` apart, in fixed point: out[i] * 2^(what is returned). */
int fr_linear_case_fix_run(int64_t n, int64_t step, const float *run, int32_t *out);

/** fr_linear or (back) fr_linear_back. */
FR_MUST_CHECK fr_status fr_linear_case_run(fr_device *device,
                                           const fr_linear_case *linear, bool back,
                                           int64_t m, const float *left,
                                           bool accumulate, float *out);

/** The same in f64 from the operands as they enter, each sum rounded to f32 at the end. */
void fr_linear_case_reference(const fr_linear_case *linear, bool back, int64_t m,
                              const float *left, bool accumulate, float *out);

/** Width of a left row and of an output row. */
int64_t fr_linear_case_depth(const fr_linear_case *linear, bool back);
int64_t fr_linear_case_columns(const fr_linear_case *linear, bool back);

#endif
