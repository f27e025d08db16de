/* A matrix is what its description says: whatever the number format, the order of rows and the number of parts, reading, products
 * and gathering give the bits of a dense matrix with the same numbers, on every instruction set. */
#include "device/bf16.h"
#include "device/cpu/quant_kernels.h"
#include "device/host.h"
#include "device/matrix.h"
#include "support/devices.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of three parts: pairs in heads, heads among those of two other weights, in order. WIDTH takes any block, and the seams lie
 * on no multiple of what products take at a time. */
enum { WIDTH = 256, HEAD = 6, STEP = 3 * HEAD };
enum {
    PAIRS = 4 * HEAD,
    HEADS = 3 * HEAD,
    ORDERED = 19,
    ROWS = PAIRS + HEADS + ORDERED
};

static const uint32_t FORMATS[] = {
    FR_QUANT_F32,   FR_QUANT_F16,   FR_QUANT_BF16,  FR_QUANT_Q4_0,   FR_QUANT_Q4_1,
    FR_QUANT_Q5_0,  FR_QUANT_Q5_1,  FR_QUANT_Q8_0,  FR_QUANT_Q2_K,   FR_QUANT_Q3_K,
    FR_QUANT_Q4_K,  FR_QUANT_Q5_K,  FR_QUANT_Q6_K,  FR_QUANT_IQ4_NL, FR_QUANT_IQ4_XS,
    FR_QUANT_TQ1_0, FR_QUANT_TQ2_0, FR_QUANT_MXFP4, FR_QUANT_Q1_0,   FR_QUANT_Q2_0};

/* A matrix, the memory behind its parts, and the same numbers dense. */
typedef struct parts_case {
    fr_matrix w;
    uint8_t *stored[FR_MATRIX_PARTS];
    float *wide;      /* [ROWS, WIDTH] */
    uint16_t *halves; /* the same rounded */
    fr_matrix dense;
} parts_case;

/* n_stored rows of some numbers behind one byte, so that the address is odd; blocks are finite numbers in every format. */
static uint8_t *make_rows(uint32_t format, int64_t n_stored, uint64_t stream)
{
    const fr_quant_type *type = fr_quant_find(format);
    int64_t n = n_stored * WIDTH;
    size_t bytes = fr_quant_bytes(type, n);
    uint8_t *rows = fr_test_memory(malloc(bytes + 1));
    float *numbers = fr_test_numbers(n, stream, 1.0);
    for (size_t i = 0; i < bytes; i++) {
        rows[i + 1] = (uint8_t)((i * 37 + i / 113 + stream) % 120);
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = fr_bf16_round(numbers[i]);
        if (format == FR_QUANT_F32) {
            memcpy(rows + 1 + i * 4, &numbers[i], sizeof numbers[i]);
        } else if (format == FR_QUANT_BF16) {
            memcpy(rows + 1 + i * 2, &half, sizeof half);
        }
    }
    free(numbers);
    return rows;
}

/* Row r of the matrix is a stored row of a part. */
static void expect(parts_case *c, int64_t r, int part, int64_t stored)
{
    const fr_quant_type *type = fr_quant_find(c->w.parts[part].format);
    size_t row_bytes = fr_quant_bytes(type, WIDTH);
    float *wide = c->wide + r * WIDTH;
    fr_quant_widen(&fr_quant_generic, type,
                   c->stored[part] + 1 + (size_t)stored * row_bytes, WIDTH, wide);
    for (int64_t i = 0; i < WIDTH; i++) {
        c->halves[r * WIDTH + i] = fr_bf16_round(wide[i]);
    }
}

/* The places of rows by loops over what stored them, not by the formulas of matrix.h. */
static void expect_all(parts_case *c)
{
    int64_t stored = 0;
    for (int64_t head = 0; head < PAIRS / HEAD; head++) {
        for (int64_t pair = 0; pair < HEAD / 2; pair++) {
            expect(c, head * HEAD + pair, 0, stored++);
            expect(c, head * HEAD + HEAD / 2 + pair, 0, stored++);
        }
    }
    stored = 0;
    int64_t row = PAIRS;
    for (int64_t head = 0; head < HEADS / HEAD; head++) {
        for (int64_t weight = 0; weight < STEP / HEAD; weight++) {
            for (int64_t i = 0; i < HEAD; i++, stored++) {
                if (weight == 1) {
                    expect(c, row++, 1, stored);
                }
            }
        }
    }
    for (stored = 0; stored < ORDERED; stored++) {
        expect(c, PAIRS + HEADS + stored, 2, stored);
    }
}

