/* Products with frozen matrices on a CUDA device without tensor cores: each number is exactly the documented sum, close to an f64
 * reference and to the CPU, whatever the types, the number of rows and their place are. */
#include "product_case.h"

#include "device/matrix.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the documented sum ---------------------------------------------------------------------- */

/* From the operands as they enter. */
static void assert_close(const fr_linear_case *linear, const fr_product_setting *s,
                         int64_t m, const float *left, const float *before,
                         const float *got)
{
    int64_t depth = fr_linear_case_depth(linear, s->back);
    int64_t n = m * fr_linear_case_columns(linear, s->back);
    fr_linear_case as_given = *linear;
    float *wanted = fr_test_zeros(n);
    float *entered = fr_test_zeros(m * depth);
    as_given.w.dtype = FR_F32;
    memcpy(wanted, before, (size_t)n * sizeof *wanted);
    for (int64_t i = 0; i < m * depth; i++) {
        entered[i] = fr_linear_case_round(linear->w.dtype, left[i]);
    }
    fr_linear_case_reference(&as_given, s->back, m, entered, s->accumulate, wanted);
    fr_assert_close(
        "f64", got, wanted, n,
        fr_approx(s->back ? FR_APPROX_LINEAR_BACK : FR_APPROX_LINEAR, linear->w.dtype) +
            (fr_product_out(s) == FR_BF16 ? 0x1p-8 : 0.0));
    free(wanted);
    free(entered);
}

/* A number behind the result, and with a shift one before it, stay as they are. */
static void check_sums(const fr_two *two, const fr_product_case *p,
                       const fr_product_setting *s, int64_t m)
{
    fr_product_call c;
    fr_product_call_run(two, p, s, m, &c);
    float *before = fr_test_zeros(c.n);
    memcpy(before, c.wanted, (size_t)c.n * sizeof *before);
    fr_product_case_sums(&p->linear, s, m, c.x, c.wanted);
    fr_pair_assert_same(&c.out);
    float *got = fr_pair_fetch(&c.out);
    assert_close(&p->linear, s, m, c.x, before, got + s->shift);
    free(before);
    free(got);
    fr_product_call_fini(&c);
}

/* Around fours, steps of 16 depths and tiles of 64. */
static const fr_product_map SHAPES[] = {{1, 1},   {3, 7},   {8, 12}, {33, 31},
                                        {64, 64}, {65, 16}, {17, 66}};

static void check_shape(const fr_two *two, fr_product_map shape, fr_product_setting s)
{
    static const int64_t ROWS[] = {1, 7, 64, 65};
    fr_product_case p = fr_product_case_init(two, &s, shape.n_out, shape.n_in);
    for (int r = 0; r < FR_N_CASES(ROWS); r++) {
        s.accumulate = (s.types + r + s.shift) % 2 == 1;
        check_sums(two, &p, &s, ROWS[r]);
        s.accumulate = !s.accumulate;
        if (r % 2 == 1) {
            check_sums(two, &p, &s, ROWS[r]);
        }
    }
    fr_product_case_fini(two, &p);
}

static void check_shapes(bool back)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_N_CASES(SHAPES); i++) {
        check_shape(
            &two, SHAPES[i / FR_PRODUCT_TYPES],
            (fr_product_setting){back, i % FR_PRODUCT_TYPES, false, 0, 0, true});
    }
    fr_two_close(&two);
}

static void forward_numbers_are_the_documented_sums(void)
{
    check_shapes(false);
}

static void backward_numbers_are_the_documented_sums(void)
{
    check_shapes(true);
}

/* Widths that would allow fours, at addresses that do not. */
static void views_may_lie_at_any_number(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        for (int shift = 1; shift < 4; shift++) {
            check_shape(&two, (fr_product_map){8, 20},
                        (fr_product_setting){i / FR_PRODUCT_TYPES == 1,
                                             i % FR_PRODUCT_TYPES, false, shift, 0,
                                             true});
        }
    }
    fr_two_close(&two);
}

/* ---- the CPU --------------------------------------------------------------------------------- */

