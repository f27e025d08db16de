/*
 * In which order, and in what pieces, a product is summed along its depth.
 *
 * Weights are 1. A row of the left operand holds LARGE at place 0, -LARGE at a place j, and 1 elsewhere. A 1 that is added to a sum which
 * holds one of the two is lost, and all others are counted; so depth - result is how many numbers the smallest partial sum with
 * places 0 and j holds. Where that is less than 16 (j / 16 + 1) + 1 and more than 16 (j / 16) for each j, the depth
 * ascends by groups of 16, whatever happens inside of them.
 *
 * So are Forerun's own products on tensor cores. cuBLASLt may have any order, which is printed; it fails only if a result
 * depends on the row, or on the number of rows.
 */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_rows.h"
#include "which_gpu.h"

#include "base/integer.h"
#include "device/bf16.h"
#include "device/cuda/runtime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP = 16, ALL_TO = 512, STEP = 61, DIGITS = 20, FIRST_DIGIT = 10 };
#define LARGE 0x1p60F

static const int64_t SMALL[][2] = {{128, 96}, {64, 64}};
static const int64_t LARGER[][2] = {{64, 64},      {3072, 576},   {576, 1536},
                                    {6144, 4096},  {4096, 4096},  {28672, 4096},
                                    {4096, 14336}, {128256, 4096}};

/* Which rows a product has: one for each place j, then one for each digit. */
typedef struct probe {
    fr_product_rows product;
    int64_t places; /* rows with a place j */
    bool reversed;  /* the last row comes first */
} probe;

static int64_t place_of(int64_t i)
{
    return i < ALL_TO - 1 ? i + 1 : ALL_TO + (i - ALL_TO + 1) * STEP;
}

static int64_t count_places(int64_t depth)
{
    int64_t n = 0;
    while (place_of(n) < depth) {
        n++;
    }
    return n;
}

/* A row of digits: 2^-d, then 1024 and -1024 behind it. What a sum keeps of the first beside the second is the result. */
static void set_row(const probe *p, int64_t i, uint16_t *row)
{
    const uint16_t one = fr_bf16_round(1.0F);
    for (int64_t k = 0; k < p->product.depth && i < p->places; k++) {
        row[k] = one;
    }
    if (i < p->places) {
        row[0] = fr_bf16_round(LARGE);
        row[place_of(i)] = fr_bf16_round(-LARGE);
    } else {
        row[0] = fr_bf16_round(ldexpf(1.0F, -(int)(FIRST_DIGIT + i - p->places)));
        row[1] = fr_bf16_round(1024.0F);
        row[2] = fr_bf16_round(-1024.0F);
    }
}

static void put_rows(probe *p)
{
    fr_product_rows *product = &p->product;
    int64_t n = product->rows * product->depth;
    uint16_t *left = calloc((size_t)n, sizeof *left);
    if (left == NULL) {
        exit(1);
    }
    for (int64_t i = 0; i < product->rows; i++) {
        int64_t at = p->reversed ? product->rows - 1 - i : i;
        set_row(p, i, left + at * product->depth);
    }
    FR_ASSERT_OK(fr_device_load(product->device, product->left.at, left,
                                n * (int64_t)sizeof *left));
    free(left);
}

static probe open_probe(fr_device *device, const fr_matrix *w, bool back)
{
    int64_t depth = back ? w->n_out : w->n_in;
    probe p = {.places = count_places(depth)};
    p.product = fr_product_rows_open(device, w, back, p.places + DIGITS, FR_F32);
    p.product.left.dtype = FR_BF16;
    FR_ASSERT_OK(fr_device_alloc(device, p.product.rows * depth, sizeof(uint16_t),
                                 &p.product.left.at));
    put_rows(&p);
    (void)fr_product_rows_force(device);
    CU_ASSERT_TRUE(fr_product_rows_run(&p.product, 0, p.product.rows, p.product.all));
    return p;
}

static const float *row_of(const probe *p, int64_t i)
{
    return (const float *)(const void *)p->product.all + i * p->product.columns;
}

/* ---- what depends on what -------------------------------------------------------------------------- */

static int count_differing_rows(probe *p)
{
    static const int64_t COUNTS[] = {1, 7, 64, 65, 300};
    int n = 0;
    for (int i = 0; i < FR_N_CASES(COUNTS); i++) {
        int64_t count = fr_min(COUNTS[i], p->product.rows);
        int64_t rest = p->product.rows - count;
        n += fr_product_rows_differ(&p->product, 0, count);
        n += fr_product_rows_differ(&p->product, rest / 2, count);
        n += fr_product_rows_differ(&p->product, rest, count);
    }
    p->reversed = true;
    put_rows(p);
    CU_ASSERT_TRUE(
        fr_product_rows_run(&p->product, 0, p->product.rows, p->product.some));
    int64_t bytes = fr_product_rows_bytes(&p->product);
    for (int64_t i = 0; i < p->product.rows; i++) {
        int64_t at = p->product.rows - 1 - i;
        n += memcmp(p->product.all + i * bytes, p->product.some + at * bytes,
                    (size_t)bytes) != 0;
    }
    return n;
}

static bool columns_are_equal(const probe *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->product.rows; i++) {
        const float *row = row_of(p, i);
        for (int64_t c = 1; c < p->product.columns; c++) {
            n += memcmp(row, row + c, sizeof *row) != 0;
        }
    }
    return n == 0;
}

