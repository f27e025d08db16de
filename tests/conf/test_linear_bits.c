/* A row's bits depend neither on its neighbours nor on the threads, and the order of summation is the
 * documented one. */
#include "device/cpu/gemm.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 75, MAX_THREADS = 4 };

typedef struct map_shape {
    int64_t n_out;
    int64_t n_in;
} map_shape;

static const map_shape TINY[] = {{64, 64}, {128, 64}, {64, 128}, {80, 48}, {96, 64}};
static const map_shape SMOLLM2[] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}};
static const map_shape HEAD[] = {{5000, 576}};

/* Runs of rows that a call may hold: single rows, tails of tiles, other offsets in a tile. */
static const int64_t RUNS[][2] = {{0, 1},  {74, 1}, {1, 2}, {11, 3}, {20, 4},  {7, 5},
                                  {40, 6}, {3, 7},  {9, 8}, {2, 13}, {31, 30}, {5, 70}};

typedef struct bits_case {
    fr_linear_case linear;
    bool back;
    int64_t depth;
    int64_t columns;
    float *left;
    float *whole; /* all rows in one call, on one thread */
    float *got;
} bits_case;

static bits_case bits_case_init(fr_device *device, map_shape shape, fr_dtype dtype,
                                bool back)
{
    bits_case c = {.linear = fr_linear_case_init(shape.n_out, shape.n_in, dtype),
                   .back = back};
    c.depth = fr_linear_case_depth(&c.linear, back);
    c.columns = fr_linear_case_columns(&c.linear, back);
    c.left = fr_test_numbers(M * c.depth, 3, 2.0);
    c.whole = fr_test_numbers(M * c.columns, 4, 1.0);
    c.got = fr_test_zeros(M * c.columns);
    FR_ASSERT_OK(fr_linear_case_run(device, &c.linear, back, M, c.left, true, c.whole));
    return c;
}

static void bits_case_fini(bits_case *c)
{
    fr_linear_case_fini(&c->linear);
    free(c->left);
    free(c->whole);
    free(c->got);
}

static void check_run(fr_device *device, bits_case *c, int64_t first, int64_t count)
{
    char what[160];
    int64_t n = count * c->columns;
    float *start = fr_test_numbers(M * c->columns, 4, 1.0);
    memcpy(c->got, start + first * c->columns, (size_t)n * sizeof *start);
    FR_ASSERT_OK(fr_linear_case_run(device, &c->linear, c->back, count,
                                    c->left + first * c->depth, true, c->got));
    (void)snprintf(what, sizeof what, "%s %s %s %lldx%lld rows %lld + %lld, %d threads",
                   fr_isa_name(fr_test_isa(device)),
                   c->linear.w.dtype == FR_BF16 ? "bf16" : "f32",
                   c->back ? "backward" : "forward", (long long)c->linear.w.n_out,
                   (long long)c->linear.w.n_in, (long long)first, (long long)count,
                   fr_device_threads(device));
    fr_assert_same_bytes(what, c->got, c->whole + first * c->columns,
                         (size_t)n * sizeof *start);
    free(start);
}

static void check_case(fr_device *devices[MAX_THREADS], bits_case *c)
{
    for (size_t i = 0; i < sizeof RUNS / sizeof *RUNS; i++) {
        check_run(devices[i % MAX_THREADS], c, RUNS[i][0], RUNS[i][1]);
    }
    for (int t = 0; t < MAX_THREADS; t++) {
        check_run(devices[t], c, 0, M);
    }
}

static void check_shapes(fr_isa isa, const map_shape *shapes, size_t n_shapes)
{
    fr_device *devices[MAX_THREADS];
    for (int t = 0; t < MAX_THREADS; t++) {
        devices[t] = fr_test_device(isa, t + 1);
    }
    for (size_t i = 0; i < 4 * n_shapes; i++) {
        bits_case c = bits_case_init(devices[0], shapes[i / 4],
                                     i % 2 == 0 ? FR_F32 : FR_BF16, i / 2 % 2 == 1);
        check_case(devices, &c);
        bits_case_fini(&c);
    }
    for (int t = 0; t < MAX_THREADS; t++) {
        fr_device_destroy(&devices[t]);
    }
}

static void rows_of_the_tiny_model_keep_their_bits(void)
{
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        check_shapes((fr_isa)isa, TINY, sizeof TINY / sizeof *TINY);
    }
}