/* The CPU takes bf16 weights in fixed point, closer than operands in bf16. */
static void check_near_cpu(const fr_two *two, const fr_product_setting *s)
{
    enum { M = 9, N_OUT = 43, N_IN = 37 };
    fr_product_case p = fr_product_case_init(two, s, N_OUT, N_IN);
    fr_pair left = fr_pair_numbers(two, "left", M * (s->back ? N_OUT : N_IN),
                                   fr_product_left(s), 5, 1.0);
    fr_pair out = fr_pair_numbers(two, "out", M * (s->back ? N_IN : N_OUT),
                                  fr_product_out(s), 11, 1.0);
    bool is_narrow = fr_product_weights(s) == FR_BF16 || fr_product_out(s) == FR_BF16;
    FR_ASSERT_OK(s->back
                     ? fr_linear_back(two->cpu, M, left.on_cpu, &p.linear.w,
                                      s->accumulate, out.on_cpu)
                     : fr_linear(two->cpu, M, left.on_cpu, &p.linear.w,
                                 fr_view_if(s->accumulate, out.on_cpu), out.on_cpu));
    fr_product_case_run(two, s, M, left.on_cuda, &p.w, out.on_cuda);
    fr_pair_assert_near(&out,
                        is_narrow ? 0x1p-7 : 2 * fr_approx(FR_APPROX_LINEAR, FR_F32));
    fr_pair_free(&left);
    fr_pair_free(&out);
    fr_product_case_fini(two, &p);
}

static void products_are_near_the_cpus(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        check_near_cpu(&two, &(fr_product_setting){
                                 i / FR_PRODUCT_TYPES % 2 == 1, i % FR_PRODUCT_TYPES,
                                 i / FR_PRODUCT_TYPES / 2 == 1, 0, 0, true});
    }
    fr_two_close(&two);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void rows_have_the_same_bits_in_any_call(void)
{
    static const int64_t ROWS[] = {1, 7, 64, 65};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / FR_PRODUCT_TYPES == 1,
                                .types = i % FR_PRODUCT_TYPES,
                                .accumulate = i % 3 == 0,
                                .is_plain = true};
        fr_product_case_assert_rows(&two, &s, 66, 35, ROWS, FR_N_CASES(ROWS));
    }
    fr_two_close(&two);
}

/* ---- the order of sums ----------------------------------------------------------------------- */

enum { PROBE_DEPTH = 133, PROBE_COLUMNS = 3 };
static const int PROBE_PLACES[] = {0, 1, 2, 7, 15, 16, 17, 31, 63, 64, 100, 127, 132};
enum { PROBES = FR_N_CASES(PROBE_PLACES) };

/* 1024 at one place, -1024 at another, 2^-15 at a third, which stays only if it comes after both. */
static void fill_probe(int row, float *x, float *wanted)
{
    int plus = PROBE_PLACES[row / PROBES / PROBES];
    int minus = PROBE_PLACES[row / PROBES % PROBES];
    int small = PROBE_PLACES[row % PROBES];
    memset(x, 0, PROBE_DEPTH * sizeof *x);
    *wanted = 0.0F;
    if (plus != minus && plus != small && minus != small) {
        x[plus] = 1024.0F;
        x[minus] = -1024.0F;
        x[small] = 0x1p-15F;
        *wanted = small > plus && small > minus ? 0x1p-15F : 0.0F;
    }
}

static void check_order(const fr_two *two, const fr_product_setting *s)
{
    enum {
        M = PROBES * PROBES * PROBES / 3
    }; /* every third; another one for other types */
    fr_product_case p =
        fr_product_case_init(two, s, s->back ? PROBE_DEPTH : PROBE_COLUMNS,
                             s->back ? PROBE_COLUMNS : PROBE_DEPTH);
    float *x = fr_test_zeros((int64_t)M * PROBE_DEPTH);
    float wanted[M];
    for (int i = 0; i < PROBE_DEPTH * PROBE_COLUMNS; i++) {
        fr_linear_case_set(&p.linear, i / p.w.n_in, i % p.w.n_in, 1.0F);
    }
    fr_product_case_renew(two, s, &p);
    for (int i = 0; i < M; i++) {
        fill_probe(3 * i + s->types % 3, x + (int64_t)i * PROBE_DEPTH, &wanted[i]);
    }
    fr_pair left =
        fr_pair_of(two, "left", (int64_t)M * PROBE_DEPTH, fr_product_left(s), x);
    fr_pair out = fr_pair_numbers(two, "out", (int64_t)M * PROBE_COLUMNS,
                                  fr_product_out(s), 11, 0);
    fr_product_case_run(two, s, M, left.on_cuda, &p.w, out.on_cuda);
    for (int i = 0; i < M * PROBE_COLUMNS; i++) {
        ((float *)out.cpu)[i] = wanted[i / PROBE_COLUMNS];
    }
    fr_pair_assert_same(&out);
    free(x);
    fr_pair_free(&left);
    fr_pair_free(&out);
    fr_product_case_fini(two, &p);
}

static void sums_run_along_the_depth(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        check_order(&two,
                    &(fr_product_setting){i / FR_PRODUCT_TYPES == 1,
                                          i % FR_PRODUCT_TYPES, false, 0, 0, true});
    }
    fr_two_close(&two);
}

/* ---- numbers that are none, or hardly one ---------------------------------------------------- */

