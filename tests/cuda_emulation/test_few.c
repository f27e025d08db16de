/* fr_linear_few on a CUDA device: near the CPU's, and each number exactly the documented sum (kernels_few.cu), whatever the number
 * of rows, their place, the types of the views and the way in which W is stored. */
#include "device/cuda/kernels_widen.h"
#include "device/host.h"
#include "stored_case.h"

enum { MOST_ROWS = 17 };

static const int64_t COUNTS[] = {1, 2, 4, 5, 8, 9, 16, MOST_ROWS};

/* A call: x and y begin `shift` numbers into memory. */
typedef struct few_call {
    const stored_case *w;
    fr_dtype x_type;
    fr_dtype y_type;
    int64_t first; /* row of x */
    int64_t m;
    int shift;
    bool accumulate;
} few_call;

static float rounded(fr_dtype dtype, float x)
{
    return dtype == FR_BF16 ? fr_bf16_widen(fr_bf16_round(x)) : x;
}

/* Of n numbers as they enter. */
static float documented_sum(int64_t n, const float *x, const float *w)
{
    float lane[FR_FEW_THREADS] = {0};
    float warp[FR_FEW_SPLIT];
    for (int64_t i = 0; i < n; i++) {
        float *sum = &lane[i / FR_WIDEN_RUN % FR_FEW_THREADS];
        *sum = fmaf(x[i], w[i], *sum);
    }
    for (int i = 0; i < FR_FEW_SPLIT; i++) {
        float *of = lane + i * FR_WIDEN_LANES;
        for (int half = FR_WIDEN_LANES / 2; half > 0; half /= 2) {
            for (int j = 0; j < half; j++) {
                of[j] += of[j + half];
            }
        }
        warp[i] = of[0];
    }
    return (warp[0] + warp[1]) + (warp[2] + warp[3]);
}

/* What y must be, with the start that it had; and that it is near the exact sum. */
static float wanted_number(const few_call *c, const float *x, const float *w,
                           float start)
{
    int64_t n = c->w->on_cpu.n_in;
    float sum = documented_sum(n, x, w);
    double exact = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        exact += (double)x[i] * (double)w[i];
        size += fabs((double)x[i] * (double)w[i]);
    }
    CU_ASSERT(fabs((double)sum - exact) <= 1e-6 * size);
    return rounded(c->y_type, c->accumulate ? start + sum : sum);
}

static float *entering(const fr_matrix *w, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = rounded(w->dtype, x[i]);
    }
    return x;
}

static void check_call(const few_call *c)
{
    const fr_two *two = c->w->two;
    const fr_matrix *w = &c->w->on_cpu;
    int64_t n = MOST_ROWS * w->n_in + c->shift;
    fr_pair x = fr_pair_numbers(two, "x", n, c->x_type, 5, 1.0);
    fr_pair y =
        fr_pair_numbers(two, "y", c->m * w->n_out + c->shift + 1, c->y_type, 6, 1.0);
    float *wide = stored_read(c->w, 0, w->n_out, w->dtype);
    for (int64_t i = w->n_out * w->n_in - 1; w->dtype == FR_BF16 && i >= 0; i--) {
        wide[i] = fr_bf16_widen(((uint16_t *)(void *)wide)[i]);
    }
    float *wanted = malloc((size_t)y.n * sizeof *wanted);
    float *left = malloc((size_t)n * sizeof *left);
    memcpy(wanted, y.cpu, (size_t)y.n * sizeof *wanted);
    memcpy(left, x.cpu, (size_t)n * sizeof *left);
    entering(w, left, n);
    for (int64_t i = 0; i < c->m * w->n_out; i++) {
        wanted[i + c->shift] =
            wanted_number(c, left + c->shift + (c->first + i / w->n_out) * w->n_in,
                          wide + i % w->n_out * w->n_in, wanted[i + c->shift]);
    }
    int64_t at = c->shift + c->first * w->n_in;
    FR_ASSERT_OK(
        fr_linear_few(two->cpu, c->m, fr_view_at(x.on_cpu, at), w,
                      fr_view_if(c->accumulate, fr_view_at(y.on_cpu, c->shift)),
                      fr_view_at(y.on_cpu, c->shift)));
    FR_ASSERT_OK(
        fr_linear_few(two->cuda, c->m, fr_view_at(x.on_cuda, at), &c->w->on_cuda,
                      fr_view_if(c->accumulate, fr_view_at(y.on_cuda, c->shift)),
                      fr_view_at(y.on_cuda, c->shift)));
    float *got = fr_pair_fetch(&y);
    fr_assert_same_bytes(fr_quant_find(w->parts[0].format)->name, got, wanted,
                         (size_t)y.n * sizeof *got);
    fr_assert_close("the CPU's", got, y.cpu, y.n, c->y_type == FR_BF16 ? 4e-3 : 1e-5);
    free(got);
    free(wanted);
    free(left);
    free(wide);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

/* The last m rows, so that a row has another place in each call; all types of views, with and without what y held. */
static few_call drawn_call(const stored_case *w, int i)
{
    int64_t m = COUNTS[i % FR_N_CASES(COUNTS)];
    return (few_call){.w = w,
                      .x_type = fr_digit_type(i & 1),
                      .y_type = fr_digit_type(i >> 1 & 1),
                      .first = MOST_ROWS - m,
                      .m = m,
                      .shift = i % 3,
                      .accumulate = i % 5 < 2};
}

static void every_format_gives_the_documented_sum(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(STORED_FORMATS); i++) {
        if (!fr_pair_takes(i, 7)) {
            continue;
        }
        const uint32_t formats[] = {
            STORED_FORMATS[i], STORED_FORMATS[(i + 7) % FR_N_CASES(STORED_FORMATS)],
            STORED_FORMATS[(i + 3) % FR_N_CASES(STORED_FORMATS)]};
        for (int k = 0; k < 2; k++) {
            stored_case w = stored_parts(&two, formats, fr_digit_type(k), 512, false);
            for (int j = 0; j < 3; j++) {
                few_call call = drawn_call(&w, 3 * i + 5 * k + j);
                check_call(&call);
            }
            stored_free(&w);
        }
    }
    fr_two_close(&two);
}

