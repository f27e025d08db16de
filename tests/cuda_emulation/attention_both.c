/* Cases of attention on both devices. */
#include "attention_both.h"

#include "device/bf16.h"
#include "device/host.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_view(int i)
{
    return i <= D_O || i == O || (i >= DQ && i <= DV);
}

/* Where the numbers of a buffer begin. */
static int64_t start(const fr_both *b, int i)
{
    return is_view(i) ? b->shift : 0;
}

static float *numbers_of(fr_attention_case *c, int i, int64_t *n)
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

fr_both fr_both_open(const fr_two *two, fr_attention_case *c, fr_dtype dtype,
                     int64_t shift)
{
    static const char *const NAMES[N_PAIRS] = {
        "q",   "k",  "v",  "dO", "prefix K",  "prefix V", "o",
        "lse", "dq", "dk", "dv", "dprefix K", "dprefix V"};
    fr_both b = {.two = two, .c = c, .shift = shift};
    for (int i = 0; i < N_PAIRS; i++) {
        int64_t n = 0;
        float *numbers = numbers_of(c, i, &n);
        int64_t before = is_view(i) ? shift : 0;
        float *shifted = fr_test_zeros(n + before);
        for (int64_t j = 0; j < n; j++) {
            bool rounds = dtype == FR_BF16 && (i == PREFIX_K || i == PREFIX_V);
            shifted[before + j] =
                rounds ? fr_bf16_widen(fr_bf16_round(numbers[j])) : numbers[j];
        }
        b.pairs[i] =
            fr_pair_of(two, NAMES[i], n + before, is_view(i) ? dtype : FR_F32, shifted);
        free(shifted);
    }
    b.slopes = fr_pair_of(two, "slopes", c->params.n_heads, FR_F32, c->slopes);
    return b;
}

void fr_both_close(fr_both *b)
{
    for (int i = 0; i < N_PAIRS; i++) {
        fr_pair_free(b->pairs + i);
    }
    fr_pair_free(&b->slopes);
    fr_attention_case_destroy(&b->c);
}

fr_view fr_both_view(const fr_both *b, int i, bool on_cuda)
{
    return fr_view_at(on_cuda ? b->pairs[i].on_cuda : b->pairs[i].on_cpu, b->shift);
}

fr_f32 *fr_both_f32(const fr_both *b, int i, bool on_cuda)
{
    return (fr_f32 *)(on_cuda ? b->pairs[i].cuda : b->pairs[i].cpu);
}

fr_attention_params fr_both_params(const fr_both *b, bool on_cuda)
{
    fr_attention_params params = b->c->params;
    params.prefix_k_PGK = fr_both_f32(b, PREFIX_K, on_cuda);
    params.prefix_v_PGK = fr_both_f32(b, PREFIX_V, on_cuda);
    if (params.slopes_H != NULL) {
        params.slopes_H =
            on_cuda ? fr_pair_cuda_f32(&b->slopes) : fr_pair_cpu_f32(&b->slopes);
    }
    return params;
}

void fr_both_forward(const fr_both *b, bool on_cuda)
{
    fr_attention_params params = fr_both_params(b, on_cuda);
    FR_ASSERT_OK(fr_attention(on_cuda ? b->two->cuda : b->two->cpu, &params,
                              fr_both_view(b, Q, on_cuda), fr_both_view(b, K, on_cuda),
                              fr_both_view(b, V, on_cuda), fr_both_view(b, O, on_cuda),
                              fr_both_f32(b, LSE, on_cuda)));
}

void fr_both_backward(const fr_both *b, bool on_cuda, bool prefix_only)
{
    fr_attention_params params = fr_both_params(b, on_cuda);
    bool has_prefix = params.prefix_length > 0;
    fr_attention_gradients gradients = {.n_units = b->c->n_units};
    gradients.dq.dtype = b->pairs[Q].on_cuda.dtype;
    if (!on_cuda) {
        gradients.dq.dtype = FR_F32;
    }
    gradients.dk = gradients.dq;
    gradients.dv = gradients.dq;
    if (!prefix_only) {
        gradients.dq = fr_both_view(b, DQ, on_cuda);
        gradients.dk = fr_both_view(b, DK, on_cuda);
        gradients.dv = fr_both_view(b, DV, on_cuda);
    }
    if (has_prefix) {
        gradients.dprefix_k_UPGK = fr_both_f32(b, DPREFIX_K, on_cuda);
        gradients.dprefix_v_UPGK = fr_both_f32(b, DPREFIX_V, on_cuda);
    }
    FR_ASSERT_OK(fr_attention_back(
        on_cuda ? b->two->cuda : b->two->cpu, &params, fr_both_view(b, Q, on_cuda),
        fr_both_view(b, K, on_cuda), fr_both_view(b, V, on_cuda),
        fr_both_view(b, O, on_cuda), fr_both_f32(b, LSE, on_cuda),
        fr_both_view(b, D_O, on_cuda), &gradients));
}

