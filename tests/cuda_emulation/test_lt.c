/* Products by an emulated cuBLASLt: each number is the sum of the algorithm that is pinned, whatever the types and the number of rows
 * are; what a library may not do is noticed, and the own kernels compute instead. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_case.h"

#include "device/cuda/lt.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The piece of the depth that an algorithm of cublaslt.cpp sums by itself: the one that it offers first for 4096 rows. */
enum { PIECE = 16, OTHER_PIECE = 32 };

/* ---- the sums -------------------------------------------------------------------------------- */

/* Depths [first, end) of a number, in pieces. */
static float sum_of(const fr_linear_case *linear, bool back, const float *left,
                    int64_t column, int64_t first, int64_t end, int64_t piece)
{
    int64_t n_in = linear->w.n_in;
    float sum = 0.0F;
    for (int64_t at = first; at < end; at += piece) {
        float part = 0.0F;
        for (int64_t d = at; d < at + piece && d < end; d++) {
            float w = linear->wide[back ? d * n_in + column : column * n_in + d];
            float product = fr_linear_case_round(linear->w.dtype, left[d]) * w;
            part += product;
        }
        sum += part;
    }
    return sum;
}

/* `out` holds what they are added to. */
static void wanted_sums(const fr_linear_case *linear, const fr_product_setting *s,
                        int64_t m, const float *left, int64_t piece, float *out)
{
    int64_t depth = fr_linear_case_depth(linear, s->back);
    int64_t columns = fr_linear_case_columns(linear, s->back);
    fr_lt_shape shape = {.n_out = linear->w.n_out,
                         .n_in = linear->w.n_in,
                         .back = s->back,
                         .in = linear->w.dtype};
    int64_t step = s->back ? fr_lt_block(&shape) : depth;
    for (int64_t i = 0; i < m * columns; i++) {
        const float *row = left + i / columns * depth;
        float sum = 0.0F;
        for (int64_t first = 0; first < depth; first += step) {
            int64_t end = first + step < depth ? first + step : depth;
            float part = sum_of(linear, s->back, row, i % columns, first, end, piece);
            sum = first > 0 ? part + sum : part;
        }
        out[i] = s->accumulate ? out[i] + sum : sum;
    }
}

/* Weights in f32 and a result in bf16: cuBLASLt has no such product. */
static bool is_offered(const fr_product_setting *s)
{
    return fr_product_weights(s) == FR_BF16 || fr_product_out(s) == FR_F32;
}

/* What a device without cuBLASLt makes of the same numbers. */
static void own_sums(const fr_product_setting *s, const fr_matrix *w, int64_t m,
                     int64_t n_left, int64_t n_out, float *out)
{
    fr_two two = fr_two_open();
    fr_product_case p = fr_product_case_init(&two, s, w->n_out, w->n_in);
    fr_pair left = fr_pair_numbers(&two, "left", n_left, fr_product_left(s), 5, 1);
    fr_pair own = fr_pair_numbers(&two, "own", n_out, fr_product_out(s), 11, 1);
    fr_product_case_run(&two, s, m, fr_view_at(left.on_cuda, s->shift), &p.w,
                        fr_view_at(own.on_cuda, s->shift));
    float *got = fr_pair_fetch(&own);
    memcpy(out, got, (size_t)n_out * sizeof *out);
    free(got);
    fr_pair_free(&left);
    fr_pair_free(&own);
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

/* piece 0: the sums of the own kernels */
static void check_sums(const fr_two *two, const fr_product_case *p,
                       const fr_product_setting *s, int64_t m, int64_t piece)
{
    fr_product_call c;
    fr_product_call_run(two, p, s, m, &c);
    if (piece == 0) {
        fr_two_finish(two); /* a device that closes may wait for all work */
        own_sums(s, &p->w, m, c.left.n, c.out.n, c.out.cpu);
    } else if (!is_offered(s)) {
        fr_product_case_sums(&p->linear, s, m, c.x, c.wanted);
    } else {
        wanted_sums(&p->linear, s, m, c.x, piece, c.wanted);
    }
    fr_pair_assert_same(&c.out);
    fr_product_call_fini(&c);
}

/* All types and directions, with few and many rows. */
static void check_all(const fr_two *two, fr_product_map shape, int shift, int64_t piece)
{
    static const int64_t ROWS[] = {1, 7, 65};
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / FR_PRODUCT_TYPES == 1,
                                .types = i % FR_PRODUCT_TYPES,
                                .shift = shift};
        fr_product_case p = fr_product_case_init(two, &s, shape.n_out, shape.n_in);
        for (int r = 0; r < FR_N_CASES(ROWS); r++) {
            s.accumulate = (i + r) % 2 == 0;
            check_sums(two, &p, &s, ROWS[r], piece);
        }
        s.accumulate = !s.accumulate;
        check_sums(two, &p, &s, ROWS[1], piece);
        fr_product_case_fini(two, &p);
    }
}

