/*
 * attention_both.h - a case of attention on the CPU and on a CUDA device.
 */
#ifndef FR_CUDA_EMULATION_ATTENTION_BOTH_H
#define FR_CUDA_EMULATION_ATTENTION_BOTH_H

#include "pair.h"
#include "support/attention_case.h"

enum { N_INPUTS = 6, N_OUTPUTS = 7, N_PAIRS = N_INPUTS + N_OUTPUTS };
enum { Q, K, V, D_O, PREFIX_K, PREFIX_V, O, LSE, DQ, DK, DV, DPREFIX_K, DPREFIX_V };

typedef struct fr_both {
    const fr_two *two;
    fr_attention_case *c;
    fr_pair pairs[N_PAIRS];
    fr_pair slopes;
    int64_t shift; /* numbers before the first of each view */
} fr_both;

/** Takes the case. Its views have the type on the CUDA device, and begin `shift` numbers behind a multiple of a power of two. In bf16
 * the numbers of the prefix are those of bf16, too, as the kernels on tensor cores round them. */
fr_both fr_both_open(const fr_two *two, fr_attention_case *c, fr_dtype dtype,
                     int64_t shift);
void fr_both_close(fr_both *b);

/** The operator on one of the devices; backward after forward. */
void fr_both_forward(const fr_both *b, bool on_cuda);
void fr_both_backward(const fr_both *b, bool on_cuda, bool prefix_only);

/** What the operator takes. */
fr_attention_params fr_both_params(const fr_both *b, bool on_cuda);
fr_view fr_both_view(const fr_both *b, int i, bool on_cuda);
fr_f32 *fr_both_f32(const fr_both *b, int i, bool on_cuda);

/** Outputs of views are rounded to bf16; what is f32 there still comes from outputs that are. */
void fr_both_assert_near(const fr_both *b, bool with_gradients);

/** A layout, shape and scores on both, forward and (but for the decode layout) backward; they are named where they differ. */
void fr_both_compare(const fr_two *two, const fr_attention_layout *layout,
                     const fr_attention_shape *shape, const fr_attention_scores *scores,
                     fr_dtype dtype);

/** Rows of one buffer of `got` from row `first` on have the bits of the first rows of `wanted`. */
void fr_both_assert_rows(const fr_both *got, const fr_both *wanted, int i,
                         int64_t first, int64_t rows, int64_t stride);

/** A unit (fr_attention_unit) alone, and as the second of three behind a gap: rows, prefix gradients and all have the same bits. */
void fr_both_assert_unit_alone(const fr_two *two, const fr_attention_shape *shape,
                               const fr_attention_scores *scores, fr_dtype dtype);

/** Rows that begin where many numbers are read and written at once, and a number further on: near the CPU's, and of the same bits. Query
 * rows lie `more` numbers further apart than they are long, at most 5. */
void fr_both_assert_shifted(const fr_two *two, const fr_attention_shape *shape,
                            int64_t more, fr_dtype dtype);

/** Without dq: the same prefix gradients, and nothing else is touched. */
void fr_both_assert_prefix_alone(const fr_two *two, const fr_attention_shape *shape,
                                 fr_dtype dtype);

/** A segment of which only the first rows are asked for: what comes behind a query does not matter to it. */
void fr_both_assert_first_rows(const fr_two *two, const fr_attention_shape *shape,
                               fr_dtype dtype);

/** A query of this number in a segment's middle spoils its own row alone, as on the CPU. */
void fr_both_assert_spoilt(const fr_two *two, const fr_attention_shape *shape,
                           fr_dtype dtype, float number);

#endif
