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

static void layouts_and_shapes(void)
{
    fr_two two = fr_two_open();
    for (int s = 0; s < FR_ATTENTION_SHAPES; s++) {
        if (!fr_pair_takes(s, 6)) {
            continue;
        }
        for (int l = 0; l < FR_TRAINING_LAYOUTS; l++) {
            fr_both_compare(&two, fr_training_layouts + l, fr_attention_shapes + s,
                            &PLAIN, FR_F32);
        }
        fr_both_compare(&two, &fr_decode_layout, fr_attention_shapes + s, &PLAIN,
                        FR_F32);
        fr_both_compare(&two, fr_training_layouts + s % FR_TRAINING_LAYOUTS,
                        fr_attention_shapes + s, &PLAIN, FR_BF16);
        fr_both_compare(&two, &fr_decode_layout, fr_attention_shapes + s, &PLAIN,
                        FR_BF16);
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
            fr_both_compare(&two, fr_training_layouts + l, SHAPES, of, FR_F32);
        }
        fr_both_compare(&two, fr_training_layouts + i % FR_TRAINING_LAYOUTS, SHAPES + 1,
                        of, FR_BF16);
        fr_both_compare(&two, &fr_decode_layout, SHAPES + 1, of, FR_F32);
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
            fr_both_compare(&two, fr_training_layouts + i % 2, SHAPES + i / 2, &scores,
                            FR_F32);
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
        fr_both_compare(&two, &LAYOUT, &shape, &PLAIN, FR_F32);
        fr_both_compare(&two, &LAYOUT, &shape, fr_attention_scores_list + 13, FR_BF16);
    }
    fr_attention_shape large = {1, 1, 513, 0};
    fr_both b = fr_both_open(
        &two, fr_attention_case_create(&large, LAYOUT.n_segments, LAYOUT.segments),
        FR_F32, 0);
    fr_attention_params params = fr_both_params(&b, true);
    FR_ASSERT_FAILS(fr_attention(two.cuda, &params, fr_both_view(&b, Q, true),
                                 fr_both_view(&b, K, true), fr_both_view(&b, V, true),
                                 fr_both_view(&b, O, true), NULL),
                    FR_ERR_UNSUPPORTED, "513");
    fr_both_close(&b);
    fr_two_close(&two);
}

static void a_unit_among_others(void)
{
    static const fr_attention_shape SHAPES[] = {
        {6, 2, 20, 37}, {5, 1, 64, 3}, {2, 2, 136, 9}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES) * 2; i++) {
        if (fr_pair_takes(i, 5)) {
            fr_both_assert_unit_alone(&two, SHAPES + i / 2,
                                      i % 2 == 0 ? &PLAIN
                                                 : fr_attention_scores_list + 9,
                                      fr_digit_type(i % 2));
        }
    }
    fr_two_close(&two);
}

static void first_rows_alone(void)
{
    static const fr_attention_shape SHAPE = {3, 1, 20, 4};
    fr_two two = fr_two_open();
    fr_both_assert_first_rows(&two, &SHAPE, FR_F32);
    fr_two_close(&two);
}

/* Rows that begin at multiples of four numbers are read and written by fours; a number further on, one by one. */
static void rows_by_fours(void)
{
    static const fr_attention_shape SHAPES[] = {
        {4, 2, 16, 8}, {2, 1, 68, 3}, {2, 1, 128, 1}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES) * 2; i++) {
        if (fr_pair_takes(i, 5)) {
            fr_both_assert_shifted(&two, SHAPES + i / 2, 4, fr_digit_type(i % 2));
        }
    }
    fr_two_close(&two);
}

static void prefix_gradients_alone(void)
{
    static const fr_attention_shape SHAPE = {6, 2, 12, 33};
    fr_two two = fr_two_open();
    for (int type = 0; type < 2; type++) {
        fr_both_assert_prefix_alone(&two, &SHAPE, fr_digit_type(type));
    }
    fr_two_close(&two);
}

/* Each unit's own prefix, of other lengths, one that slides and one of none; and no log-sum-exp. */
static void a_prefix_for_each_unit(void)
{
    static const fr_attention_shape SHAPE = {6, 2, 12, 40};
    const fr_attention_layout *layout = fr_training_layouts + 2;
    fr_two two = fr_two_open();
    fr_both b = fr_both_open(
        &two, fr_attention_case_create(&SHAPE, layout->n_segments, layout->segments),
        FR_F32, 0);
    b.c->params.window = 21;
    for (int device = 0; device < 2; device++) {
        fr_attention_params params = fr_both_params(&b, device == 1);
        const fr_f32 *k = params.prefix_k_PGK;
        const fr_f32 *v = params.prefix_v_PGK;
        fr_attention_prefix prefixes[] = {
            {33, k + 24, v + 24, true}, {0, NULL, NULL, false}, {7, k + 48, v, false}};
        params.prefixes_U = prefixes;
        FR_ASSERT_OK(fr_attention(
            device == 1 ? two.cuda : two.cpu, &params, fr_both_view(&b, Q, device == 1),
            fr_both_view(&b, K, device == 1), fr_both_view(&b, V, device == 1),
            fr_both_view(&b, O, device == 1), NULL));
    }
    fr_pair_assert_near(b.pairs + O, 2e-5);
    fr_pair_assert_same(b.pairs + LSE); /* untouched */
    fr_both_close(&b);
    fr_two_close(&two);
}

/* A query of NaN, an infinite one, and one whose scores overflow spoil their own rows alone. */
static void extreme_queries(void)
{
    static const fr_attention_shape SHAPE = {1, 1, 8, 3};
    static const float EXTREME[] = {NAN, INFINITY, 3e38F};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(EXTREME); i++) {
        if (fr_pair_takes(i, 3)) {
            fr_both_assert_spoilt(&two, &SHAPE, FR_F32, EXTREME[i]);
        }
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
        fr_both b = fr_both_open(&two, fr_attention_case_create(&SHAPE, 2, segments),
                                 FR_F32, 0);
        b.c->params.n_segments = n;
        for (int device = 0; device < 2; device++) {
            fr_both_forward(&b, device == 1);
            fr_both_backward(&b, device == 1, false);
        }
        fr_both_assert_near(&b, true);
        fr_both_close(&b);
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