static void check_library(const char *words, int64_t piece)
{
    fr_two two = fr_lt_case_two(words);
    check_all(&two, (fr_product_map){72, 40}, 0, piece);
    fr_two_close(&two);
}

/* Of all shapes that were met, those with a result of that type are used or not. */
static void assert_used(const fr_two *two, fr_dtype out, bool wanted)
{
    const fr_lt *lt = fr_cuda_of(two->cuda)->lt;
    int n = 0;
    for (const fr_lt_pin *pin = lt->pins; pin != NULL; pin = pin->next) {
        bool exists = pin->shape.in == FR_BF16 || pin->shape.out == FR_F32;
        if (pin->shape.out == out && exists) {
            CU_ASSERT_EQUAL(pin->is_used, wanted);
            n++;
        }
    }
    CU_ASSERT(n > 0);
}

static void numbers_are_those_of_the_pinned_algorithm(void)
{
    static const fr_product_map SHAPES[] = {{8, 8}, {136, 24}, {64, 128}};
    fr_two two = fr_lt_case_two("");
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        check_all(&two, SHAPES[i], 0, PIECE);
    }
    fr_two_close(&two);
}

/* More rows than the block of a matrix: columns forward, depths backward. */
static void several_blocks_add_up(void)
{
    enum { N_OUT = FR_LT_MOST_BLOCK + 24, N_IN = 8 };
    fr_two two = fr_lt_case_two("");
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / FR_PRODUCT_TYPES == 1,
                                .types = i % FR_PRODUCT_TYPES};
        /* sums of several blocks are in f32, so a result in bf16 is offered for all weights */
        bool own = !s.back && !is_offered(&s);
        fr_product_case p = fr_product_case_init(&two, &s, N_OUT, N_IN);
        for (int r = 0; r < 2; r++) {
            s.accumulate = r == 1;
            fr_pair left = fr_pair_numbers(&two, "left", 3 * (s.back ? N_OUT : N_IN),
                                           fr_product_left(&s), 5, 1);
            fr_pair out = fr_pair_numbers(&two, "blocks", 3 * (s.back ? N_IN : N_OUT),
                                          fr_product_out(&s), 11, 1);
            fr_product_case_run(&two, &s, 3, left.on_cuda, &p.w, out.on_cuda);
            if (own) {
                fr_product_case_sums(&p.linear, &s, 3, left.cpu, out.cpu);
            } else {
                wanted_sums(&p.linear, &s, 3, left.cpu, PIECE, out.cpu);
            }
            fr_pair_assert_same(&out);
            fr_pair_free(&left);
            fr_pair_free(&out);
        }
        fr_product_case_fini(&two, &p);
    }
    fr_two_close(&two);
}