/* Outputs of views are rounded to bf16; what is f32 there still comes from outputs that are. */
void fr_both_assert_near(const fr_both *b, bool with_gradients)
{
    bool narrow = b->pairs[Q].on_cuda.dtype == FR_BF16;
    for (int i = O; i < (with_gradients ? N_PAIRS : DQ); i++) {
        if (b->pairs[i].n > start(b, i)) {
            bool exact = !narrow || i == LSE;
            fr_pair_assert_near(b->pairs + i, exact ? 2e-5 : 1e-2);
        }
    }
}

void fr_both_compare(const fr_two *two, const fr_attention_layout *layout,
                     const fr_attention_shape *shape, const fr_attention_scores *scores,
                     fr_dtype dtype)
{
    unsigned failures = CU_get_number_of_failures();
    fr_attention_case *c =
        fr_attention_case_create(shape, layout->n_segments, layout->segments);
    fr_attention_case_score(c, scores);
    fr_both b = fr_both_open(two, c, dtype, 0);
    bool decodes = layout == &fr_decode_layout;
    for (int device = 0; device < 2; device++) {
        fr_both_forward(&b, device == 1);
        if (!decodes) {
            fr_both_backward(&b, device == 1, false);
        }
    }
    fr_both_assert_near(&b, !decodes);
    if (CU_get_number_of_failures() > failures) {
        printf("  %s, %s, %lld heads over %lld of %lld numbers, %lld slots, %s\n",
               layout->name, scores->name, (long long)shape->n_heads,
               (long long)shape->n_kv_heads, (long long)shape->head_dim,
               (long long)shape->prefix_length, dtype == FR_F32 ? "f32" : "bf16");
    }
    fr_both_close(&b);
}

/* Rows of one buffer of `got` from row `first` on have the bits of the first rows of `wanted`. */
void fr_both_assert_rows(const fr_both *got, const fr_both *wanted, int i,
                         int64_t first, int64_t rows, int64_t stride)
{
    float *a = fr_pair_fetch(got->pairs + i);
    float *b = fr_pair_fetch(wanted->pairs + i);
    fr_assert_same_bytes(got->pairs[i].name, a + start(got, i) + first * stride,
                         b + start(wanted, i), (size_t)(rows * stride) * sizeof(float));
    free(a);
    free(b);
}

static void assert_unit(const fr_both *got, const fr_both *wanted, int64_t first,
                        int64_t unit)
{
    const fr_attention_params *p = &wanted->c->params;
    int64_t width = p->n_heads * p->head_dim;
    int64_t prefix = fr_attention_case_prefix_count(wanted->c);
    fr_both_assert_rows(got, wanted, O, first, FR_UNIT_ROWS, width);
    fr_both_assert_rows(got, wanted, LSE, first, FR_UNIT_ROWS, p->n_heads);
    fr_both_assert_rows(got, wanted, DQ, first, FR_UNIT_ROWS, p->q_stride);
    fr_both_assert_rows(got, wanted, DK, first, FR_UNIT_ROWS, p->kv_stride);
    fr_both_assert_rows(got, wanted, DV, first, FR_UNIT_ROWS, p->kv_stride);
    fr_both_assert_rows(got, wanted, DPREFIX_K, unit, 1, prefix);
    fr_both_assert_rows(got, wanted, DPREFIX_V, unit, 1, prefix);
}

void fr_both_assert_unit_alone(const fr_two *two, const fr_attention_shape *shape,
                               const fr_attention_scores *scores, fr_dtype dtype)
{
    enum { FIRST = 141, OTHER = 5 };
    fr_segment alone[FR_UNIT_SEGMENTS];
    fr_segment many[3 * FR_UNIT_SEGMENTS];
    fr_attention_unit(0, 0, alone);
    fr_attention_unit(OTHER, 0, many);
    fr_attention_unit(FIRST, 1, many + FR_UNIT_SEGMENTS);
    fr_attention_unit(FIRST + FR_UNIT_ROWS, 2, many + 2 * FR_UNIT_SEGMENTS);
    fr_attention_case *small = fr_attention_case_create(shape, FR_UNIT_SEGMENTS, alone);
    fr_attention_case *large =
        fr_attention_case_create(shape, 3 * FR_UNIT_SEGMENTS, many);
    fr_attention_case_copy_inputs(small, large, FIRST, FR_UNIT_ROWS);
    fr_attention_case_score(small, scores);
    fr_attention_case_score(large, scores);
    fr_both a = fr_both_open(two, small, dtype, 0);
    fr_both b = fr_both_open(two, large, dtype, 0);
    fr_both_forward(&a, true);
    fr_both_backward(&a, true, false);
    fr_both_forward(&b, true);
    fr_both_backward(&b, true, false);
    assert_unit(&b, &a, FIRST, 1);
    fr_both_close(&a);
    fr_both_close(&b);
}

