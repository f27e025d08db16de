/* Products with frozen matrices on the tensor cores of a CUDA device: near an f64 reference and the kernels without tensor cores, and
 * with the same bits for a row whatever the number of rows, their place, their addresses and the place of the column are. The
 * emulation's sums are known, so there they are exactly these. */
#include "product_case.h"
#include "which_gpu.h"

#include "device/bf16.h"
#include "device/matrix.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types with weights in bf16, in both directions. */
enum { SETTINGS = 8 };
static fr_product_setting setting(int i)
{
    return (fr_product_setting){.back = i / 4 == 1, .types = i / 2 % 2 * 4 + 2 + i % 2};
}

/* ---- values ------------------------------------------------------------------------------------ */

typedef struct sum {
    double value;
    double size; /* of all that is added */
} sum;

/* The product in f64, of operands as they enter. */
static sum sum_of(const fr_linear_case *linear, bool back, const float *left,
                  int64_t column)
{
    int64_t n_in = linear->w.n_in;
    sum out = {0, 0};
    for (int64_t d = 0; d < fr_linear_case_depth(linear, back); d++) {
        double x = (double)fr_bf16_widen(fr_bf16_round(left[d]));
        double w = (double)linear->wide[back ? d * n_in + column : column * n_in + d];
        out.value += x * w;
        out.size += fabs(x * w);
    }
    return out;
}

/* Each product is added with an error of at most 2^-22 of all that is added so far: two bits less than an f32 keeps, since tensor
 * cores cut off where they align. Then the sum is added to what is there, and rounded. */
