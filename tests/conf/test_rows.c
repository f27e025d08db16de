/* Rows that move, against plain loops: the same bytes on every instruction set, for any number of threads. */
#include "device/host.h"
#include "device/rows.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_ROWS = 50, GUARD = 8 };

typedef struct shape {
    int64_t n;
    int64_t width;
} shape;

/* No row, no column, one of each, widths that are and are not whole vectors and cache lines, and enough for all threads. */
static const shape SHAPES[] = {{0, 7},   {3, 0},   {1, 1},    {2, 15},   {50, 16},
                               {50, 91}, {31, 64}, {17, 576}, {50, 1000}};

typedef void (*shape_check)(fr_device *device, const shape *s);

static void check_shapes(fr_device *device, void *user)
{
    const shape_check *check = user;
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        (*check)(device, &SHAPES[i]);
    }
}

static void each_shape(shape_check check)
{
    fr_test_each_device(check_shapes, &check);
}

/* Numbers with a few more behind them, which nothing may write. */
static float *guarded(int64_t n, uint64_t stream)
{
    return fr_test_numbers(n + GUARD, stream, 1);
}

static void assert_same(const char *what, const float *got, const float *wanted,
                        int64_t n)
{
    fr_assert_same_bytes(what, got, wanted, (size_t)(n + GUARD) * sizeof *got);
}

/* Rows that repeat, next to each other and far apart. */
static void fill_repeated(int32_t *rows)
{
    for (int64_t i = 0; i < TABLE_ROWS; i++) {
        rows[i] = (int32_t)(i % 4 == 1 && i > 0 ? rows[i - 1]
                                                : (i * 37 + 49) % (TABLE_ROWS / 3));
    }
}

/* Distinct rows in no order. */
static void fill_distinct(int32_t *rows)
{
    for (int64_t i = 0; i < TABLE_ROWS; i++) {
        rows[i] = (int32_t)((i * 37 + 49) % TABLE_ROWS);
    }
}

static void check_copy(fr_device *device, const shape *s)
{
    int32_t rows[TABLE_ROWS];
    float *x = fr_test_numbers(TABLE_ROWS * s->width, 1, 1);
    float *y = guarded(s->n * s->width, 2);
    float *wanted = guarded(s->n * s->width, 2);
    fill_repeated(rows);
    fr_copy_rows(device, s->n, s->width, rows, fr_host_view(x), fr_host_view(y));
    for (int64_t i = 0; i < s->n * s->width; i++) {
        wanted[i] = x[rows[i / s->width] * s->width + i % s->width];
    }
    assert_same("copied rows", y, wanted, s->n * s->width);
    free(x);
    free(y);
    free(wanted);
}

static void copied_rows_are_the_named_ones(void)
{
    each_shape(check_copy);
}

static void check_scatter(fr_device *device, const shape *s)
{
    int32_t rows[TABLE_ROWS];
    int64_t all = TABLE_ROWS * s->width;
    float *x = fr_test_numbers(s->n * s->width, 1, 1);
    float *y = guarded(all, 2);
    float *wanted = guarded(all, 2);
    fill_distinct(rows);
    fr_scatter_rows(device, TABLE_ROWS, s->width, s->n, rows, fr_host_view(x),
                    fr_host_view(y));
    memset(wanted, 0, (size_t)all * sizeof *wanted);
    for (int64_t i = 0; i < s->n * s->width; i++) {
        wanted[rows[i / s->width] * s->width + i % s->width] = x[i];
    }
    assert_same("scattered rows", y, wanted, all);
    free(x);
    free(y);
    free(wanted);
}

static void scattered_rows_leave_zeros_elsewhere(void)
{
    each_shape(check_scatter);
}

static void check_add_table(fr_device *device, const shape *s)
{
    int32_t rows[TABLE_ROWS];
    float *table = fr_test_numbers(TABLE_ROWS * s->width, 1, 1);
    float *x = guarded(s->n * s->width, 2);
    float *wanted = guarded(s->n * s->width, 2);
    fill_repeated(rows);
    fr_add_table_rows(device, s->n, s->width, rows, fr_host_f32(table), fr_host_f32(x));
    for (int64_t i = 0; i < s->n * s->width; i++) {
        wanted[i] += table[rows[i / s->width] * s->width + i % s->width];
    }
    assert_same("rows plus those of a table", x, wanted, s->n * s->width);
    free(table);
    free(x);
    free(wanted);
}