/* Operands that are converted have room for some thousand rows at a time, of each of two blocks. */
static void many_rows_are_taken_in_turns(void)
{
    enum { M = 1100, N_OUT = FR_LT_MOST_BLOCK + 24, N_IN = 8 };
    fr_two two = fr_lt_case_two("");
    fr_product_setting s = {.back = true, .types = 2}; /* f32 by bf16 */
    fr_product_case p = fr_product_case_init(&two, &s, N_OUT, N_IN);
    check_sums(&two, &p, &s, M, PIECE);
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

/* ---- what is added ------------------------------------------------------------------------------ */

/* y = add + x W' where `add` lies elsewhere, and stays. */
static void what_is_added_may_lie_elsewhere(void)
{
    enum { M = 7, N_OUT = 72, N_IN = 40 };
    fr_two two = fr_lt_case_two("");
    for (int types = 0; types < FR_PRODUCT_TYPES; types++) {
        fr_product_setting s = {.types = types, .accumulate = true};
        fr_product_case p = fr_product_case_init(&two, &s, N_OUT, N_IN);
        fr_pair x = fr_pair_numbers(&two, "x", M * N_IN, fr_product_left(&s), 5, 1.0);
        fr_pair add =
            fr_pair_numbers(&two, "added", M * N_OUT, fr_product_out(&s), 7, 1.0);
        fr_pair y = fr_pair_numbers(&two, "y", M * N_OUT, fr_product_out(&s), 9, 1.0);
        FR_ASSERT_OK(fr_linear(two.cuda, M, x.on_cuda, &p.w, add.on_cuda, y.on_cuda));
        memcpy(y.cpu, add.cpu, M * N_OUT * sizeof(float));
        if (is_offered(&s)) {
            wanted_sums(&p.linear, &s, M, x.cpu, PIECE, y.cpu);
        } else {
            fr_product_case_sums(&p.linear, &s, M, x.cpu, y.cpu);
        }
        fr_pair_assert_same(&y);
        fr_pair_assert_same(&add);
        fr_pair_free(&x);
        fr_pair_free(&add);
        fr_pair_free(&y);
        fr_product_case_fini(&two, &p);
    }
    fr_two_close(&two);
}

/* ---- what is for the own kernels ------------------------------------------------------------- */

static void odd_widths_and_addresses_are_for_the_own_kernels(void)
{
    fr_two two = fr_lt_case_two("");
    check_all(&two, (fr_product_map){72, 12}, 0, 0);
    check_all(&two, (fr_product_map){33, 16}, 0, 0);
    check_all(&two, (fr_product_map){72, 40}, 1, 0);
    fr_two_close(&two);
}

/* Rounding to bf16 hides such bits from most numbers, but not from the probe. */
static void check_refused(const char *words)
{
    fr_two two = fr_lt_case_two(words);
    check_all(&two, (fr_product_map){72, 40}, 0, 0);
    assert_used(&two, FR_BF16, false);
    assert_used(&two, FR_F32, false);
    fr_two_close(&two);
}

static void rows_that_depend_on_others_are_noticed(void)
{
    check_refused("rows");
}

static void an_algorithm_that_refuses_few_rows_is_not_used(void)
{
    check_refused("few");
}

static void rounding_twice_is_noticed(void)
{
    fr_two two = fr_lt_case_two("twice");
    fr_product_setting s = {.types = 7, .accumulate = true};
    fr_product_case p = fr_product_case_init(&two, &s, 72, 40);
    check_sums(&two, &p, &s, 65, 0);
    assert_used(&two, FR_BF16, false);
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

static void nothing_may_be_offered(void)
{
    check_library("none", 0);
}

static void splits_and_short_sums_are_refused(void)
{
    check_library("unwanted", PIECE);
}

static void the_first_that_will_do_is_taken(void)
{
    check_library("other", OTHER_PIECE);
    check_library("unwanted,other", OTHER_PIECE);
}

static const fr_case CASES[] = {
    FR_CASE(numbers_are_those_of_the_pinned_algorithm),
    FR_CASE(several_blocks_add_up),
    FR_CASE(many_rows_are_taken_in_turns),
    FR_CASE(what_is_added_may_lie_elsewhere),
    FR_CASE(odd_widths_and_addresses_are_for_the_own_kernels),
    FR_CASE(rows_that_depend_on_others_are_noticed),
    FR_CASE(an_algorithm_that_refuses_few_rows_is_not_used),
    FR_CASE(rounding_twice_is_noticed),
    FR_CASE(nothing_may_be_offered),
    FR_CASE(splits_and_short_sums_are_refused),
    FR_CASE(the_first_that_will_do_is_taken),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_lt", CASES, FR_N_CASES(CASES), argc, argv);
}