/* The parts in the given formats; the middle one's first row lies behind a head of another weight. */
static parts_case make_case(const uint32_t formats[FR_MATRIX_PARTS], fr_dtype dtype)
{
    parts_case c = {.w = {.n_out = ROWS, .n_in = WIDTH, .dtype = dtype, .n_parts = 3}};
    static const int64_t STORED[] = {PAIRS, 3 * HEADS, ORDERED};
    const fr_matrix_part orders[] = {
        {.n_rows = PAIRS, .head = HEAD, .step = HEAD, .pairs = true},
        {.n_rows = HEADS, .head = HEAD, .step = STEP},
        {.n_rows = ORDERED}};
    for (int i = 0; i < FR_MATRIX_PARTS; i++) {
        c.stored[i] = make_rows(formats[i], STORED[i], (uint64_t)(i + 1));
        c.w.parts[i] = orders[i];
        c.w.parts[i].format = formats[i];
        c.w.parts[i].rows = c.stored[i] + 1;
    }
    c.w.parts[1].rows =
        c.stored[1] + 1 +
        fr_quant_bytes(fr_quant_find(formats[1]), (int64_t)HEAD * WIDTH);
    c.wide = fr_test_zeros((int64_t)ROWS * WIDTH);
    c.halves = fr_test_memory(calloc((size_t)ROWS * WIDTH, sizeof *c.halves));
    expect_all(&c);
    c.dense = fr_matrix_of(dtype == FR_BF16 ? (void *)c.halves : (void *)c.wide, dtype,
                           ROWS, WIDTH);
    return c;
}

static void free_case(parts_case *c)
{
    for (int i = 0; i < FR_MATRIX_PARTS; i++) {
        free(c->stored[i]);
    }
    free(c->wide);
    free(c->halves);
}

/* Runs inside a part, over each seam and over all of them. */
static void check_reading(const parts_case *c, fr_isa isa)
{
    static const int64_t RUNS[][2] = {{0, ROWS},
                                      {5, 4},
                                      {PAIRS - 1, 2},
                                      {PAIRS, HEADS},
                                      {PAIRS - 3, HEADS + 5},
                                      {PAIRS + HEADS - 1, 1},
                                      {PAIRS + HEADS + 2, ORDERED - 2},
                                      {ROWS - 1, 1},
                                      {ROWS, 0}};
    size_t row_bytes = WIDTH * fr_dtype_bytes(c->w.dtype);
    const char *wanted = fr_matrix_in_place(&c->dense);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
    for (int i = 0; i < FR_N_CASES(RUNS); i++) {
        char *got = fr_test_memory(calloc(ROWS + 1, row_bytes));
        fr_matrix_read(fr_quant_kernels_select(isa), &c->w, RUNS[i][0], RUNS[i][1],
                       got);
        fr_assert_same_bytes("rows", got, wanted + (size_t)RUNS[i][0] * row_bytes,
                             (size_t)RUNS[i][1] * row_bytes);
        CU_ASSERT_EQUAL(got[(size_t)RUNS[i][1] * row_bytes], 0);
        free(got);
    }
}

/* Every operator that takes a matrix; ten rows are worth threads. */
static void check_operators(fr_device *device, const parts_case *c)
{
    enum { M = 10, SIDE = WIDTH };
    static const int64_t COUNTS[] = {1, 3, M};
    float *x = fr_test_numbers(M * SIDE, 5, 1.0);
    float *got = fr_test_zeros(M * SIDE);
    float *wanted = fr_test_zeros(M * SIDE);
    int32_t ids[ROWS];
    for (int32_t i = 0; i < ROWS; i++) {
        ids[i] = ROWS - 1 - i;
    }
    for (int i = 0; i < 2 * FR_N_CASES(COUNTS); i++) {
        int64_t m = COUNTS[i / 2];
        bool add = i % 2 == 1;
        FR_ASSERT_OK(fr_linear_few(device, m, fr_host_view(x), &c->w,
                                   fr_view_if(add, fr_host_view(got)),
                                   fr_host_view(got)));
        FR_ASSERT_OK(fr_linear_few(device, m, fr_host_view(x), &c->dense,
                                   fr_view_if(add, fr_host_view(wanted)),
                                   fr_host_view(wanted)));
        fr_assert_same_bytes("few", got, wanted, (size_t)(m * ROWS) * sizeof *got);
        FR_ASSERT_OK(fr_linear(device, m, fr_host_view(x), &c->w,
                               fr_view_if(add, fr_host_view(got)), fr_host_view(got)));
        FR_ASSERT_OK(fr_linear(device, m, fr_host_view(x), &c->dense,
                               fr_view_if(add, fr_host_view(wanted)),
                               fr_host_view(wanted)));
        fr_assert_same_bytes("linear", got, wanted, (size_t)(m * ROWS) * sizeof *got);
        FR_ASSERT_OK(
            fr_linear_back(device, m, fr_host_view(x), &c->w, add, fr_host_view(got)));
        FR_ASSERT_OK(fr_linear_back(device, m, fr_host_view(x), &c->dense, add,
                                    fr_host_view(wanted)));
        fr_assert_same_bytes("back", got, wanted, (size_t)(m * WIDTH) * sizeof *got);
    }
    float *rows = fr_test_zeros((int64_t)ROWS * WIDTH);
    FR_ASSERT_OK(fr_gather_rows(device, ROWS, ids, &c->w, fr_host_f32(rows)));
    float *dense_rows = fr_test_zeros((int64_t)ROWS * WIDTH);
    FR_ASSERT_OK(fr_gather_rows(device, ROWS, ids, &c->dense, fr_host_f32(dense_rows)));
    fr_assert_same_bytes("gathered", rows, dense_rows,
                         (size_t)ROWS * WIDTH * sizeof *rows);
    free(rows);
    free(dense_rows);
    free(x);
    free(got);
    free(wanted);
}