static void rows_of_smollm2_keep_their_bits(void)
{
    check_shapes(fr_isa_detect(), SMOLLM2, sizeof SMOLLM2 / sizeof *SMOLLM2);
}

static void rows_of_a_wide_head_keep_their_bits(void)
{
    check_shapes(fr_isa_detect(), HEAD, sizeof HEAD / sizeof *HEAD);
}

/* ---- the order of summation ----------------------------------------------------------------------- */

/* Runs of integers: exact but for the roundings to f32 in the line that adds each. */
static float sum_in_fixed_point(const bits_case *c, int64_t block, int64_t row,
                                int64_t column)
{
    int64_t step = c->back ? c->linear.w.n_in : 1;
    const float *x = c->left + row * c->depth;
    const float *w = c->linear.wide + column * (c->back ? 1 : c->linear.w.n_in);
    int32_t left[FR_GEMM_LONGEST_RUN];
    int32_t right[FR_GEMM_LONGEST_RUN];
    float total = 0.0F;
    for (int64_t first = 0; first < c->depth; first += block) {
        int64_t length = c->depth - first < block ? c->depth - first : block;
        int64_t run = fr_gemm_run(length);
        for (int64_t d = first; d < first + length; d += run) {
            int64_t n = first + length - d < run ? first + length - d : run;
            int exponent = fr_linear_case_fix_run(n, 1, x + d, left) +
                           fr_linear_case_fix_run(n, step, w + d * step, right);
            int64_t sum = 0;
            for (int64_t i = 0; i < n; i++) {
                sum += (int64_t)left[i] * right[i];
            }
            CU_ASSERT(sum <= INT32_MAX && sum >= INT32_MIN);
            total = fmaf((float)sum, (float)ldexp(1.0, exponent), total);
        }
    }
    return total;
}

static float sum_in_order(const bits_case *c, int64_t row, int64_t column)
{
    int64_t block = fr_gemm_depth_block(c->linear.w.dtype, c->depth);
    int64_t depth_step = c->back ? c->linear.w.n_in : 1;
    const float *w = c->linear.wide + column * (c->back ? 1 : c->linear.w.n_in);
    float total = 0.0F;
    if (c->linear.w.dtype == FR_BF16) {
        return sum_in_fixed_point(c, block, row, column);
    }
    for (int64_t first = 0; first < c->depth; first += block) {
        float sum = 0.0F;
        for (int64_t d = first; d < c->depth && d < first + block; d++) {
            sum = fmaf(c->left[row * c->depth + d], w[d * depth_step], sum);
        }
        total = first == 0 ? sum : total + sum;
    }
    return total;
}

static void check_order(fr_isa isa, map_shape shape, fr_dtype dtype, bool back)
{
    enum { ROWS = 11 };
    fr_device *device = fr_test_device(isa, 1);
    bits_case c = bits_case_init(device, shape, dtype, back);
    float *wanted = fr_test_zeros(ROWS * c.columns);
    for (int64_t i = 0; i < ROWS * c.columns; i++) {
        wanted[i] = sum_in_order(&c, i / c.columns, i % c.columns);
    }
    FR_ASSERT_OK(
        fr_linear_case_run(device, &c.linear, back, ROWS, c.left, false, c.got));
    fr_assert_same_bytes("ordered sums", c.got, wanted,
                         (size_t)(ROWS * c.columns) * sizeof *wanted);
    free(wanted);
    bits_case_fini(&c);
    fr_device_destroy(&device);
}

/* All of the largest magnitude and one sign, which rounds up to 2^12: the longest runs' sums still fit into 32 bits. */
static void check_largest_sums(fr_device *device, void *user)
{
    enum { ROWS = 3, DEPTH = 2 * FR_GEMM_LONGEST_RUN, COLUMNS = 33 };
    fr_linear_case linear = fr_linear_case_init(COLUMNS, DEPTH, FR_BF16);
    float *x = fr_test_zeros(ROWS * DEPTH);
    float *y = fr_test_zeros(ROWS * COLUMNS);
    (void)user;
    for (int64_t i = 0; i < ROWS * DEPTH; i++) {
        x[i] = 0x1.ffffp3F;
    }
    for (int64_t i = 0; i < COLUMNS * DEPTH; i++) {
        fr_linear_case_set(&linear, i / DEPTH, i % DEPTH,
                           i / DEPTH % 2 ? 0x1.fep0F : -0x1.fep0F);
    }
    FR_ASSERT_OK(fr_linear_case_run(device, &linear, false, ROWS, x, false, y));
    for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
        CU_ASSERT_EQUAL(y[i], (float)DEPTH * 16.0F *
                                  (i % COLUMNS % 2 ? 0x1.fep0F : -0x1.fep0F));
    }
    free(x);
    free(y);
    fr_linear_case_fini(&linear);
}