/* Every number of rows with every type of views and of weights. */
static void every_count_and_type_gives_the_documented_sum(void)
{
    static const uint32_t FORMATS[] = {FR_QUANT_F32, FR_QUANT_BF16, FR_QUANT_F16};
    fr_two two = fr_two_open();
    for (int i = 0; i < 6; i++) {
        stored_case w = stored_plain(&two, FORMATS[i / 2], fr_digit_type(i % 2), 7,
                                     1304, i % 4 * 4, false);
        for (int k = 0; k < 8 * FR_N_CASES(COUNTS); k++) {
            if (!fr_pair_takes(k, 9)) {
                continue;
            }
            few_call call = drawn_call(&w, k % 4);
            call.m = COUNTS[k / 8];
            call.first = MOST_ROWS - call.m;
            call.accumulate = k % 8 > 3;
            check_call(&call);
        }
        stored_free(&w);
    }
    fr_two_close(&two);
}

/* Around runs of lanes, steps of warps and columns of tiles; a depth of nothing. */
static void odd_sizes_give_the_documented_sum(void)
{
    static const int64_t DEPTHS[] = {0, 1, 3, 7, 8, 31, 33, 255, 257, 1025, 2300};
    static const int64_t COLUMNS[] = {1, 2, 3, 4, 5, 13};
    static const uint32_t FORMATS[] = {FR_QUANT_F32, FR_QUANT_BF16, FR_QUANT_F16};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(DEPTHS) * FR_N_CASES(COLUMNS); i++) {
        if (!fr_pair_takes(i, 5)) {
            continue;
        }
        stored_case w = stored_plain(&two, FORMATS[i % 3], fr_digit_type(i / 3 % 2),
                                     COLUMNS[i % FR_N_CASES(COLUMNS)],
                                     DEPTHS[i / FR_N_CASES(COLUMNS)], i % 7, false);
        few_call call = drawn_call(&w, i);
        check_call(&call);
        stored_free(&w);
    }
    fr_two_close(&two);
}

static void nothing_to_do_touches_nothing(void)
{
    fr_two two = fr_two_open();
    stored_case w = stored_plain(&two, FR_QUANT_Q4_0, FR_BF16, 0, 64, 1, false);
    stored_case some = stored_plain(&two, FR_QUANT_Q4_0, FR_BF16, 3, 64, 1, false);
    few_call none = {.w = &w, .m = 3};
    few_call no_rows = {.w = &some, .m = 0, .accumulate = true};
    check_call(&none);
    check_call(&no_rows);
    stored_free(&w);
    stored_free(&some);
    fr_two_close(&two);
}

/* A number that is none spoils its own row, or its own column, and nothing else. */
static void bad_numbers_stay_in_their_row_and_column(void)
{
    enum { M = 6, COLUMNS = 7, DEPTH = 264 };
    fr_two two = fr_two_open();
    for (int i = 0; i < 4; i++) {
        stored_case w = stored_plain(&two, i / 2 == 0 ? FR_QUANT_F32 : FR_QUANT_BF16,
                                     fr_digit_type(i / 2), COLUMNS, DEPTH, 0, false);
        float *numbers = fr_test_numbers(M * DEPTH, 9, 1.0);
        numbers[2 * DEPTH + DEPTH - 1] = i % 2 == 0 ? NAN : INFINITY;
        fr_pair x = fr_pair_of(&two, "x", M * DEPTH, fr_digit_type(i % 2), numbers);
        fr_pair y = fr_pair_numbers(&two, "y", M * COLUMNS, FR_F32, 1, 0);
        FR_ASSERT_OK(fr_linear_few(two.cuda, M, x.on_cuda, &w.on_cuda, fr_view_none(),
                                   y.on_cuda));
        float *got = fr_pair_fetch(&y);
        for (int k = 0; k < M * COLUMNS; k++) {
            CU_ASSERT_EQUAL(isfinite(got[k]) != 0, k / COLUMNS != 2);
        }
        free(got);
        free(numbers);
        fr_pair_free(&x);
        fr_pair_free(&y);
        stored_free(&w);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(every_format_gives_the_documented_sum),
    FR_CASE(every_count_and_type_gives_the_documented_sum),
    FR_CASE(odd_sizes_give_the_documented_sum),
    FR_CASE(nothing_to_do_touches_nothing),
    FR_CASE(bad_numbers_stay_in_their_row_and_column),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_few", CASES, FR_N_CASES(CASES), argc, argv);
}