/* W = 1: the result is x as it entered; W = 2^-100: it may be a subnormal number or -0. */
static void check_values(const fr_two *two, const fr_product_setting *s)
{
    static const float VALUES[] = {
        1.0F,        0x1.01p0F,    0x1.03p0F,     0x1.010002p0F,  -0x1.01p0F,
        0x1.fffp3F,  0x1.ffp127F,  -0x1.ffp127F,  0x1.fep127F,    0x1p-126F,
        0x1.8p-134F, 0x1p-134F,    0x1.8p-133F,   0.0F,           -0.0F,
        INFINITY,    -INFINITY,    0x1.234568p5F, 0x1.8p-118F,    -0x1p-40F,
        -0x1p-60F,   0x1.01p-130F, -0x1.8p-35F,   0x1.fffffep127F};
    enum { M = FR_N_CASES(VALUES) };
    fr_product_case p = fr_product_case_init(two, s, 1, 1);
    for (int i = 0; i < 2; i++) {
        fr_pair left = fr_pair_of(two, "left", M, fr_product_left(s), VALUES);
        fr_pair out = fr_pair_numbers(two, "values", M, fr_product_out(s), 11, 1.0);
        fr_linear_case_set(&p.linear, 0, 0, i == 0 ? 1.0F : 0x1p-100F);
        fr_product_case_renew(two, s, &p);
        fr_product_case_run(two, s, M, left.on_cuda, &p.w, out.on_cuda);
        fr_product_case_sums(&p.linear, s, M, left.cpu, out.cpu);
        fr_pair_assert_same(&out);
        fr_pair_free(&left);
        fr_pair_free(&out);
    }
    fr_product_case_fini(two, &p);
}

static void operands_are_rounded_to_nearest_even(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        check_values(&two, &(fr_product_setting){
                               i / FR_PRODUCT_TYPES % 2 == 1, i % FR_PRODUCT_TYPES,
                               i / FR_PRODUCT_TYPES / 2 == 1, 0, 0, true});
    }
    fr_two_close(&two);
}

/* A NaN whose payload lies below bf16's bits must not become infinity. */
static float low_nan(void)
{
    const uint32_t bits = 0x7f800001U;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* At the last depth; the tile's other rows and columns do not see it. */
static void check_bad(const fr_two *two, const fr_product_setting *s, bool in_left,
                      float bad)
{
    enum { M = 13, N_OUT = 21, N_IN = 35, ROW = 7, COLUMN = 20 };
    fr_product_case p = fr_product_case_init(two, s, N_OUT, N_IN);
    int64_t depth = s->back ? N_OUT : N_IN;
    int64_t columns = s->back ? N_IN : N_OUT;
    float *x = fr_test_numbers(M * depth, 5, 1.0);
    if (in_left) {
        x[ROW * depth + depth - 1] = bad;
    } else {
        fr_linear_case_set(&p.linear, s->back ? N_OUT - 1 : COLUMN,
                           s->back ? COLUMN : N_IN - 1, bad);
        fr_product_case_renew(two, s, &p);
    }
    fr_pair left = fr_pair_of(two, "left", M * depth, fr_product_left(s), x);
    fr_pair out = fr_pair_numbers(two, "out", M * columns, fr_product_out(s), 11, 1.0);
    fr_product_case_run(two, s, M, left.on_cuda, &p.w, out.on_cuda);
    float *got = fr_pair_fetch(&out);
    for (int64_t i = 0; i < M * columns; i++) {
        bool spoilt = in_left ? i / columns == ROW : i % columns == COLUMN;
        CU_ASSERT_EQUAL(isnan(got[i]) != 0, spoilt && isnan(bad));
        CU_ASSERT_EQUAL(isfinite(got[i]) == 0, spoilt);
    }
    free(x);
    free(got);
    fr_pair_free(&left);
    fr_pair_free(&out);
    fr_product_case_fini(two, &p);
}

static void a_bad_number_spoils_its_row_or_column_alone(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {
            i / FR_PRODUCT_TYPES == 1, i % FR_PRODUCT_TYPES, i % 2 == 1, 0, 0, true};
        check_bad(&two, &s, true, NAN);
        check_bad(&two, &s, true, INFINITY);
        check_bad(&two, &s, false, NAN);
        check_bad(&two, &s, false, -INFINITY);
        if (fr_product_left(&s) == FR_F32) {
            check_bad(&two, &s, true, low_nan());
        }
    }
    fr_two_close(&two);
}

/* ---- what is added ----------------------------------------------------------------------------- */

