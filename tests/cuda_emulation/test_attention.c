/* Attention of a CUDA device, forward and backward, against the CPU's: within 2e-5 of the largest number in f32, and within a
 * bf16 rounding of numbers that were rounded before. And bit by bit against itself: what a unit gets depends on the unit alone. */
#include "attention_both.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const fr_attention_scores PLAIN = {.name = "plain", .factor = 1};

static void compare(const fr_two *two, const fr_attention_layout *layout,
                    const fr_attention_shape *shape, const fr_attention_scores *scores,
                    fr_dtype dtype)
{
    unsigned failures = CU_get_number_of_failures();
    fr_attention_case *c =
        fr_attention_case_create(shape, layout->n_segments, layout->segments);
    fr_attention_case_score(c, scores);
    both b = open_both(two, c, dtype, 0);
    bool decodes = layout == &fr_decode_layout;
    for (int device = 0; device < 2; device++) {
        forward(&b, device == 1);
        if (!decodes) {
            backward(&b, device == 1, false);
        }
    }
    assert_near(&b, !decodes);
    if (CU_get_number_of_failures() > failures) {
        printf("  %s, %s, %lld heads over %lld of %lld numbers, %lld slots, %s\n",
               layout->name, scores->name, (long long)shape->n_heads,
               (long long)shape->n_kv_heads, (long long)shape->head_dim,
               (long long)shape->prefix_length, dtype == FR_F32 ? "f32" : "bf16");
    }
    close_both(&b);
}

static void layouts_and_shapes(void)
{
    fr_two two = fr_two_open();
    for (int s = 0; s < FR_ATTENTION_SHAPES; s++) {
        if (!fr_pair_takes(s, 6)) {
            continue;
        }
        for (int l = 0; l < FR_TRAINING_LAYOUTS; l++) {
            compare(&two, fr_training_layouts + l, fr_attention_shapes + s, &PLAIN,
                    FR_F32);
        }
        compare(&two, &fr_decode_layout, fr_attention_shapes + s, &PLAIN, FR_F32);
        compare(&two, fr_training_layouts + s % FR_TRAINING_LAYOUTS,
                fr_attention_shapes + s, &PLAIN, FR_BF16);
        compare(&two, &fr_decode_layout, fr_attention_shapes + s, &PLAIN, FR_BF16);
    }
    fr_two_close(&two);
}

static void scores(void)
{
    static const fr_attention_shape SHAPES[] = {{4, 2, 7, 33}, {6, 2, 20, 70}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_ATTENTION_SCORES; i++) {
        if (!fr_pair_takes(i, 13)) {
            continue;
        }
        const fr_attention_scores *of = fr_attention_scores_list + i;
        for (int l = 0; l < FR_TRAINING_LAYOUTS; l++) {
            compare(&two, fr_training_layouts + l, SHAPES, of, FR_F32);
        }
        compare(&two, fr_training_layouts + i % FR_TRAINING_LAYOUTS, SHAPES + 1, of,
                FR_BF16);
        compare(&two, &fr_decode_layout, SHAPES + 1, of, FR_F32);
    }
    fr_two_close(&two);
}

/* The keys that a tile of queries skips end at each place of a step of keys. */
static void windows_around_a_step(void)
{
    enum { STEP = 32 };
    static const fr_attention_shape SHAPES[] = {{4, 2, 7, 33}, {1, 1, 7, 33}};
    fr_two two = fr_two_open();
    for (int window = STEP - 2; window < STEP + 4; window++) {
        if (!fr_pair_takes(window - STEP, 6)) {
            continue;
        }
        for (int i = 0; i < 2 * FR_N_CASES(SHAPES); i++) {
            const fr_attention_scores scores = {.name = "a window",
                                                .factor = 1,
                                                .window = window,
                                                .prefix_slides = true};
            compare(&two, fr_training_layouts + i % 2, SHAPES + i / 2, &scores, FR_F32);
        }
    }
    fr_two_close(&two);
}

