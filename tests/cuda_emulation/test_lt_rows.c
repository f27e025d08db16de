/* Products by cuBLASLt, emulated or NVIDIA's own: they are near the sums in f64, a row has the same bits in any call, and nothing
 * of how a matrix is stored shows. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_case.h"

#include "device/cuda/lt.h"
#include "device/cuda/widen.h"
#include "support/approx.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* @return false: the case is skipped */
static bool open_two(fr_two *two)
{
    *two = fr_lt_case_two("");
    bool is_there = fr_cuda_of(two->cuda)->lt != NULL;
    if (!is_there) {
        fr_skip("there is no cuBLASLt that starts");
        fr_two_close(two);
    }
    return is_there;
}

/* ---- sums ---------------------------------------------------------------------------------------- */

enum { MOST = 300, N_OUT = 128, N_IN = 256 };

static void check_near(const fr_two *two, const fr_product_setting *s)
{
    fr_product_case p = fr_product_case_init(two, s, N_OUT, N_IN);
    int64_t depth = fr_linear_case_depth(&p.linear, s->back);
    int64_t n = MOST * fr_linear_case_columns(&p.linear, s->back);
    fr_pair left = fr_pair_numbers(two, "left", MOST * depth, fr_product_left(s), 5, 1);
    fr_pair out = fr_pair_numbers(two, "f64", n, fr_product_out(s), 11, 1);
    fr_linear_case as_given = p.linear;
    float *x = left.cpu;
    as_given.w.dtype = FR_F32;
    for (int64_t i = 0; i < MOST * depth; i++) {
        x[i] = fr_linear_case_round(p.linear.w.dtype, x[i]);
    }
    fr_linear_case_reference(&as_given, s->back, MOST, x, s->accumulate, out.cpu);
    fr_product_case_run(two, s, MOST, left.on_cuda, &p.w, out.on_cuda);
    fr_pair_assert_near(&out, fr_approx(FR_APPROX_LINEAR, FR_F32) +
                                  (fr_product_out(s) == FR_BF16 ? 0x1p-8 : 0.0));
    fr_pair_free(&left);
    fr_pair_free(&out);
    fr_product_case_fini(two, &p);
}

static void products_are_near_the_sums(void)
{
    fr_two two;
    if (!open_two(&two)) {
        return;
    }
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        check_near(&two, &(fr_product_setting){.back = i / FR_PRODUCT_TYPES == 1,
                                               .types = i % FR_PRODUCT_TYPES,
                                               .accumulate = i % 3 == 0});
    }
    fr_two_close(&two);
}

/* ---- rows ---------------------------------------------------------------------------------------- */

static void rows_have_the_same_bits_in_any_call(void)
{
    static const int64_t ROWS[] = {1, 2, 16, 17, 64, 65, 128, 200};
    fr_two two;
    if (!open_two(&two)) {
        return;
    }
    for (int i = 0; i < FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / FR_PRODUCT_TYPES == 1,
                                .types = i % FR_PRODUCT_TYPES,
                                .accumulate = i % 3 == 0};
        fr_product_case_assert_rows(&two, &s, N_OUT, N_IN, ROWS, FR_N_CASES(ROWS));
    }
    fr_two_close(&two);
}

/* ---- storage --------------------------------------------------------------------------------- */

/* y by both matrices. */
static void assert_equal_products(const fr_two *two, const char *what,
                                  const fr_matrix *a, const fr_matrix *b)
{
    enum { M = 9 };
    for (int back = 0; back < 2; back++) {
        int64_t depth = back == 1 ? a->n_out : a->n_in;
        int64_t columns = back == 1 ? a->n_in : a->n_out;
        fr_product_setting s = {
            .back = back == 1, .types = 6, .accumulate = true}; /* bf16 to f32 */
        fr_pair left = fr_pair_numbers(two, "left", M * depth, FR_BF16, 5, 1);
        fr_pair one = fr_pair_numbers(two, what, M * columns, FR_F32, 11, 1);
        fr_pair other = fr_pair_numbers(two, what, M * columns, FR_F32, 11, 1);
        fr_product_case_run(two, &s, M, left.on_cuda, a, one.on_cuda);
        fr_product_case_run(two, &s, M, left.on_cuda, b, other.on_cuda);
        float *wanted = fr_pair_fetch(&one);
        memcpy(other.cpu, wanted, (size_t)(M * columns) * sizeof *wanted);
        fr_pair_assert_same(&other);
        free(wanted);
        fr_pair_free(&left);
        fr_pair_free(&one);
        fr_pair_free(&other);
    }
}

static void parts_of_a_matrix_do_not_show(void)
{
    enum { FIRST = 40 };
    fr_two two;
    if (!open_two(&two)) {
        return;
    }
    fr_product_setting s = {.types = 6};
    fr_product_case p = fr_product_case_init(&two, &s, N_OUT, N_IN);
    const uint16_t *rows = p.linear.w.parts[0].rows;
    void *low = fr_test_to_device(&two, rows, FIRST * N_IN * 2, 0);
    void *high =
        fr_test_to_device(&two, rows + FIRST * N_IN, (N_OUT - FIRST) * N_IN * 2, 2);
    fr_matrix apart = p.w;
    apart.n_parts = 2;
    apart.parts[0] = (fr_matrix_part){
        .rows = low, .n_rows = FIRST, .format = fr_dtype_format(FR_BF16)};
    apart.parts[1] = (fr_matrix_part){.rows = (char *)high + 2,
                                      .n_rows = N_OUT - FIRST,
                                      .format = fr_dtype_format(FR_BF16)};
    assert_equal_products(&two, "two parts", &p.w, &apart);
    fr_device_free(two.cuda, low);
    fr_device_free(two.cuda, high);
    fr_product_case_fini(&two, &p);
    fr_two_close(&two);
}

/* Q8_0: a scale of 2^-7 in f16, 32 signed bytes. */
static void weights_may_be_quantised(void)
{
    enum { BLOCK = 34, BYTES = N_OUT * N_IN / 32 * BLOCK };
    fr_two two;
    if (!open_two(&two)) {
        return;
    }
    uint8_t *bytes = calloc(BYTES, 1);
    for (int i = 0; i < BYTES; i++) {
        int at = i % BLOCK;
        bytes[i] = (uint8_t)(at == 0 ? 0 : at == 1 ? 0x20 : 37 * i % 251);
    }
    void *stored = fr_test_to_device(&two, bytes, BYTES, 0);
    void *dense = NULL;
    fr_matrix quantised = {
        .n_out = N_OUT, .n_in = N_IN, .dtype = FR_BF16, .n_parts = 1};
    quantised.parts[0] =
        (fr_matrix_part){.rows = stored, .n_rows = N_OUT, .format = FR_QUANT_Q8_0};
    FR_ASSERT_OK(fr_device_alloc(two.cuda, (int64_t)N_OUT * N_IN, 2, &dense));
    FR_ASSERT_OK(fr_cuda_widen(two.cuda, &quantised, 0, N_OUT, FR_BF16, dense));
    fr_matrix wide = fr_matrix_of(dense, FR_BF16, N_OUT, N_IN);
    assert_equal_products(&two, "quantised", &wide, &quantised);
    fr_device_free(two.cuda, dense);
    fr_device_free(two.cuda, stored);
    free(bytes);
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(products_are_near_the_sums),
    FR_CASE(rows_have_the_same_bits_in_any_call),
    FR_CASE(parts_of_a_matrix_do_not_show),
    FR_CASE(weights_may_be_quantised),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_lt_rows", CASES, FR_N_CASES(CASES), argc, argv);
}