void fr_both_assert_shifted(const fr_two *two, const fr_attention_shape *shape,
                            int64_t more, fr_dtype dtype)
{
    int64_t width = shape->n_heads * shape->head_dim;
    int64_t key_width = shape->n_kv_heads * shape->head_dim;
    fr_both b[2];
    for (int shift = 0; shift < 2; shift++) {
        const fr_attention_layout *layout = fr_training_layouts + 3;
        fr_attention_case *c =
            fr_attention_case_create(shape, layout->n_segments, layout->segments);
        c->params.q_stride = width + more;
        c->params.kv_stride = key_width;
        b[shift] = fr_both_open(two, c, dtype, shift);
        for (int device = 0; device < 2; device++) {
            fr_both_forward(b + shift, device == 1);
            fr_both_backward(b + shift, device == 1, false);
        }
        fr_both_assert_near(b + shift, true);
    }
    for (int p = O; p < N_PAIRS; p++) {
        fr_both_assert_rows(b + 1, b, p, 0, 1, b[0].pairs[p].n);
    }
    fr_both_close(b);
    fr_both_close(b + 1);
}

void fr_both_assert_prefix_alone(const fr_two *two, const fr_attention_shape *shape,
                                 fr_dtype dtype)
{
    const fr_attention_layout *layout = fr_training_layouts + 2;
    fr_both b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = fr_both_open(
            two, fr_attention_case_create(shape, layout->n_segments, layout->segments),
            dtype, 0);
        fr_both_forward(b + i, true);
        fr_both_backward(b + i, true, i == 1);
    }
    fr_both_assert_rows(b + 1, b, DPREFIX_K, 0, 1, b[0].pairs[DPREFIX_K].n);
    fr_both_assert_rows(b + 1, b, DPREFIX_V, 0, 1, b[0].pairs[DPREFIX_V].n);
    for (int i = DQ; i <= DV; i++) {
        fr_pair_assert_same(b[1].pairs + i);
    }
    fr_both_close(b);
    fr_both_close(b + 1);
}

void fr_both_assert_first_rows(const fr_two *two, const fr_attention_shape *shape,
                               fr_dtype dtype)
{
    enum { ROWS = 70, FEWER = 37 };
    fr_segment segment = {.q_count = ROWS, .sees_prefix = true};
    fr_both whole =
        fr_both_open(two, fr_attention_case_create(shape, 1, &segment), dtype, 0);
    segment.q_count = FEWER;
    fr_both part =
        fr_both_open(two, fr_attention_case_create(shape, 1, &segment), dtype, 0);
    fr_both_forward(&whole, true);
    fr_both_forward(&part, true);
    fr_both_assert_rows(&whole, &part, O, 0, FEWER, shape->n_heads * shape->head_dim);
    fr_both_assert_rows(&whole, &part, LSE, 0, FEWER, shape->n_heads);
    fr_both_close(&whole);
    fr_both_close(&part);
}

void fr_both_assert_spoilt(const fr_two *two, const fr_attention_shape *shape,
                           fr_dtype dtype, float number)
{
    enum { ROWS = 40, SPOILT = 35 };
    fr_segment segment = {.q_count = ROWS, .sees_prefix = true};
    int64_t width = shape->n_heads * shape->head_dim;
    fr_both b[2];
    for (int spoilt = 0; spoilt < 2; spoilt++) {
        fr_attention_case *c = fr_attention_case_create(shape, 1, &segment);
        for (int64_t j = 0; j < width && spoilt == 1; j++) {
            c->q[SPOILT * c->params.q_stride + j] = number;
        }
        b[spoilt] = fr_both_open(two, c, dtype, 0);
        fr_both_forward(b + spoilt, true);
        fr_both_forward(b + spoilt, false);
    }
    float *clean = fr_pair_fetch(b[0].pairs + O);
    float *got = fr_pair_fetch(b[1].pairs + O);
    const float *wanted = b[1].pairs[O].cpu;
    int64_t after = (SPOILT + 1) * width;
    fr_assert_same_bytes("rows before", got, clean,
                         (size_t)(SPOILT * width) * sizeof(float));
    fr_assert_same_bytes("rows after", got + after, clean + after,
                         (size_t)(ROWS * width - after) * sizeof(float));
    for (int64_t j = SPOILT * width; j < after; j++) {
        CU_ASSERT_EQUAL(isnan(got[j]), isnan(wanted[j]));
    }
    float *lse = fr_pair_fetch(b[1].pairs + LSE);
    const float *wanted_lse = b[1].pairs[LSE].cpu;
    for (int64_t h = SPOILT * shape->n_heads; h < (SPOILT + 1) * shape->n_heads; h++) {
        CU_ASSERT_EQUAL(isnan(lse[h]), isnan(wanted_lse[h]));
    }
    free(lse);
    free(clean);
    free(got);
    fr_both_close(b);
    fr_both_close(b + 1);
}