/* Heads on both sides of each multiple of 64. */
static void head_sizes(void)
{
    static const int64_t DIMS[] = {1, 3, 63, 65, 96, 128, 129, 192, 256, 257, 301, 512};
    static const fr_attention_layout LAYOUT = {
        "short",
        3,
        {{0, 11, 0, 0, 0, true, 0, {{0, 0, 0}}},
         {11, 9, 11, 0, 0, true, 1, {{0, 11, 0}}},
         {20, 34, 20, 0, 1, true, 0, {{0, 0, 0}}}}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DIMS); i++) {
        if (!fr_pair_takes(i, 5)) {
            continue;
        }
        fr_attention_shape shape = {2, 1, DIMS[i], 5};
        compare(&two, &LAYOUT, &shape, &PLAIN, FR_F32);
        compare(&two, &LAYOUT, &shape, fr_attention_scores_list + 13, FR_BF16);
    }
    fr_attention_shape large = {1, 1, 513, 0};
    both b = open_both(
        &two, fr_attention_case_create(&large, LAYOUT.n_segments, LAYOUT.segments),
        FR_F32, 0);
    fr_attention_params params = params_of(&b, true);
    FR_ASSERT_FAILS(fr_attention(two.cuda, &params, view_of(&b, Q, true),
                                 view_of(&b, K, true), view_of(&b, V, true),
                                 view_of(&b, O, true), NULL),
                    FR_ERR_UNSUPPORTED, "513");
    close_both(&b);
    fr_two_close(&two);
}

/* Rows of one buffer of `got` from row `first` on have the bits of the first rows of `wanted`. */
static void assert_rows(const both *got, const both *wanted, int i, int64_t first,
                        int64_t rows, int64_t stride)
{
    float *a = fr_pair_fetch(got->pairs + i);
    float *b = fr_pair_fetch(wanted->pairs + i);
    fr_assert_same_bytes(got->pairs[i].name, a + start_of(got, i) + first * stride,
                         b + start_of(wanted, i),
                         (size_t)(rows * stride) * sizeof(float));
    free(a);
    free(b);
}

static void assert_unit(const both *got, const both *wanted, int64_t first,
                        int64_t unit)
{
    const fr_attention_params *p = &wanted->c->params;
    int64_t width = p->n_heads * p->head_dim;
    int64_t prefix = fr_attention_case_prefix_count(wanted->c);
    assert_rows(got, wanted, O, first, FR_UNIT_ROWS, width);
    assert_rows(got, wanted, LSE, first, FR_UNIT_ROWS, p->n_heads);
    assert_rows(got, wanted, DQ, first, FR_UNIT_ROWS, p->q_stride);
    assert_rows(got, wanted, DK, first, FR_UNIT_ROWS, p->kv_stride);
    assert_rows(got, wanted, DV, first, FR_UNIT_ROWS, p->kv_stride);
    assert_rows(got, wanted, DPREFIX_K, unit, 1, prefix);
    assert_rows(got, wanted, DPREFIX_V, unit, 1, prefix);
}

/* The inputs of `from`'s rows, to row `first` of `to`. */
static void copy_inputs(const fr_attention_case *from, fr_attention_case *to,
                        int64_t first)
{
    const fr_attention_params *p = &to->params;
    int64_t width = p->n_heads * p->head_dim;
    size_t q_bytes = (size_t)(FR_UNIT_ROWS * p->q_stride) * sizeof(float);
    size_t key_bytes = (size_t)(FR_UNIT_ROWS * p->kv_stride) * sizeof(float);
    memcpy(to->q + first * p->q_stride, from->q, q_bytes);
    memcpy(to->k + first * p->kv_stride, from->k, key_bytes);
    memcpy(to->v + first * p->kv_stride, from->v, key_bytes);
    memcpy(to->d_o + first * width, from->d_o,
           (size_t)(FR_UNIT_ROWS * width) * sizeof(float));
}

