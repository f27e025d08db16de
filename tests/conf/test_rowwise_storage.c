#include "device/host.h"
#include "device/matrix.h"
#include "device/rowwise.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The nearest of the two bf16 neighbours of a finite x in f64; the even one on a tie. */
static uint16_t reference_bf16(float x)
{
    uint16_t down = (uint16_t)(bits_of(x) >> 16);
    uint16_t up = (uint16_t)(down + 1);
    double low = fabs((double)float_of((uint32_t)down << 16));
    double high = (up & 0x7fffU) == 0x7f80U
                      ? ldexp(1, 128)
                      : fabs((double)float_of((uint32_t)up << 16));
    double above = high - fabs((double)x);
    double below = fabs((double)x) - low;
    if (above == below) {
        return (down & 1U) == 0 ? down : up;
    }
    return above < below ? up : down;
}

enum { N_FIXED = 12, N_VALUES = 20011 };

static void fill_values(float *x)
{
    static const uint32_t FIXED[N_FIXED] = {
        0x3f808000U, 0x3f818000U, 0xbf808000U, 0xbf818000U, 0x3f808001U, 0x3f807fffU,
        0x00000001U, 0x80000000U, 0x7f7fffffU, 0x007fffffU, 0x00008000U, 0x00018000U};
    float *numbers = fr_test_numbers(N_VALUES, 1, 3);
    memcpy(x, numbers, N_VALUES * sizeof *x);
    for (int i = 0; i < N_FIXED; i++) {
        x[i] = float_of(FIXED[i]);
        x[N_VALUES - 1 - i] = float_of(FIXED[i]);
    }
    free(numbers);
}