/* y = add + x W' has the bits of y += x W', wherever `add` lies; it stays as it is, and so does the number behind y. */
static void check_added(const fr_two *two, const fr_product_setting *s, bool few,
                        const fr_matrix *w)
{
    enum { M = 7 };
    int64_t n = M * w->n_out;
    fr_pair x = fr_pair_numbers(two, "x", M * w->n_in, fr_product_left(s), 5, 1.0);
    fr_pair in_place =
        fr_pair_numbers(two, "in place", s->shift + n, fr_product_out(s), 7, 1.0);
    fr_pair add = fr_pair_numbers(two, "added", s->shift + n, fr_product_out(s), 7, 1);
    fr_pair y = fr_pair_numbers(two, "elsewhere", n + 1, fr_product_out(s), 9, 1.0);
    fr_view both = fr_view_at(in_place.on_cuda, s->shift);
    fr_view added = fr_view_at(add.on_cuda, s->shift);
    FR_ASSERT_OK(few ? fr_linear_few(two->cuda, M, x.on_cuda, w, both, both)
                     : fr_linear(two->cuda, M, x.on_cuda, w, both, both));
    FR_ASSERT_OK(few ? fr_linear_few(two->cuda, M, x.on_cuda, w, added, y.on_cuda)
                     : fr_linear(two->cuda, M, x.on_cuda, w, added, y.on_cuda));
    float *wanted = fr_pair_fetch(&in_place);
    memcpy(y.cpu, wanted + s->shift, (size_t)n * sizeof *wanted);
    fr_pair_assert_same(&y);
    fr_pair_assert_same(&add);
    free(wanted);
    fr_pair_free(&x);
    fr_pair_free(&in_place);
    fr_pair_free(&add);
    fr_pair_free(&y);
}

static void what_is_added_may_lie_elsewhere(void)
{
    static const fr_product_map ADDED[] = {{33, 31}, {8, 12}, {68, 16}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_N_CASES(ADDED); i++) {
        fr_product_map shape = ADDED[i / FR_PRODUCT_TYPES];
        fr_product_setting s = {false, i % FR_PRODUCT_TYPES, true, 0, 0, true};
        fr_product_case p = fr_product_case_init(&two, &s, shape.n_out, shape.n_in);
        fr_matrix no_depth = fr_matrix_of(NULL, FR_F32, shape.n_out, 0);
        for (s.shift = 0; s.shift < 2; s.shift++) {
            check_added(&two, &s, false, &p.w);
            check_added(&two, &s, true, &p.w);
            check_added(&two, &s, false, &no_depth);
            check_added(&two, &s, true, &no_depth);
        }
        fr_product_case_fini(&two, &p);
    }
    fr_two_close(&two);
}

/* ---- nothing --------------------------------------------------------------------------------- */

/* No rows or columns: nothing is written. No depth: zeros, or nothing is added. */
static void a_sum_of_nothing_is_zero(void)
{
    enum { M = 2, WIDTH = 3 };
    fr_two two = fr_two_open();
    for (int i = 0; i < 2 * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {i % 2 == 1, i / 2, true, 0, 0, true};
        fr_matrix no_depth =
            fr_matrix_of(NULL, FR_F32, s.back ? 0 : WIDTH, s.back ? WIDTH : 0);
        fr_matrix no_columns =
            fr_matrix_of(NULL, FR_F32, s.back ? WIDTH : 0, s.back ? 0 : WIDTH);
        fr_pair out =
            fr_pair_numbers(&two, "out", M * WIDTH, fr_product_out(&s), 11, 1.0);
        fr_product_case_run(&two, &s, M, out.on_cuda, &no_depth, out.on_cuda);
        fr_product_case_run(&two, &s, M, out.on_cuda, &no_columns, out.on_cuda);
        s.accumulate = false;
        fr_product_case_run(&two, &s, M, out.on_cuda, &no_columns, out.on_cuda);
        fr_product_case_run(&two, &s, 0, out.on_cuda, &no_depth, out.on_cuda);
        fr_pair_assert_same(&out);
        fr_product_case_run(&two, &s, M, out.on_cuda, &no_depth, out.on_cuda);
        memset(out.cpu, 0, M * WIDTH * sizeof(float));
        fr_pair_assert_same(&out);
        fr_pair_free(&out);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(forward_numbers_are_the_documented_sums),
    FR_CASE(backward_numbers_are_the_documented_sums),
    FR_CASE(views_may_lie_at_any_number),
    FR_CASE(products_are_near_the_cpus),
    FR_CASE(rows_have_the_same_bits_in_any_call),
    FR_CASE(sums_run_along_the_depth),
    FR_CASE(operands_are_rounded_to_nearest_even),
    FR_CASE(a_bad_number_spoils_its_row_or_column_alone),
    FR_CASE(what_is_added_may_lie_elsewhere),
    FR_CASE(a_sum_of_nothing_is_zero),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_product", CASES, FR_N_CASES(CASES), argc, argv);
}