/* A unit alone, and as the second of three behind a gap: rows, prefix gradients and all have the same bits. */
static void a_unit_among_others(void)
{
    enum { FIRST = 141, OTHER = 5 };
    static const fr_attention_shape SHAPES[] = {
        {6, 2, 20, 37}, {5, 1, 64, 3}, {2, 2, 136, 9}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES) * 2; i++) {
        if (!fr_pair_takes(i, 5)) {
            continue;
        }
        const fr_attention_shape *shape = SHAPES + i / 2;
        fr_segment alone[FR_UNIT_SEGMENTS];
        fr_segment many[3 * FR_UNIT_SEGMENTS];
        fr_attention_unit(0, 0, alone);
        fr_attention_unit(OTHER, 0, many);
        fr_attention_unit(FIRST, 1, many + FR_UNIT_SEGMENTS);
        fr_attention_unit(FIRST + FR_UNIT_ROWS, 2, many + 2 * FR_UNIT_SEGMENTS);
        fr_attention_case *small =
            fr_attention_case_create(shape, FR_UNIT_SEGMENTS, alone);
        fr_attention_case *large =
            fr_attention_case_create(shape, 3 * FR_UNIT_SEGMENTS, many);
        copy_inputs(small, large, FIRST);
        fr_attention_case_score(small,
                                i % 2 == 0 ? &PLAIN : fr_attention_scores_list + 9);
        fr_attention_case_score(large,
                                i % 2 == 0 ? &PLAIN : fr_attention_scores_list + 9);
        both a = open_both(&two, small, i % 2 == 0 ? FR_F32 : FR_BF16, 0);
        both b = open_both(&two, large, i % 2 == 0 ? FR_F32 : FR_BF16, 0);
        forward(&a, true);
        backward(&a, true, false);
        forward(&b, true);
        backward(&b, true, false);
        assert_unit(&b, &a, FIRST, 1);
        close_both(&a);
        close_both(&b);
    }
    fr_two_close(&two);
}

/* A segment of which only the first rows are asked for: what comes behind a query does not matter to it. */
static void first_rows_alone(void)
{
    enum { ROWS = 70, FEWER = 37 };
    static const fr_attention_shape SHAPE = {3, 1, 20, 4};
    fr_segment segment = {.q_count = ROWS, .sees_prefix = true};
    fr_two two = fr_two_open();
    both whole =
        open_both(&two, fr_attention_case_create(&SHAPE, 1, &segment), FR_F32, 0);
    segment.q_count = FEWER;
    both part =
        open_both(&two, fr_attention_case_create(&SHAPE, 1, &segment), FR_F32, 0);
    forward(&whole, true);
    forward(&part, true);
    assert_rows(&whole, &part, O, 0, FEWER, 60);
    assert_rows(&whole, &part, LSE, 0, FEWER, 3);
    close_both(&whole);
    close_both(&part);
    fr_two_close(&two);
}

/* Rows that begin at multiples of four numbers are read and written by fours; a number further on, one by one. */
static void rows_by_fours(void)
{
    static const fr_attention_shape SHAPES[] = {
        {4, 2, 16, 8}, {2, 1, 68, 3}, {2, 1, 128, 1}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES) * 2; i++) {
        if (!fr_pair_takes(i, 5)) {
            continue;
        }
        both b[2];
        for (int shift = 0; shift < 2; shift++) {
            const fr_attention_layout *layout = fr_training_layouts + 3;
            fr_attention_case *c = fr_attention_case_create(
                SHAPES + i / 2, layout->n_segments, layout->segments);
            c->params.q_stride -= 1; /* 4 numbers more than the heads */
            c->params.kv_stride -= 3;
            b[shift] = open_both(&two, c, fr_digit_type(i % 2), shift);
            for (int device = 0; device < 2; device++) {
                forward(b + shift, device == 1);
                backward(b + shift, device == 1, false);
            }
            assert_near(b + shift, true);
        }
        for (int p = O; p < N_PAIRS; p++) {
            assert_rows(b + 1, b, p, 0, 1, b[0].pairs[p].n);
        }
        close_both(b);
        close_both(b + 1);
    }
    fr_two_close(&two);
}

/* Without dq: the same prefix gradients, and nothing else is touched. */
static void prefix_gradients_alone(void)
{
    fr_two two = fr_two_open();
    for (int type = 0; type < 2; type++) {
        static const fr_attention_shape SHAPE = {6, 2, 12, 33};
        const fr_attention_layout *layout = fr_training_layouts + 2;
        both b[2];
        for (int i = 0; i < 2; i++) {
            b[i] = open_both(
                &two,
                fr_attention_case_create(&SHAPE, layout->n_segments, layout->segments),
                fr_digit_type(type), 0);
            forward(b + i, true);
            backward(b + i, true, i == 1);
        }
        assert_rows(b + 1, b, DPREFIX_K, 0, 1, b[0].pairs[DPREFIX_K].n);
        assert_rows(b + 1, b, DPREFIX_V, 0, 1, b[0].pairs[DPREFIX_V].n);
        for (int i = DQ; i <= DV; i++) {
            fr_pair_assert_same(b[1].pairs + i);
        }
        close_both(b);
        close_both(b + 1);
    }
    fr_two_close(&two);
}