static void the_largest_sums_in_fixed_point_fit(void)
{
    fr_test_each_isa(check_largest_sums, NULL);
}

static void products_are_added_in_the_documented_order(void)
{
    static const map_shape LONG[] = {{37, 1301}, {1301, 37}, {48, 64}};
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        for (size_t i = 0; i < 12; i++) {
            fr_dtype dtype = i % 2 == 0 ? FR_F32 : FR_BF16;
            check_order((fr_isa)isa, LONG[i / 4], dtype, i / 2 % 2 == 1);
        }
    }
}

/* ---- rows on demand ------------------------------------------------------------------------------- */

/* All rows of the case's left from weights that are read in slices, on another number of threads. */
static void check_on_demand(fr_device *device, bits_case *c)
{
    static const int64_t ROWS[] = {1, 4, M};
    float *start = fr_test_numbers(M * c->columns, 4, 1.0);
    void *memory = NULL;
    fr_linear_case apart = c->linear;
    apart.w = fr_test_apart(&c->linear.w, &memory);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        size_t bytes = (size_t)(ROWS[i] * c->columns) * sizeof *start;
        memcpy(c->got, start, bytes);
        FR_ASSERT_OK(fr_linear_case_run(device, &apart, c->back, ROWS[i], c->left, true,
                                        c->got));
        fr_assert_same_bytes("rows on demand", c->got, c->whole, bytes);
    }
    free(memory);
    free(start);
}

/* Shapes that take several slices, none of which divides them: the last one's rows would, taken alone, be
 * summed in other blocks. */
static void rows_on_demand_give_the_bits_of_rows_in_memory(void)
{
    static const map_shape SHAPES[] = {{80, 48}, {5300, 576}, {4861, 577}};
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        fr_device *one = fr_test_device((fr_isa)isa, 1);
        fr_device *three = fr_test_device((fr_isa)isa, 3);
        for (size_t i = 0; i < 12; i++) {
            bits_case c = bits_case_init(one, SHAPES[i / 4], i % 2 ? FR_BF16 : FR_F32,
                                         i / 2 % 2 == 1);
            check_on_demand(three, &c);
            bits_case_fini(&c);
        }
        fr_device_destroy(&one);
        fr_device_destroy(&three);
    }
}

static void blocks_of_the_depth_are_few_even_and_short(void)
{
    enum { UNIT = 16, DEPTHS = 5000 };
    static const int64_t LONGEST[] = {[FR_F32] = 320, [FR_BF16] = 640};
    for (int64_t i = 2; i < 2 * DEPTHS; i++) {
        fr_dtype dtype = i % 2 == 0 ? FR_F32 : FR_BF16;
        int64_t depth = i / 2;
        int64_t block = fr_gemm_depth_block(dtype, depth);
        int64_t n_blocks = (depth + block - 1) / block;
        CU_ASSERT(block % UNIT == 0 && block <= LONGEST[dtype]);
        CU_ASSERT(n_blocks <= (depth + LONGEST[dtype] - 1) / LONGEST[dtype]);
        CU_ASSERT(block <= depth / n_blocks + n_blocks * UNIT);
    }
}

static const fr_case CASES[] = {
    FR_CASE(rows_of_the_tiny_model_keep_their_bits),
    FR_CASE(rows_of_smollm2_keep_their_bits),
    FR_CASE(rows_of_a_wide_head_keep_their_bits),
    FR_CASE(products_are_added_in_the_documented_order),
    FR_CASE(the_largest_sums_in_fixed_point_fit),
    FR_CASE(rows_on_demand_give_the_bits_of_rows_in_memory),
    FR_CASE(blocks_of_the_depth_are_few_even_and_short),
};

int main(int argc, char **argv)
{
    return fr_suite_main("linear_bits", CASES, FR_N_CASES(CASES), argc, argv);
}