static void assert_bound(const fr_linear_case *linear, const fr_product_setting *s,
                         int64_t m, const float *left, const float *before,
                         const float *got, const char *what)
{
    int64_t depth = fr_linear_case_depth(linear, s->back);
    int64_t columns = fr_linear_case_columns(linear, s->back);
    int n_wrong = 0;
    for (int64_t i = 0; i < m * columns; i++) {
        sum wanted = sum_of(linear, s->back, left + i / columns * depth, i % columns);
        double value = wanted.value + (s->accumulate ? (double)before[i] : 0);
        double size = wanted.size + fabs(value);
        double bound = (double)depth * 0x1p-22 * size +
                       (fr_product_out(s) == FR_BF16 ? 0x1p-8 : 0x1p-22) * fabs(value);
        if (!(fabs((double)got[i] - value) <= bound) && n_wrong++ == 0) {
            printf("%s: number %lld is %.9g, wanted %.9g within %.3g\n", what,
                   (long long)i, (double)got[i], value, bound);
        }
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

/* Padding with products of zeros turns -0 into +0. */
static void assert_documented(const fr_pair *out, const fr_product_case *p,
                              const fr_product_setting *s, int64_t m, const float *x)
{
    fr_product_setting sums = *s;
    float *wanted = (float *)out->cpu + s->shift;
    int64_t n = m * fr_linear_case_columns(&p->linear, s->back);
    float *before = fr_test_zeros(n);
    memcpy(before, wanted, (size_t)n * sizeof *before);
    sums.accumulate = false;
    fr_product_case_sums(&p->linear, &sums, m, x, wanted);
    for (int64_t i = 0; i < n; i++) {
        bool is_padded = fr_linear_case_depth(&p->linear, s->back) % 16 != 0;
        float number = is_padded ? wanted[i] + 0.0F : wanted[i];
        wanted[i] = s->accumulate ? before[i] + number : number;
    }
    fr_pair_assert_same(out);
    free(before);
}

/* A number behind the result, and with a shift those before it, stay as they are. */
static void check_numbers(const fr_two *two, const fr_product_case *p,
                          const fr_product_setting *s, int64_t m)
{
    fr_product_call c;
    fr_product_call_run(two, p, s, m, &c);
    float *before = fr_test_zeros(c.out.n);
    memcpy(before, c.out.cpu, (size_t)c.out.n * sizeof *before);
    float *got = fr_pair_fetch(&c.out);
    assert_bound(&p->linear, s, m, c.x, before + s->shift, got + s->shift, c.what);
    fr_assert_same_bytes("before", got, before, (size_t)s->shift * sizeof *got);
    CU_ASSERT_EQUAL(got[s->shift + c.n], before[s->shift + c.n]);
    if (fr_gpu_is_emulated) {
        assert_documented(&c.out, p, s, m, c.x);
    }
    free(before);
    free(got);
    fr_product_call_fini(&c);
}

/* Around chunks of 8, groups of 16, steps of 32, all stages of steps, and tiles of 128. */
static const fr_product_map SHAPES[] = {
    {1, 1},    {3, 7},   {8, 16},   {17, 15},   {33, 32},  {40, 31}, {64, 33},
    {128, 64}, {129, 8}, {96, 136}, {130, 257}, {144, 95}, {24, 130}};

static void check_shape(const fr_two *two, fr_product_map shape, fr_product_setting s,
                        int n)
{
    static const int64_t ROWS[] = {1, 16, 17, 64, 65, 128, 131};
    fr_product_case p = fr_product_case_init(two, &s, shape.n_out, shape.n_in);
    for (int r = 0; r < FR_N_CASES(ROWS); r++) {
        s.accumulate = (n / SETTINGS + r / 2) % 2 == 1;
        if ((r + n) % 2 == 0 && fr_pair_takes(r / 2, 2)) {
            check_numbers(two, &p, &s, ROWS[r]);
        }
    }
    fr_product_case_fini(two, &p);
}

static void numbers_are_sums_of_products(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < SETTINGS * FR_N_CASES(SHAPES); i++) {
        if (fr_pair_takes(i, 5)) {
            check_shape(&two, SHAPES[i / SETTINGS], setting(i % SETTINGS), i);
        }
    }
    fr_two_close(&two);
}

/* Widths that would allow copies of 16 bytes, at addresses that do not, and the other way round. */
static void views_may_lie_at_any_number(void)
{
    static const fr_product_map WIDE[] = {{40, 48}, {44, 36}, {36, 40}};
    fr_two two = fr_two_open();
    for (int i = 0; i < SETTINGS * 4 * FR_N_CASES(WIDE); i++) {
        static const int SHIFTS[] = {1, 2, 4, 8};
        fr_product_setting s = setting(i % SETTINGS);
        s.shift = SHIFTS[i / SETTINGS % 4];
        if (fr_pair_takes(i, 7)) {
            check_shape(&two, WIDE[i / SETTINGS / 4], s, i);
        }
    }
    fr_two_close(&two);
}

/* W = 1: the result is x as it entered. Subnormal numbers of bf16 are numbers. */
static void check_values(const fr_two *two, const fr_product_setting *s)
{
    static const float VALUES[] = {
        1.0F,       0x1.01p0F,   0x1.03p0F,      0x1.010002p0F, -0x1.01p0F,
        0x1.fffp3F, 0x1.fep127F, 0x1p-126F,      0x1.8p-133F,   0.0F,
        INFINITY,   -INFINITY,   0x1.234568p5F,  0x1.8p-118F,   -0x1p-40F,
        -0x1p-60F,  -0x1.8p-35F, 0x1.fffffep127F};
    enum { M = FR_N_CASES(VALUES) };
    fr_product_case p = fr_product_case_init(two, s, 1, 1);
    fr_pair left = fr_pair_of(two, "left", M, fr_product_left(s), VALUES);
    fr_pair out = fr_pair_numbers(two, "values", M, fr_product_out(s), 11, 1.0);
    fr_linear_case_set(&p.linear, 0, 0, 1.0F);
    fr_product_case_renew(two, s, &p);
    fr_product_case_run(two, s, M, left.on_cuda, &p.w, out.on_cuda);
    fr_product_case_sums(&p.linear, s, M, left.cpu, out.cpu);
    fr_pair_assert_same(&out);
    fr_pair_free(&left);
    fr_pair_free(&out);
    fr_product_case_fini(two, &p);
}

static void operands_are_rounded_to_nearest_even(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < SETTINGS; i++) {
        fr_product_setting s = setting(i);
        check_values(&two, &s);
    }
    fr_two_close(&two);
}

