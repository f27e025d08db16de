/* The product for few rows: close to an f64 reference, and each element exactly the documented sum, whatever the
 * number of rows, their place, the threads and the instruction set, and whether W lies in memory or is read. */
#include "device/host.h"
#include "device/matrix.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = 16, MAX_ROWS = 17 };

typedef struct map_shape {
    int64_t n_out;
    int64_t n_in;
} map_shape;

/* Around blocks of rows and columns, lanes and threads' shares; SmolLM2's depths. The last two are worth threads. */
static const map_shape SHAPES[] = {{1, 1},   {3, 15},   {4, 16},    {5, 17},   {33, 31},
                                   {17, 64}, {30, 100}, {250, 576}, {93, 1537}};
static const int64_t ROWS[] = {0, 1, 2, 3, 4, 5, 16, MAX_ROWS};

typedef struct few_case {
    fr_linear_case linear;
    float *x;
    float *entered; /* x as it enters the product */
} few_case;

static float sum_in_order(const few_case *c, int64_t row, int64_t column)
{
    int64_t depth = c->linear.w.n_in;
    const float *x = c->entered + row * depth;
    const float *w = c->linear.wide + column * depth;
    float lane[LANES] = {0};
    for (int64_t d = 0; d < depth; d++) {
        lane[d % LANES] = fmaf(x[d], w[d], lane[d % LANES]);
    }
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
}

/* The last m rows of x, so that a row has another place in each call. */
static void check_rows(fr_device *device, const few_case *c, int64_t m, bool accumulate)
{
    const fr_linear_case *linear = &c->linear;
    int64_t first = MAX_ROWS - m;
    int64_t columns = linear->w.n_out;
    const float *left = c->x + first * linear->w.n_in;
    fr_linear_case as_given = *linear;
    float *start = fr_test_numbers(m * columns + 1, 11, 1.0);
    float *got = fr_test_numbers(m * columns + 1, 11, 1.0);
    float *close = fr_test_numbers(m * columns + 1, 11, 1.0);
    char what[160];
    (void)snprintf(what, sizeof what, "%s %s %lldx%lld m %lld, %d threads",
                   fr_isa_name(fr_test_isa(device)),
                   linear->w.dtype == FR_BF16 ? "bf16" : "f32", (long long)columns,
                   (long long)linear->w.n_in, (long long)m, fr_device_threads(device));
    FR_ASSERT_OK(fr_linear_few(device, m, fr_host_view(left), &linear->w,
                               fr_view_if(accumulate, fr_host_view(got)),
                               fr_host_view(got)));
    as_given.w.dtype = FR_F32;
    fr_linear_case_reference(&as_given, false, m, c->entered + first * linear->w.n_in,
                             accumulate, close);
    if (m > 0) {
        fr_assert_close(what, got, close, m * columns,
                        fr_approx(FR_APPROX_LINEAR, linear->w.dtype));
    }
    for (int64_t i = 0; i < m * columns; i++) {
        float sum = sum_in_order(c, first + i / columns, i % columns);
        start[i] = accumulate ? start[i] + sum : sum;
    }
    fr_assert_same_bytes(what, got, start, (size_t)(m * columns + 1) * sizeof *got);
    free(start);
    free(got);
    free(close);
}

static void check_shapes(fr_device *device, void *user)
{
    (void)user;
    for (int i = 0; i < 2 * FR_N_CASES(SHAPES); i++) {
        map_shape shape = SHAPES[i / 2];
        fr_dtype dtype = i % 2 == 0 ? FR_F32 : FR_BF16;
        int64_t n = MAX_ROWS * shape.n_in;
        few_case c = {fr_linear_case_init(shape.n_out, shape.n_in, dtype),
                      fr_test_numbers(n, 5, 1.0), fr_test_zeros(n)};
        for (int64_t k = 0; k < n; k++) {
            c.entered[k] = fr_linear_case_round(dtype, c.x[k]);
        }
        void *memory = NULL;
        fr_matrix w = fr_test_apart(&c.linear.w, &memory);
        for (int r = 0; r < FR_N_CASES(ROWS); r++) {
            few_case apart = c;
            apart.linear.w = w;
            check_rows(device, r % 3 == 0 ? &apart : &c, ROWS[r], r % 2 == 1);
        }
        free(memory);
        free(c.x);
        free(c.entered);
        fr_linear_case_fini(&c.linear);
    }
}

static void every_element_is_the_documented_sum(void)
{
    fr_test_each_device(check_shapes, NULL);
}

/* A number that is none spoils its own row or column, also behind the last whole vector. */
static void check_bad_number(fr_device *device, void *user)
{
    enum { M = 5, N_OUT = 21, N_IN = 35, ROW = 3, COLUMN = 20 };
    (void)user;
    for (int i = 0; i < 4; i++) {
        float y[M * N_OUT];
        bool in_x = i / 2 == 0;
        fr_linear_case linear =
            fr_linear_case_init(N_OUT, N_IN, i % 2 == 0 ? FR_F32 : FR_BF16);
        float *x = fr_test_numbers(M * N_IN, 5, 1.0);
        if (in_x) {
            x[ROW * N_IN + N_IN - 1] = NAN;
        } else {
            fr_linear_case_set(&linear, COLUMN, N_IN - 1, INFINITY);
        }
        FR_ASSERT_OK(fr_linear_few(device, M, fr_host_view(x), &linear.w,
                                   fr_view_none(), fr_host_view(y)));
        for (int at = 0; at < M * N_OUT; at++) {
            bool spoilt = in_x ? at / N_OUT == ROW : at % N_OUT == COLUMN;
            CU_ASSERT_EQUAL(isfinite(y[at]) == 0, spoilt);
        }
        free(x);
        fr_linear_case_fini(&linear);
    }
}

static void a_bad_number_spoils_its_row_or_column_alone(void)
{
    fr_test_each_isa(check_bad_number, NULL);
}

static void check_nothing(fr_device *device, void *user)
{
    fr_matrix no_inputs = fr_matrix_of("", FR_BF16, 3, 0);
    fr_matrix no_outputs = fr_matrix_of("", FR_F32, 0, 3);
    float y[6] = {1, 2, 3, 4, 5, 6};
    (void)user;
    FR_ASSERT_OK(fr_linear_few(device, 2, fr_host_view(y), &no_outputs, fr_view_none(),
                               fr_host_view(y)));
    FR_ASSERT_OK(fr_linear_few(device, 2, fr_host_view(y), &no_inputs, fr_host_view(y),
                               fr_host_view(y)));
    CU_ASSERT_EQUAL(y[5], 6.0F);
    FR_ASSERT_OK(fr_linear_few(device, 2, fr_host_view(y), &no_inputs, fr_view_none(),
                               fr_host_view(y)));
    CU_ASSERT_EQUAL(y[5], 0.0F);
}

static void a_sum_of_nothing_is_zero(void)
{
    fr_test_each_isa(check_nothing, NULL);
}

static const fr_case CASES[] = {
    FR_CASE(every_element_is_the_documented_sum),
    FR_CASE(a_bad_number_spoils_its_row_or_column_alone),
    FR_CASE(a_sum_of_nothing_is_zero),
};

int main(int argc, char **argv)
{
    return fr_suite_main("linear_few", CASES, FR_N_CASES(CASES), argc, argv);
}
