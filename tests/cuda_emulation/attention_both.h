/*
 * attention_both.h - a case of attention on the CPU and on a CUDA device, for test_attention.c.
 */
#ifndef FR_CUDA_EMULATION_ATTENTION_BOTH_H
#define FR_CUDA_EMULATION_ATTENTION_BOTH_H

#include "device/host.h"
#include "pair.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { N_INPUTS = 6, N_OUTPUTS = 7, N_PAIRS = N_INPUTS + N_OUTPUTS };
enum { Q, K, V, D_O, PREFIX_K, PREFIX_V, O, LSE, DQ, DK, DV, DPREFIX_K, DPREFIX_V };

/** A case on both devices. */
typedef struct both {
    const fr_two *two;
    fr_attention_case *c;
    fr_pair pairs[N_PAIRS];
    fr_pair slopes;
    int64_t shift; /* numbers before the first of each view */
} both;

static inline bool is_view(int i)
{
    return i <= D_O || i == O || (i >= DQ && i <= DV);
}

/* Where the numbers of a buffer begin. */
static inline int64_t start_of(const both *b, int i)
{
    return is_view(i) ? b->shift : 0;
}

static inline float *numbers_of(fr_attention_case *c, int i, int64_t *n)
{
    float *all[N_PAIRS] = {c->q,        c->k,         c->v,        c->d_o, c->prefix_k,
                           c->prefix_v, c->o,         c->lse,      c->dq,  c->dk,
                           c->dv,       c->dprefix_k, c->dprefix_v};
    int64_t q = fr_attention_case_q_count(c);
    int64_t key = fr_attention_case_key_count(c);
    int64_t o = fr_attention_case_o_count(c);
    int64_t prefix = fr_attention_case_prefix_count(c);
    int64_t counts[N_PAIRS] = {q,
                               key,
                               key,
                               o,
                               prefix,
                               prefix,
                               o,
                               c->params.n_tokens * c->params.n_heads,
                               q,
                               key,
                               key,
                               c->n_units * prefix,
                               c->n_units * prefix};
    *n = counts[i];
    return all[i];
}

static inline both open_both(const fr_two *two, fr_attention_case *c, fr_dtype dtype,
                             int64_t shift)
{
    static const char *const NAMES[N_PAIRS] = {
        "q",   "k",  "v",  "dO", "prefix K",  "prefix V", "o",
        "lse", "dq", "dk", "dv", "dprefix K", "dprefix V"};
    both b = {.two = two, .c = c, .shift = shift};
    for (int i = 0; i < N_PAIRS; i++) {
        int64_t n = 0;
        float *numbers = numbers_of(c, i, &n);
        int64_t before = is_view(i) ? shift : 0;
        float *shifted = fr_test_zeros(n + before);
        memcpy(shifted + before, numbers, (size_t)n * sizeof *numbers);
        b.pairs[i] =
            fr_pair_of(two, NAMES[i], n + before, is_view(i) ? dtype : FR_F32, shifted);
        free(shifted);
    }
    b.slopes = fr_pair_of(two, "slopes", c->params.n_heads, FR_F32, c->slopes);
    return b;
}

static inline void close_both(both *b)
{
    for (int i = 0; i < N_PAIRS; i++) {
        fr_pair_free(b->pairs + i);
    }
    fr_pair_free(&b->slopes);
    fr_attention_case_destroy(&b->c);
}

static inline fr_view view_of(const both *b, int i, bool on_cuda)
{
    return fr_view_at(on_cuda ? b->pairs[i].on_cuda : b->pairs[i].on_cpu, b->shift);
}

static inline fr_f32 *f32_of(const both *b, int i, bool on_cuda)
{
    return (fr_f32 *)(on_cuda ? b->pairs[i].cuda : b->pairs[i].cpu);
}

static inline fr_attention_params params_of(const both *b, bool on_cuda)
{
    fr_attention_params params = b->c->params;
    params.prefix_k_PGK = f32_of(b, PREFIX_K, on_cuda);
    params.prefix_v_PGK = f32_of(b, PREFIX_V, on_cuda);
    if (params.slopes_H != NULL) {
        params.slopes_H =
            on_cuda ? fr_pair_cuda_f32(&b->slopes) : fr_pair_cpu_f32(&b->slopes);
    }
    return params;
}

static inline void forward(const both *b, bool on_cuda)
{
    fr_attention_params params = params_of(b, on_cuda);
    FR_ASSERT_OK(fr_attention(on_cuda ? b->two->cuda : b->two->cpu, &params,
                              view_of(b, Q, on_cuda), view_of(b, K, on_cuda),
                              view_of(b, V, on_cuda), view_of(b, O, on_cuda),
                              f32_of(b, LSE, on_cuda)));
}

static inline void backward(const both *b, bool on_cuda, bool prefix_only)
{
    fr_attention_params params = params_of(b, on_cuda);
    bool has_prefix = params.prefix_length > 0;
    fr_attention_gradients gradients = {.n_units = b->c->n_units};
    gradients.dq.dtype = b->pairs[Q].on_cuda.dtype;
    if (!on_cuda) {
        gradients.dq.dtype = FR_F32;
    }
    gradients.dk = gradients.dq;
    gradients.dv = gradients.dq;
    if (!prefix_only) {
        gradients.dq = view_of(b, DQ, on_cuda);
        gradients.dk = view_of(b, DK, on_cuda);
        gradients.dv = view_of(b, DV, on_cuda);
    }
    if (has_prefix) {
        gradients.dprefix_k_UPGK = f32_of(b, DPREFIX_K, on_cuda);
        gradients.dprefix_v_UPGK = f32_of(b, DPREFIX_V, on_cuda);
    }
    FR_ASSERT_OK(fr_attention_back(
        on_cuda ? b->two->cuda : b->two->cpu, &params, view_of(b, Q, on_cuda),
        view_of(b, K, on_cuda), view_of(b, V, on_cuda), view_of(b, O, on_cuda),
        f32_of(b, LSE, on_cuda), view_of(b, D_O, on_cuda), &gradients));
}

/* Outputs of views are rounded to bf16; what is f32 there still comes from outputs that are. */
static inline void assert_near(const both *b, bool with_gradients)
{
    bool narrow = b->pairs[Q].on_cuda.dtype == FR_BF16;
    for (int i = O; i < (with_gradients ? N_PAIRS : DQ); i++) {
        if (b->pairs[i].n > start_of(b, i)) {
            bool exact = !narrow || i == LSE;
            fr_pair_assert_near(b->pairs + i, exact ? 2e-5 : 1e-2);
        }
    }
}

#endif