static void check_case(fr_device *device, void *user)
{
    const parts_case *c = user;
    check_reading(c, fr_test_isa(device));
    check_operators(device, c);
}

static void rows_in_any_order_are_those_of_a_dense_matrix(void)
{
    for (int i = 0; i < 2 * FR_N_CASES(FORMATS); i++) {
        uint32_t f = FORMATS[i / 2];
        parts_case c = make_case((uint32_t[]){f, f, f}, i % 2 == 0 ? FR_F32 : FR_BF16);
        fr_test_each_isa(check_case, &c);
        free_case(&c);
    }
}

/* A file may store Q and K in one format and V in another; some formats are multiplied as they are stored, some are not. */
static void parts_may_have_formats_of_their_own(void)
{
    static const uint32_t MIXED[][FR_MATRIX_PARTS] = {
        {FR_QUANT_Q4_0, FR_QUANT_Q4_0, FR_QUANT_Q8_0},
        {FR_QUANT_Q4_K, FR_QUANT_Q8_0, FR_QUANT_Q6_K},
        {FR_QUANT_Q4_1, FR_QUANT_F16, FR_QUANT_F32},
        {FR_QUANT_BF16, FR_QUANT_IQ4_NL, FR_QUANT_BF16}};
    for (int i = 0; i < 2 * FR_N_CASES(MIXED); i++) {
        parts_case c = make_case(MIXED[i / 2], i % 2 == 0 ? FR_F32 : FR_BF16);
        fr_test_each_device(check_case, &c);
        free_case(&c);
    }
}

/* The last part as products can use it where it lies, between rows that they must read. */
static void a_part_may_be_in_place(void)
{
    for (int i = 0; i < 2; i++) {
        fr_dtype dtype = i == 0 ? FR_F32 : FR_BF16;
        uint32_t format = fr_dtype_format(dtype);
        parts_case c = make_case((uint32_t[]){FR_QUANT_Q8_0, format, format}, dtype);
        c.w.parts[2].rows = (const char *)fr_matrix_in_place(&c.dense) +
                            (size_t)(PAIRS + HEADS) * WIDTH * fr_dtype_bytes(dtype);
        CU_ASSERT_PTR_NULL(fr_matrix_part_in_place(&c.w, &c.w.parts[0]));
        CU_ASSERT_PTR_NULL(fr_matrix_part_in_place(&c.w, &c.w.parts[1]));
        CU_ASSERT_PTR_EQUAL(fr_matrix_part_in_place(&c.w, &c.w.parts[2]),
                            c.w.parts[2].rows);
        CU_ASSERT_PTR_NULL(fr_matrix_in_place(&c.w));
        fr_test_each_device(check_case, &c);
        free_case(&c);
    }
}

static void only_dense_numbers_at_their_own_addresses_are_in_place(void)
{
    float numbers[8] = {0};
    fr_matrix dense = fr_matrix_of(numbers, FR_F32, 2, 3);
    CU_ASSERT_PTR_EQUAL(fr_matrix_in_place(&dense), numbers);
    fr_matrix other = dense;
    other.parts[0].rows = (const char *)numbers + 2;
    CU_ASSERT_PTR_NULL(fr_matrix_in_place(&other));
    other.dtype = FR_BF16;
    other.parts[0].format = FR_QUANT_BF16;
    CU_ASSERT_PTR_NOT_NULL(fr_matrix_in_place(&other));
    other.parts[0].format = FR_QUANT_F16;
    CU_ASSERT_PTR_NULL(fr_matrix_in_place(&other));
    other = dense;
    other.parts[0].head = 2;
    other.parts[0].step = 6;
    CU_ASSERT_PTR_NULL(fr_matrix_in_place(&other));
    other = dense;
    other.n_parts = 2;
    other.n_out = 4;
    other.parts[1] = other.parts[0];
    CU_ASSERT_PTR_NULL(fr_matrix_in_place(&other));
}

static const fr_case CASES[] = {
    FR_CASE(rows_in_any_order_are_those_of_a_dense_matrix),
    FR_CASE(parts_may_have_formats_of_their_own),
    FR_CASE(a_part_may_be_in_place),
    FR_CASE(only_dense_numbers_at_their_own_addresses_are_in_place),
};

int main(int argc, char **argv)
{
    return fr_suite_main("matrix", CASES, FR_N_CASES(CASES), argc, argv);
}