/* Each unit's own prefix, of other lengths, one that slides and one of none; and no log-sum-exp. */
static void a_prefix_for_each_unit(void)
{
    static const fr_attention_shape SHAPE = {6, 2, 12, 40};
    const fr_attention_layout *layout = fr_training_layouts + 2;
    fr_two two = fr_two_open();
    both b = open_both(
        &two, fr_attention_case_create(&SHAPE, layout->n_segments, layout->segments),
        FR_F32, 0);
    b.c->params.window = 21;
    for (int device = 0; device < 2; device++) {
        fr_attention_params params = params_of(&b, device == 1);
        const fr_f32 *k = params.prefix_k_PGK;
        const fr_f32 *v = params.prefix_v_PGK;
        fr_attention_prefix prefixes[] = {
            {33, k + 24, v + 24, true}, {0, NULL, NULL, false}, {7, k + 48, v, false}};
        params.prefixes_U = prefixes;
        FR_ASSERT_OK(fr_attention(
            device == 1 ? two.cuda : two.cpu, &params, view_of(&b, Q, device == 1),
            view_of(&b, K, device == 1), view_of(&b, V, device == 1),
            view_of(&b, O, device == 1), NULL));
    }
    fr_pair_assert_near(b.pairs + O, 2e-5);
    fr_pair_assert_same(b.pairs + LSE); /* untouched */
    close_both(&b);
    fr_two_close(&two);
}

/* A query of NaN, an infinite one, and one whose scores overflow spoil their own rows alone. */
static void extreme_queries(void)
{
    static const fr_attention_shape SHAPE = {1, 1, 8, 3};
    static const float EXTREME[] = {NAN, INFINITY, 3e38F};
    fr_segment segment = {.q_count = 40, .sees_prefix = true};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(EXTREME); i++) {
        if (!fr_pair_takes(i, 3)) {
            continue;
        }
        both b[2];
        for (int spoilt = 0; spoilt < 2; spoilt++) {
            fr_attention_case *c = fr_attention_case_create(&SHAPE, 1, &segment);
            for (int j = 0; j < 8 && spoilt == 1; j++) {
                c->q[35 * c->params.q_stride + j] = EXTREME[i];
            }
            b[spoilt] = open_both(&two, c, FR_F32, 0);
            forward(b + spoilt, true);
            forward(b + spoilt, false);
        }
        float *clean = fr_pair_fetch(b[0].pairs + O);
        float *got = fr_pair_fetch(b[1].pairs + O);
        const float *wanted = b[1].pairs[O].cpu;
        fr_assert_same_bytes("rows before", got, clean, 35 * 8 * sizeof(float));
        fr_assert_same_bytes("rows after", got + 36 * 8, clean + 36 * 8,
                             4 * 8 * sizeof(float));
        for (int j = 35 * 8; j < 36 * 8; j++) {
            CU_ASSERT_EQUAL(isnan(got[j]), isnan(wanted[j]));
        }
        free(clean);
        free(got);
        close_both(b);
        close_both(b + 1);
    }
    fr_two_close(&two);
}

/* No segments, segments without queries, units without segments. */
static void nothing_to_do(void)
{
    static const fr_attention_shape SHAPE = {2, 1, 4, 3};
    fr_segment segments[] = {{.q_count = 3, .sees_prefix = true},
                             {.q_first = 3, .own_first = 3, .unit = 2}};
    fr_two two = fr_two_open();
    for (int n = 0; n <= 2; n++) {
        both b =
            open_both(&two, fr_attention_case_create(&SHAPE, 2, segments), FR_F32, 0);
        b.c->params.n_segments = n;
        for (int device = 0; device < 2; device++) {
            forward(&b, device == 1);
            backward(&b, device == 1, false);
        }
        assert_near(&b, true);
        close_both(&b);
    }
    fr_two_close(&two);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(layouts_and_shapes),     FR_CASE(scores),
        FR_CASE(windows_around_a_step),  FR_CASE(head_sizes),
        FR_CASE(a_unit_among_others),    FR_CASE(first_rows_alone),
        FR_CASE(rows_by_fours),          FR_CASE(prefix_gradients_alone),
        FR_CASE(a_prefix_for_each_unit), FR_CASE(extreme_queries),
        FR_CASE(nothing_to_do),
    };
    return fr_suite_main("cuda_attention", CASES, FR_N_CASES(CASES), argc, argv);
}