static void check_save(fr_device *device, void *user)
{
    (void)user;
    static float x[N_VALUES];
    static float copy[N_VALUES];
    static float back[N_VALUES];
    static uint16_t saved[N_VALUES];
    fill_values(x);
    memcpy(copy, x, sizeof copy);
    fr_save(device, N_VALUES, fr_host_view(x),
            fr_view_of(fr_host_bytes(saved), FR_BF16));
    fr_restore(device, N_VALUES, fr_view_of(fr_host_bytes(saved), FR_BF16),
               fr_host_view(back));
    int64_t n_wrong = 0;
    for (int i = 0; i < N_VALUES; i++) {
        n_wrong += saved[i] != reference_bf16(copy[i]);
        n_wrong += bits_of(x[i]) != (uint32_t)saved[i] << 16;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    fr_assert_same_bytes("restored", back, x, sizeof x);
    memcpy(back, copy, sizeof back);
    fr_save(device, N_VALUES, fr_host_view(back), fr_view_of(NULL, FR_BF16));
    fr_assert_same_bytes("only rounded", back, x, sizeof x);
    fr_save(device, N_VALUES, fr_host_view(copy),
            fr_view_of(fr_host_bytes(back), FR_F32));
    fr_assert_same_bytes("saved as f32", back, copy, sizeof back);
    memset(x, 0, sizeof x);
    fr_restore(device, N_VALUES, fr_view_of(fr_host_bytes(back), FR_F32),
               fr_host_view(x));
    fr_assert_same_bytes("restored from f32", x, copy, sizeof x);
}

static void bf16_rounds_to_nearest_even_and_back(void)
{
    fr_test_each_device(check_save, NULL);
}

static void check_special(fr_device *device, void *user)
{
    (void)user;
    float x[] = {INFINITY, -INFINITY, float_of(0x7f800001U), float_of(0xffffffffU)};
    uint16_t saved[4];
    fr_save(device, 4, fr_host_view(x), fr_view_of(fr_host_bytes(saved), FR_BF16));
    CU_ASSERT(saved[0] == 0x7f80U && saved[1] == 0xff80U);
    CU_ASSERT(isnan(x[2]) && isnan(x[3]));
}

static void infinities_and_nan_survive_bf16(void)
{
    fr_test_each_isa(check_special, NULL);
}

static void check_gather(fr_device *device, void *user)
{
    enum { ROWS = 50, TOKENS = 120 };
    const int64_t *width = user;
    float *table = fr_test_numbers(ROWS * *width, 1, 1);
    float *y = fr_test_zeros(TOKENS * *width);
    uint16_t *narrow = calloc((size_t)(ROWS * *width), sizeof *narrow);
    int32_t ids[TOKENS];
    for (int t = 0; t < TOKENS; t++) {
        ids[t] = (t * 37 + 49) % ROWS;
    }
    size_t row_bytes = (size_t)*width * sizeof *y;
    fr_matrix floats = fr_matrix_of(table, FR_F32, ROWS, *width);
    FR_ASSERT_OK(fr_gather_rows(device, TOKENS, ids, &floats, fr_host_f32(y)));
    for (int t = 0; t < TOKENS; t++) {
        fr_assert_same_bytes("gathered f32", y + t * *width, table + ids[t] * *width,
                             row_bytes);
    }
    fr_save(device, ROWS * *width, fr_host_view(table),
            fr_view_of(fr_host_bytes(narrow), FR_BF16));
    fr_matrix halves = fr_matrix_of(narrow, FR_BF16, ROWS, *width);
    FR_ASSERT_OK(fr_gather_rows(device, TOKENS, ids, &halves, fr_host_f32(y)));
    for (int t = 0; t < TOKENS; t++) {
        fr_assert_same_bytes("gathered bf16", y + t * *width, table + ids[t] * *width,
                             row_bytes);
    }
    for (int i = 0; i < 2; i++) {
        void *memory = NULL;
        fr_matrix apart = fr_test_apart(i == 0 ? &floats : &halves, &memory);
        memset(y, 0, TOKENS * row_bytes);
        FR_ASSERT_OK(fr_gather_rows(device, TOKENS, ids, &apart, fr_host_f32(y)));
        free(memory);
        for (int t = 0; t < TOKENS; t++) {
            fr_assert_same_bytes("gathered on demand", y + t * *width,
                                 table + ids[t] * *width, row_bytes);
        }
    }
    free(table);
    free(y);
    free(narrow);
}

static void gathered_rows_are_the_tables_rows(void)
{
    int64_t width = 7;
    fr_test_each_device(check_gather, &width);
    width = 576;
    fr_test_each_device(check_gather, &width);
}

static void check_add(fr_device *device, void *user)
{
    enum { N = 9001 };
    (void)user;
    float *x = fr_test_numbers(N, 1, 1);
    float *y = fr_test_numbers(N, 2, 1);
    float *sum = fr_test_numbers(N, 2, 1);
    fr_add(device, N, fr_host_view(x), fr_host_f32(sum));
    for (int i = 0; i < N; i++) {
        y[i] += x[i];
    }
    fr_assert_same_bytes("sum", sum, y, N * sizeof *sum);
    free(x);
    free(y);
    free(sum);
}

static void sum_of_two_buffers_is_rounded_once(void)
{
    fr_test_each_device(check_add, NULL);
}

/* A factor whose products need rounding: one fused operation, and one product. */
static void check_scaled(fr_device *device, void *user)
{
    enum { N = 9001 };
    static const float FACTOR = 0.22F;
    (void)user;
    float *x = fr_test_numbers(N, 1, 1);
    float *y = fr_test_numbers(N, 2, 1);
    float *sum = fr_test_numbers(N, 2, 1);
    x[3] = NAN;
    x[4] = INFINITY;
    x[5] = -0.0F;
    fr_add_scaled(device, N, FACTOR, fr_host_view(x), fr_host_f32(sum));
    for (int i = 0; i < N; i++) {
        y[i] = fmaf(x[i], FACTOR, y[i]);
    }
    CU_ASSERT(isnan(sum[3]) && isnan(y[3]) && isinf(sum[4]));
    sum[3] = y[3] = 0;
    fr_assert_same_bytes("sum", sum, y, N * sizeof *sum);
    memcpy(y, x, N * sizeof *y);
    fr_scale(device, N, FACTOR, fr_host_f32(x));
    CU_ASSERT(isnan(x[3]) && isinf(x[4]) && x[5] == 0 && signbit(x[5]));
    for (int i = 6; i < N; i++) {
        y[i] *= FACTOR;
    }
    fr_assert_same_bytes("product", x + 6, y + 6, (N - 6) * sizeof *x);
    free(x);
    free(y);
    free(sum);
}

static void factors_are_rounded_once(void)
{
    fr_test_each_device(check_scaled, NULL);
}

static void check_bias(fr_device *device, void *user)
{
    enum { TOKENS = 100, WIDTH = 91, STRIDE = 97 };
    (void)user;
    float *b = fr_test_numbers(WIDTH, 1, 1);
    float *x = fr_test_numbers(TOKENS * STRIDE, 2, 1);
    float *wanted = fr_test_numbers(TOKENS * STRIDE, 2, 1);
    for (int i = 0; i < TOKENS * STRIDE; i++) {
        wanted[i] += i % STRIDE < WIDTH ? b[i % STRIDE] : 0;
    }
    fr_add_bias(device, TOKENS, WIDTH, STRIDE, fr_host_f32(b), fr_host_view(x));
    fr_assert_same_bytes("biased", x, wanted, TOKENS * STRIDE * sizeof *x);
    free(b);
    free(x);
    free(wanted);
}

static void bias_reaches_every_row_and_not_the_gap(void)
{
    fr_test_each_device(check_bias, NULL);
}

enum { POSITIONS = 40, ROPE_TOKENS = 30, ROPE_HEADS = 5, ROPE_GAP = 3 };

static void fill_table(int64_t head_dim, float *table)
{
    int64_t half = head_dim / 2;
    for (int64_t i = 0; i < POSITIONS * half; i++) {
        double frequency = pow(1e4, -2.0 * (double)(i % half) / (double)head_dim);
        int64_t position = i / half;
        double angle = (double)position * frequency;
        table[2 * i] = (float)cos(angle);
        table[2 * i + 1] = (float)sin(angle);
    }
}

/* Complex product of (x[i], x[i + K/2]) with (cos, sin). */
static void reference_rope(int64_t head_dim, const float *table, const float *x,
                           float *y)
{
    for (int64_t i = 0; i < head_dim / 2; i++) {
        double c = (double)table[2 * i];
        double s = (double)table[2 * i + 1];
        double a = (double)x[i];
        double b = (double)x[i + head_dim / 2];
        y[i] = (float)(a * c - b * s);
        y[i + head_dim / 2] = (float)(b * c + a * s);
    }
}

/* The first `rotary` elements of each head turn, the others stay. */
static void check_rope_width(fr_device *device, int64_t head_dim, int64_t rotary)
{
    int64_t stride = ROPE_HEADS * head_dim + ROPE_GAP;
    int64_t all = ROPE_TOKENS * stride;
    float *table = fr_test_zeros(POSITIONS * rotary);
    float *x = fr_test_numbers(all, 1, 1);
    float *original = fr_test_numbers(all, 1, 1);
    float *wanted = fr_test_numbers(all, 1, 1);
    int32_t positions[ROPE_TOKENS];
    fill_table(rotary, table);
    for (int t = 0; t < ROPE_TOKENS; t++) {
        positions[t] = (t * 7 + 39) % POSITIONS;
        for (int head = 0; head < ROPE_HEADS; head++) {
            int64_t at = t * stride + head * head_dim;
            reference_rope(rotary, table + positions[t] * rotary, x + at, wanted + at);
        }
    }
    double tolerance = fr_approx(FR_APPROX_ROPE, FR_F32);
    fr_heads heads = {ROPE_TOKENS, ROPE_HEADS, head_dim, stride};
    fr_rope(device, &heads, rotary, positions, fr_host_f32(table), false,
            fr_host_view(x));
    fr_assert_close("rotated", x, wanted, all, tolerance);
    fr_assert_same_bytes("gap", x + stride - ROPE_GAP, original + stride - ROPE_GAP,
                         ROPE_GAP * sizeof *x);
    fr_rope(device, &heads, rotary, positions, fr_host_f32(table), true,
            fr_host_view(x));
    fr_assert_close("rotated back", x, original, all, tolerance);
    free(table);
    free(x);
    free(original);
    free(wanted);
}

static void check_rope(fr_device *device, void *user)
{
    static const int64_t HEAD_DIMS[] = {2, 6, 16, 26, 64, 80};
    (void)user;
    for (int i = 0; i < FR_N_CASES(HEAD_DIMS); i++) {
        check_rope_width(device, HEAD_DIMS[i], HEAD_DIMS[i]);
    }
    check_rope_width(device, 96, 24);
    check_rope_width(device, 13, 6);
    check_rope_width(device, 80, 2);
}

static void rotation_matches_f64_and_its_inverse_undoes_it(void)
{
    fr_test_each_device(check_rope, NULL);
}

/* A table whose cos and sin carry a factor f (YaRN): back and forth gives f^2, as it must for a transpose. */
static void check_rest_and_factor(fr_device *device, void *user)
{
    enum { HEAD = 24, ROTARY = 10, N = ROPE_TOKENS * ROPE_HEADS * HEAD };
    static const float FACTOR = 1.25F;
    (void)user;
    float table[POSITIONS * ROTARY];
    float *x = fr_test_numbers(N, 1, 1);
    float *original = fr_test_numbers(N, 1, 1);
    int32_t positions[ROPE_TOKENS];
    fr_heads heads = {ROPE_TOKENS, ROPE_HEADS, HEAD, ROPE_HEADS * HEAD};
    fill_table(ROTARY, table);
    for (int i = 0; i < POSITIONS * ROTARY; i++) {
        table[i] *= FACTOR;
    }
    for (int t = 0; t < ROPE_TOKENS; t++) {
        positions[t] = (t * 7 + 39) % POSITIONS;
    }
    fr_rope(device, &heads, ROTARY, positions, fr_host_f32(table), false,
            fr_host_view(x));
    fr_rope(device, &heads, ROTARY, positions, fr_host_f32(table), true,
            fr_host_view(x));
    for (int i = 0; i < N; i++) {
        bool turns = i % HEAD < ROTARY;
        original[i] *= turns ? FACTOR * FACTOR : 1;
        CU_ASSERT_FATAL(turns || bits_of(x[i]) == bits_of(original[i]));
    }
    fr_assert_close("there and back", x, original, N,
                    fr_approx(FR_APPROX_ROPE, FR_F32));
    free(x);
    free(original);
}

static void elements_that_do_not_turn_keep_their_bits(void)
{
    fr_test_each_device(check_rest_and_factor, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(bf16_rounds_to_nearest_even_and_back),
    FR_CASE(infinities_and_nan_survive_bf16),
    FR_CASE(gathered_rows_are_the_tables_rows),
    FR_CASE(sum_of_two_buffers_is_rounded_once),
    FR_CASE(bias_reaches_every_row_and_not_the_gap),
    FR_CASE(elements_that_do_not_turn_keep_their_bits),
    FR_CASE(factors_are_rounded_once),
    FR_CASE(rotation_matches_f64_and_its_inverse_undoes_it),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rowwise_storage", CASES, FR_N_CASES(CASES), argc, argv);
}