static void each_row_gets_its_row_of_the_table(void)
{
    each_shape(check_add_table);
}

/* Sums of three and more have other bits in another order, and rows repeat here more often than that. */
static void check_add(fr_device *device, const shape *s)
{
    int32_t rows[TABLE_ROWS];
    int64_t all = TABLE_ROWS * s->width;
    float *x = fr_test_numbers(s->n * s->width, 1, 1);
    float *y = guarded(all, 2);
    float *wanted = guarded(all, 2);
    fill_repeated(rows);
    fr_add_rows(device, s->n, s->width, rows, fr_host_f32(x), fr_host_f32(y));
    for (int64_t i = 0; i < s->n * s->width; i++) {
        wanted[rows[i / s->width] * s->width + i % s->width] += x[i];
    }
    assert_same("added rows", y, wanted, all);
    free(x);
    free(y);
    free(wanted);
}

static void repeated_rows_are_added_in_their_order(void)
{
    each_shape(check_add);
}

/* ---- cache -------------------------------------------------------------------------------- */

enum { KV_HEADS = 2, MAX_SEGMENTS = 40, CACHE_ROWS = 300, MAX_TOKENS = 200 };

/* A pass of prompts of unlike lengths, one of single tokens, and one of nothing. */
static int64_t fill_segments(int pass, int64_t *n_tokens, fr_segment *segments)
{
    int64_t n = pass == 0 ? 5 : pass == 1 ? MAX_SEGMENTS : 0;
    int64_t place = 3;
    *n_tokens = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = pass == 0 ? 1 + 17 * i : 1;
        segments[i] = (fr_segment){
            .q_first = *n_tokens, .q_count = count, .own_first = place, .unit = i};
        *n_tokens += count;
        place += count + 2;
    }
    return n;
}

/* Keys and values are columns of wider rows, as those of a fused projection. */
static void check_cache(fr_device *device, int pass, int64_t head_dim)
{
    fr_segment segments[MAX_SEGMENTS];
    int64_t n_tokens = 0;
    int64_t n = fill_segments(pass, &n_tokens, segments);
    int64_t width = KV_HEADS * head_dim;
    int64_t stride = 3 * width + 5;
    float *qkv = fr_test_numbers(n_tokens * stride + 1, 1, 1);
    float *got[2];
    float *wanted[2];
    for (int i = 0; i < 2; i++) {
        got[i] = guarded(CACHE_ROWS * width, 2 + (uint64_t)i);
        wanted[i] = guarded(CACHE_ROWS * width, 2 + (uint64_t)i);
        for (int64_t s = 0; s < n; s++) {
            for (int64_t e = 0; e < segments[s].q_count * width; e++) {
                wanted[i][segments[s].own_first * width + e] =
                    qkv[(segments[s].q_first + e / width) * stride + (1 + i) * width +
                        e % width];
            }
        }
    }
    fr_attention_params params = {.n_kv_heads = KV_HEADS,
                                  .head_dim = head_dim,
                                  .kv_stride = stride,
                                  .n_tokens = n_tokens,
                                  .n_segments = n,
                                  .segments = segments};
    fr_fill_cache(device, &params, fr_host_view(qkv + width),
                  fr_host_view(qkv + 2 * width), fr_host_view(got[0]),
                  fr_host_view(got[1]));
    for (int i = 0; i < 2; i++) {
        assert_same(i == 0 ? "cached keys" : "cached values", got[i], wanted[i],
                    CACHE_ROWS * width);
        free(got[i]);
        free(wanted[i]);
    }
    free(qkv);
}

static void check_caches(fr_device *device, void *user)
{
    static const int64_t HEAD_DIMS[] = {1, 6, 64};
    (void)user;
    for (int i = 0; i < 3 * FR_N_CASES(HEAD_DIMS); i++) {
        check_cache(device, i % 3, HEAD_DIMS[i / 3]);
    }
}

static void a_cache_gets_the_own_rows_of_all_segments(void)
{
    fr_test_each_device(check_caches, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(copied_rows_are_the_named_ones),
    FR_CASE(scattered_rows_leave_zeros_elsewhere),
    FR_CASE(each_row_gets_its_row_of_the_table),
    FR_CASE(repeated_rows_are_added_in_their_order),
    FR_CASE(a_cache_gets_the_own_rows_of_all_segments),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rows", CASES, FR_N_CASES(CASES), argc, argv);
}