/* ---- the order --------------------------------------------------------------------------------- */

/* Numbers in the smallest partial sum with place 0 and that of row i. */
static int64_t reach(const probe *p, int64_t i)
{
    return p->product.depth - (int64_t)*row_of(p, i);
}

static bool ascends_by(const probe *p, int64_t group)
{
    bool does = true;
    for (int64_t i = 0; i < p->places; i++) {
        int64_t before = place_of(i) / group * group;
        int64_t n = reach(p, i);
        does = does && n > before && n <= before + group;
    }
    return does;
}

static void print_order(const probe *p)
{
    enum { MOST_STEPS = 8 };
    int64_t depth = p->product.depth;
    int64_t group = 8;
    while (group < depth && !ascends_by(p, group)) {
        group *= 2;
    }
    if (group < depth) {
        (void)printf("the depth ascends by groups of %lld", (long long)group);
        return;
    }
    (void)printf("another order: with place 0 are summed first");
    int steps = 0;
    for (int64_t i = 0; i < p->places && steps < MOST_STEPS; i++) {
        if (i == 0 || reach(p, i) != reach(p, i - 1)) {
            (void)printf("%s place %lld in %lld numbers", steps > 0 ? "," : "",
                         (long long)place_of(i), (long long)reach(p, i));
            steps++;
        }
    }
}

/* The last power of two that is kept beside 1024, if it is first in a group. */
static int last_digit(const probe *p)
{
    int kept = FIRST_DIGIT - 1;
    for (int i = 0; i < DIGITS && *row_of(p, p->places + i) != 0.0F; i++) {
        kept = FIRST_DIGIT + i;
    }
    return kept;
}

/* One line. @return how many rows depend on where they are */
static int look_at(fr_device *device, const fr_matrix *w, bool back)
{
    bool is_own = fr_cuda_of(device)->lt == NULL;
    probe p = open_probe(device, w, back);
    bool has_one_order = columns_are_equal(&p);
    bool ascends = ascends_by(&p, GROUP);
    (void)printf("  %s, %s, %lld x %lld: ", is_own ? "own kernels" : "cuBLASLt",
                 back ? "backward" : "forward", (long long)w->n_out,
                 (long long)w->n_in);
    print_order(&p);
    (void)printf("; beside 1024, 2^-%d is kept%s", last_digit(&p),
                 has_one_order ? "" : "; columns differ");
    int differing = count_differing_rows(&p);
    (void)printf("; %d results depend on the row or on the number of rows\n",
                 differing);
    if (is_own) {
        CU_ASSERT_TRUE(has_one_order);
        CU_ASSERT_TRUE(ascends);
    }
    fr_product_rows_close(&p.product);
    return differing;
}

static int look(fr_device *device)
{
    const int64_t(*sizes)[2] = fr_gpu_is_emulated ? SMALL : LARGER;
    int n = fr_gpu_is_emulated ? FR_N_CASES(SMALL) : FR_N_CASES(LARGER);
    int differing = 0;
    for (int i = 0; i < n; i++) {
        int64_t count = sizes[i][0] * sizes[i][1];
        uint16_t *ones = calloc((size_t)count, sizeof *ones);
        void *weights = NULL;
        FR_ASSERT_OK(fr_device_alloc(device, count, sizeof *ones, &weights));
        if (ones == NULL || weights == NULL) {
            exit(1);
        }
        for (int64_t k = 0; k < count; k++) {
            ones[k] = fr_bf16_round(1.0F);
        }
        FR_ASSERT_OK(
            fr_device_load(device, weights, ones, count * (int64_t)sizeof *ones));
        free(ones);
        fr_matrix w = fr_matrix_of(weights, FR_BF16, sizes[i][0], sizes[i][1]);
        differing += look_at(device, &w, false);
        differing += look_at(device, &w, true);
        fr_device_free(device, weights);
    }
    FR_ASSERT_OK(fr_device_check(device));
    return differing;
}

static void own_products_sum_the_depth_by_groups_of_16(void)
{
    fr_device *device = NULL;
    FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 0, 1, &device));
    if (device == NULL) {
        exit(1);
    }
    CU_ASSERT_EQUAL(look(device), 0);
    fr_device_destroy(&device);
}

/* @return -1: skipped */
static int look_with_lt(const char *words)
{
    fr_device *device = fr_lt_case_open_or_skip(words);
    int differing = device != NULL ? look(device) : -1;
    fr_device_destroy(&device);
    return differing;
}

static void cublaslt_sums_rows_alike(void)
{
    CU_ASSERT_TRUE(look_with_lt("") <= 0);
}

static void a_row_that_depends_on_the_number_of_rows_is_seen(void)
{
    if (!fr_gpu_is_emulated) {
        fr_skip("only the emulated cuBLASLt can be told to");
        return;
    }
    CU_ASSERT_NOT_EQUAL(look_with_lt("rows"), 0);
}

static const fr_case CASES[] = {
    FR_CASE(own_products_sum_the_depth_by_groups_of_16),
    FR_CASE(cublaslt_sums_rows_alike),
    FR_CASE(a_row_that_depends_on_the_number_of_rows_is_seen),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_sum_order", CASES, FR_N_CASES(CASES), argc, argv);
}