/* ---- bits -------------------------------------------------------------------------------------- */

/* A call with its result in f32, or in bf16 widened; freed by the caller. */
static float *result_of(const fr_two *two, const fr_product_setting *s, int64_t m,
                        fr_view left, const fr_matrix *w, int64_t columns,
                        const float *before)
{
    fr_pair out =
        fr_pair_of(two, "out", s->shift + m * columns, fr_product_out(s), before);
    fr_product_case_run(two, s, m, left, w, fr_view_at(out.on_cuda, s->shift));
    float *got = fr_pair_fetch(&out);
    fr_pair_free(&out);
    return got;
}

static void rows_have_the_same_bits_in_any_call(void)
{
    int64_t rows[FR_PRODUCT_ROWS_MOST];
    int n = 0;
    for (int m = 1; m <= FR_PRODUCT_ROWS_MOST; m++) {
        if (fr_pair_takes(m, 61)) {
            rows[n++] = m;
        }
    }
    fr_two two = fr_two_open();
    for (int i = 0; i < SETTINGS; i += 7) {
        fr_product_setting s = setting(i);
        s.accumulate = i % 2 == 1;
        fr_product_case_assert_rows(&two, &s, 66, 40, rows, n);
    }
    fr_two_close(&two);
}

/* The same numbers with the columns in the opposite order, at other addresses. */
static void check_columns(const fr_two *two, const fr_product_setting *s)
{
    enum { M = 67, N_OUT = 150, N_IN = 152 };
    fr_product_setting moved = *s;
    fr_product_case p = fr_product_case_init(two, s, N_OUT, N_IN);
    int64_t columns = s->back ? N_IN : N_OUT;
    int64_t depth = s->back ? N_OUT : N_IN;
    fr_pair left = fr_pair_numbers(two, "left", M * depth, fr_product_left(s), 5, 1.0);
    float *shifted = fr_test_zeros(1 + M * depth);
    memcpy(shifted + 1, left.cpu, (size_t)(M * depth) * sizeof *shifted);
    float *zeros = fr_test_zeros(1 + M * columns);
    float *wanted = result_of(two, s, M, left.on_cuda, &p.w, columns, zeros);
    float *numbers = fr_test_zeros(N_OUT * N_IN);
    memcpy(numbers, p.linear.wide, (size_t)(N_OUT * N_IN) * sizeof *numbers);
    for (int64_t i = 0; i < N_OUT * N_IN; i++) {
        int64_t row = i / N_IN;
        int64_t column = i % N_IN;
        fr_linear_case_set(&p.linear, s->back ? row : N_OUT - 1 - row,
                           s->back ? N_IN - 1 - column : column, numbers[i]);
    }
    moved.shift = 1;
    fr_pair again = fr_pair_of(two, "left", 1 + M * depth, fr_product_left(s), shifted);
    fr_product_case_renew(two, &moved, &p);
    float *got =
        result_of(two, &moved, M, fr_view_at(again.on_cuda, 1), &p.w, columns, zeros);
    int n_wrong = 0;
    for (int64_t i = 0; i < M * columns; i++) {
        int64_t mirrored = i / columns * columns + columns - 1 - i % columns;
        n_wrong += memcmp(&got[1 + mirrored], &wanted[i], sizeof *got) != 0;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    free(numbers);
    free(shifted);
    free(zeros);
    free(wanted);
    free(got);
    fr_pair_free(&left);
    fr_pair_free(&again);
    fr_product_case_fini(two, &p);
}

static void bits_do_not_depend_on_places(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < SETTINGS; i++) {
        fr_product_setting s = setting(i);
        check_columns(&two, &s);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(numbers_are_sums_of_products),
    FR_CASE(views_may_lie_at_any_number),
    FR_CASE(operands_are_rounded_to_nearest_even),
    FR_CASE(rows_have_the_same_bits_in_any_call),
    FR_CASE(bits_do_not_depend_on_places),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_product_tensor", CASES, FR_N_CASES(CASES), argc, argv);
}
