/* Attention on tensor cores: views in bf16 with heads of 64, 96, 128 and 256 numbers. Against the CPU's within bf16 roundings of weights,
 * inputs being the same, and bit by bit against itself, as test_attention.c does for the other kernels. */
#include "attention_both.h"
#include "support/attention_case.h"
#include "support/suite.h"

#include <math.h>

static const int64_t DIMS[] = {64, 96, 128, 256};
static const fr_attention_scores PLAIN = {.name = "plain", .factor = 1};
/* a window, slopes, a cap and a prefix that slides */
enum { ALL_SCORES = 13 };

/* Segments, heads of a group and slots are more and less than a tile has. */
static void layouts_and_scores(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DIMS) * (FR_TRAINING_LAYOUTS + 1); i++) {
        int d = i / (FR_TRAINING_LAYOUTS + 1);
        int l = i % (FR_TRAINING_LAYOUTS + 1);
        if (!fr_pair_takes(i, 7)) {
            continue;
        }
        const fr_attention_layout *layout =
            l < FR_TRAINING_LAYOUTS ? fr_training_layouts + l : &fr_decode_layout;
        const fr_attention_shape few = {2, 1, DIMS[d], 7};
        const fr_attention_shape many = {3, 1, DIMS[d], 70};
        fr_both_compare(&two, layout, l % 2 == 0 ? &many : &few, &PLAIN, FR_BF16);
        fr_both_compare(&two, layout, l % 2 == 0 ? &few : &many,
                        fr_attention_scores_list + i % FR_ATTENTION_SCORES, FR_BF16);
    }
    fr_two_close(&two);
}

/* Each way to score, and groups of heads that a tile of 16 rows cuts. */
static void scores(void)
{
    static const fr_attention_shape SHAPE = {5, 1, 64, 20};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_ATTENTION_SCORES; i++) {
        if (fr_pair_takes(i, 13)) {
            fr_both_compare(&two, fr_training_layouts + i % FR_TRAINING_LAYOUTS, &SHAPE,
                            fr_attention_scores_list + i, FR_BF16);
        }
    }
    fr_two_close(&two);
}

/* The keys that a tile of queries skips end at each place around a step's end: steps have 16, 32 or 64 keys or queries. */
static void windows_around_a_step(void)
{
    static const int64_t STEPS[] = {16, 32, 64};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(STEPS) * 6; i++) {
        if (!fr_pair_takes(i, 9)) {
            continue;
        }
        const fr_attention_shape shape = {1, 1, i % 2 == 0 ? 64 : 256, 33};
        const fr_attention_scores scores = {.name = "a window",
                                            .factor = 1,
                                            .window = STEPS[i / 6] - 2 + i % 6,
                                            .prefix_slides = true};
        fr_both_compare(&two, fr_training_layouts + i % 2, &shape, &scores, FR_BF16);
    }
    fr_two_close(&two);
}

static void a_unit_among_others(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DIMS); i++) {
        if (fr_pair_takes(i, 4)) {
            const fr_attention_shape shape = {3, 1, DIMS[i], 37};
            fr_both_assert_unit_alone(
                &two, &shape,
                i % 2 == 0 ? &PLAIN : fr_attention_scores_list + ALL_SCORES, FR_BF16);
        }
    }
    fr_two_close(&two);
}

static void first_rows_alone(void)
{
    static const fr_attention_shape SHAPES[] = {{3, 1, 64, 4}, {1, 1, 256, 4}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        fr_both_assert_first_rows(&two, SHAPES + i, FR_BF16);
    }
    fr_two_close(&two);
}

/* Rows that begin at multiples of 16 bytes are copied; a number further on, they come one by one. */
static void rows_by_eights(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DIMS); i++) {
        if (fr_pair_takes(i, 4)) {
            const fr_attention_shape shape = {2, 1, DIMS[i], 3};
            fr_both_assert_shifted(&two, &shape, 0, FR_BF16);
        }
    }
    fr_two_close(&two);
}

static void prefix_gradients_alone(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DIMS); i++) {
        if (fr_pair_takes(i, 4)) {
            const fr_attention_shape shape = {2, 2, DIMS[i], 65};
            fr_both_assert_prefix_alone(&two, &shape, FR_BF16);
        }
    }
    fr_two_close(&two);
}

/* The kernels round prefixes to bf16: numbers between those of bf16 give the bits of the rounded ones. */
static void prefixes_are_rounded(void)
{
    static const fr_attention_shape SHAPE = {2, 1, 96, 19};
    const fr_attention_layout *layout = fr_training_layouts + 2;
    fr_two two = fr_two_open();
    fr_both b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = fr_both_open(
            &two,
            fr_attention_case_create(&SHAPE, layout->n_segments, layout->segments),
            FR_BF16, 0);
        for (int p = PREFIX_K; p <= PREFIX_V && i == 1; p++) {
            fr_pair *pair = b[i].pairs + p;
            int64_t n = pair->n;
            fr_pair_free(pair);
            *pair = fr_pair_of(&two, "a prefix of f32", n, FR_F32,
                               p == PREFIX_K ? b[i].c->prefix_k : b[i].c->prefix_v);
        }
        fr_both_forward(b + i, true);
        fr_both_backward(b + i, true, false);
    }
    for (int p = O; p < N_PAIRS; p++) {
        fr_both_assert_rows(b + 1, b, p, 0, 1, b[0].pairs[p].n);
    }
    fr_both_close(b);
    fr_both_close(b + 1);
    fr_two_close(&two);
}

static void extreme_queries(void)
{
    static const fr_attention_shape SHAPES[] = {{1, 1, 64, 3}, {1, 1, 128, 3}};
    static const float EXTREME[] = {NAN, INFINITY, 3e38F};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(EXTREME) * FR_N_CASES(SHAPES); i++) {
        if (fr_pair_takes(i, 6)) {
            fr_both_assert_spoilt(&two, SHAPES + i / FR_N_CASES(EXTREME), FR_BF16,
                                  EXTREME[i % FR_N_CASES(EXTREME)]);
        }
    }
    fr_two_close(&two);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(layouts_and_scores),     FR_CASE(scores),
        FR_CASE(windows_around_a_step),  FR_CASE(a_unit_among_others),
        FR_CASE(first_rows_alone),       FR_CASE(rows_by_eights),
        FR_CASE(prefix_gradients_alone), FR_CASE(prefixes_are_rounded),
        FR_CASE(extreme_queries),
    };
    return fr_suite_main("cuda_attention_tensor", CASES, FR_N_CASES(CASES), argc, argv);
}
