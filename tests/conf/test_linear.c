/* Linear maps against an f64 reference, on every instruction set, and what enters and leaves them. */
#include "device/cpu/cpu.h"
#include "device/cpu/gemm.h"
#include "device/host.h"
#include "device/kinds.h"
#include "device/matrix.h"
#include "support/approx.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct map_shape {
    int64_t n_out;
    int64_t n_in;
} map_shape;

/* Around tiles of 4 and 6 rows, panels of 16 columns, transpositions of 4 and 8 depths, blocks of up to
 * 576 depths; the tiny model's and SmolLM2's shapes. */
static const map_shape SHAPES[] = {
    {1, 1},   {1, 7},   {16, 1},   {15, 9},   {17, 4},    {33, 19},   {48, 31},
    {80, 48}, {64, 64}, {37, 576}, {19, 577}, {1153, 23}, {131, 640}, {48, 1200},
};
static const int64_t ROWS[] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 29};
enum { MAX_ROWS = 29 };

static fr_approx_operator approx_of(bool back)
{
    return back ? FR_APPROX_LINEAR_BACK : FR_APPROX_LINEAR;
}

/* ---- against the reference ------------------------------------------------------------------- */

typedef struct reference_case {
    const fr_linear_case *linear;
    bool back;
    bool accumulate;
} reference_case;

static void check_rows(fr_device *device, const reference_case *c, const float *left,
                       int64_t m)
{
    int64_t n = m * fr_linear_case_columns(c->linear, c->back);
    float *wanted = fr_test_numbers(n + 1, 11, 1.0);
    float *got = fr_test_numbers(n + 1, 11, 1.0);
    char what[160];
    (void)snprintf(what, sizeof what, "%s %s %s %lldx%lld m %lld %s",
                   fr_isa_name(fr_test_isa(device)),
                   c->linear->w.dtype == FR_BF16 ? "bf16" : "f32",
                   c->back ? "backward" : "forward", (long long)c->linear->w.n_out,
                   (long long)c->linear->w.n_in, (long long)m,
                   c->accumulate ? "accumulating" : "");
    fr_linear_case_reference(c->linear, c->back, m, left, c->accumulate, wanted);
    FR_ASSERT_OK(
        fr_linear_case_run(device, c->linear, c->back, m, left, c->accumulate, got));
    if (m > 0) {
        fr_assert_close(what, got, wanted, n,
                        fr_approx(approx_of(c->back), c->linear->w.dtype));
    }
    CU_ASSERT_EQUAL(got[n], wanted[n]);
    free(wanted);
    free(got);
}

static void check_shape(fr_device *device, const reference_case *c)
{
    int64_t depth = fr_linear_case_depth(c->linear, c->back);
    float *left = fr_test_numbers(MAX_ROWS * depth, 5, 1.0);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        check_rows(device, c, left, ROWS[i]);
    }
    free(left);
}

static void check_shapes(fr_device *device, bool back)
{
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++) {
        for (int dtype = FR_F32; dtype <= FR_BF16; dtype++) {
            fr_linear_case linear =
                fr_linear_case_init(SHAPES[s].n_out, SHAPES[s].n_in, (fr_dtype)dtype);
            check_shape(device, &(reference_case){&linear, back, false});
            check_shape(device, &(reference_case){&linear, back, true});
            fr_linear_case_fini(&linear);
        }
    }
}

static void check_forward(fr_device *device, void *user)
{
    (void)user;
    check_shapes(device, false);
}

static void check_backward(fr_device *device, void *user)
{
    (void)user;
    check_shapes(device, true);
}

static void forward_is_close_to_the_reference(void)
{
    fr_test_each_isa(check_forward, NULL);
}

static void backward_is_close_to_the_reference(void)
{
    fr_test_each_isa(check_backward, NULL);
}

/* More rows than a part, more depth than a section. */
static void check_many_rows(fr_device *device, void *user)
{
    enum { M = 523, N_OUT = 1300, N_IN = 20 };
    (void)user;
    for (int back = 0; back < 2; back++) {
        fr_linear_case linear = fr_linear_case_init(N_OUT, N_IN, FR_F32);
        reference_case c = {&linear, back != 0, true};
        float *left =
            fr_test_numbers(M * fr_linear_case_depth(&linear, c.back), 5, 1.0);
        check_rows(device, &c, left, M);
        free(left);
        fr_linear_case_fini(&linear);
    }
}

static void many_rows_are_close_to_the_reference(void)
{
    fr_test_each_isa(check_many_rows, NULL);
}

/* ---- what enters ----------------------------------------------------------------------------- */

/* x as it enters in a run of its own. */
static float entered(float x)
{
    int32_t fixed = 0;
    int exponent = isfinite(x) ? fr_linear_case_fix_run(1, 1, &x, &fixed) : 0;
    return isfinite(x) ? (float)ldexp(fixed, exponent) : NAN;
}

/* W = 1: y is x as it entered. */
static void check_rounding(fr_device *device, void *user)
{
    static const float VALUES[] = {
        1.0F,         0x1.01p0F,   0x1.03p0F,     0x1.010002p0F, -0x1.01p0F,
        0x1.fffp3F,   0x1.ffp127F, -0x1.ffp127F,  0x1.fep127F,   0x1p-126F,
        0x1.01p-130F, 0x1.8p-134F, 0x1p-134F,     0x1.8p-133F,   0.0F,
        INFINITY,     -INFINITY,   0x1.234568p5F, 0x1.8p-118F};
    enum { M = sizeof VALUES / sizeof *VALUES };
    float y[M];
    fr_linear_case linear = fr_linear_case_init(1, 1, FR_BF16);
    (void)user;
    fr_linear_case_set(&linear, 0, 0, 1.0F);
    for (int back = 0; back < 2; back++) {
        FR_ASSERT_OK(
            fr_linear_case_run(device, &linear, back != 0, M, VALUES, false, y));
        for (int i = 0; i < M; i++) {
            float wanted = entered(VALUES[i]);
            CU_ASSERT(isnan(wanted) ? isnan(y[i]) : y[i] == wanted);
        }
    }
    fr_linear_case_fini(&linear);
}

static void activations_are_rounded_to_nearest_even(void)
{
    fr_test_each_isa(check_rounding, NULL);
}

/* Sum of squares of what `y` differs by from the products of the operands as given. */
static double square_error(const fr_linear_case *linear, bool back, const float *left,
                           const float *y, double *size)
{
    int64_t n = MAX_ROWS * fr_linear_case_columns(linear, back);
    fr_linear_case as_given = *linear;
    float *wanted = fr_test_zeros(n);
    double error = 0.0;
    *size = 0.0;
    as_given.w.dtype = FR_F32;
    fr_linear_case_reference(&as_given, back, MAX_ROWS, left, false, wanted);
    for (int64_t i = 0; i < n; i++) {
        double difference = (double)wanted[i] - (double)y[i];
        error += difference * difference;
        *size += (double)wanted[i] * (double)wanted[i];
    }
    free(wanted);
    return error;
}

/* Numbers of all sizes, the largest eight times the middle one: activations are no better behaved. `rounded`: to bf16, as
 * other programs do. */
static void compare_with_bf16(bool back)
{
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 1);
    fr_linear_case linear = fr_linear_case_init(300, 576, FR_BF16);
    fr_linear_case wide = linear;
    int64_t depth = MAX_ROWS * fr_linear_case_depth(&linear, back);
    float *left = fr_test_numbers(depth, 5, 2.0);
    float *rounded = fr_test_zeros(depth);
    float *y = fr_test_zeros(MAX_ROWS * fr_linear_case_columns(&linear, back));
    double size = 0.0;
    wide.w = fr_matrix_of(linear.wide, FR_F32, linear.w.n_out, linear.w.n_in);
    for (int64_t i = 0; i < depth; i++) {
        left[i] *= left[i] * left[i];
        rounded[i] = fr_linear_case_round(FR_BF16, left[i]);
    }
    FR_ASSERT_OK(fr_linear_case_run(device, &linear, back, MAX_ROWS, left, false, y));
    double fixed = square_error(&linear, back, left, y, &size);
    FR_ASSERT_OK(fr_linear_case_run(device, &wide, back, MAX_ROWS, rounded, false, y));
    double bf16 = square_error(&linear, back, left, y, &size);
    printf("%s: errors of %.1e in fixed point, %.1e in bf16\n",
           back ? "backward" : "forward", sqrt(fixed / size), sqrt(bf16 / size));
    CU_ASSERT(fixed < bf16);
    free(left);
    free(rounded);
    free(y);
    fr_linear_case_fini(&linear);
    fr_device_destroy(&device);
}

static void fixed_point_is_closer_than_bf16(void)
{
    compare_with_bf16(false);
    compare_with_bf16(true);
}

enum { BAD_M = 13, BAD_OUT = 21, BAD_IN = 35, BAD_ROW = 7, BAD_COLUMN = 20 };

/* A NaN whose payload lies below bf16's bits must not become infinity. */
static float low_nan(void)
{
    const uint32_t bits = 0x7f800001U;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void check_bad_activation(fr_device *device, fr_dtype dtype, bool back,
                                 float bad)
{
    fr_linear_case linear = fr_linear_case_init(BAD_OUT, BAD_IN, dtype);
    int64_t depth = fr_linear_case_depth(&linear, back);
    int64_t columns = fr_linear_case_columns(&linear, back);
    float *left = fr_test_numbers(BAD_M * depth, 5, 1.0);
    float *clean = fr_test_zeros(BAD_M * columns);
    float *y = fr_test_zeros(BAD_M * columns);
    FR_ASSERT_OK(fr_linear_case_run(device, &linear, back, BAD_M, left, false, clean));
    left[BAD_ROW * depth + depth - 1] = bad;
    FR_ASSERT_OK(fr_linear_case_run(device, &linear, back, BAD_M, left, false, y));
    for (int64_t j = 0; j < columns; j++) {
        float value = y[BAD_ROW * columns + j];
        CU_ASSERT(isnan(bad) ? isnan(value) : !isfinite(value));
    }
    memcpy(y + BAD_ROW * columns, clean + BAD_ROW * columns,
           (size_t)columns * sizeof *y);
    fr_assert_same_bytes("other rows", y, clean, (size_t)(BAD_M * columns) * sizeof *y);
    free(left);
    free(clean);
    free(y);
    fr_linear_case_fini(&linear);
}

static void check_bad_activations(fr_device *device, void *user)
{
    (void)user;
    for (int i = 0; i < 4; i++) {
        fr_dtype dtype = i % 2 == 0 ? FR_F32 : FR_BF16;
        check_bad_activation(device, dtype, i / 2 == 1, NAN);
        check_bad_activation(device, dtype, i / 2 == 1, low_nan());
        check_bad_activation(device, dtype, i / 2 == 1, INFINITY);
    }
}

static void a_bad_activation_spoils_its_whole_row_alone(void)
{
    fr_test_each_isa(check_bad_activations, NULL);
}

static void check_bad_weight(fr_device *device, fr_dtype dtype, float bad)
{
    fr_linear_case linear = fr_linear_case_init(BAD_OUT, BAD_IN, dtype);
    float *x = fr_test_numbers(BAD_M * BAD_IN, 5, 1.0);
    float *y = fr_test_zeros(BAD_M * BAD_OUT);
    fr_linear_case_set(&linear, BAD_COLUMN, BAD_IN - 1, bad);
    FR_ASSERT_OK(fr_linear_case_run(device, &linear, false, BAD_M, x, false, y));
    for (int64_t i = 0; i < BAD_M * BAD_OUT; i++) {
        CU_ASSERT_EQUAL(!isfinite(y[i]), i % BAD_OUT == BAD_COLUMN);
    }
    free(x);
    free(y);
    fr_linear_case_fini(&linear);
}

static void check_bad_weights(fr_device *device, void *user)
{
    (void)user;
    check_bad_weight(device, FR_F32, NAN);
    check_bad_weight(device, FR_F32, INFINITY);
    check_bad_weight(device, FR_BF16, NAN);
    check_bad_weight(device, FR_BF16, -INFINITY);
}

static void a_bad_weight_spoils_its_column_alone(void)
{
    fr_test_each_isa(check_bad_weights, NULL);
}

static void check_no_depth(fr_device *device, void *user)
{
    fr_matrix no_inputs = fr_matrix_of("", FR_F32, 3, 0);
    fr_matrix no_outputs = fr_matrix_of("", FR_F32, 0, 3);
    float y[6] = {1, 2, 3, 4, 5, 6};
    (void)user;
    FR_ASSERT_OK(fr_linear(device, 2, fr_host_view(y), &no_inputs, fr_host_view(y),
                           fr_host_view(y)));
    CU_ASSERT_EQUAL(y[5], 6.0F);
    FR_ASSERT_OK(fr_linear(device, 2, fr_host_view(y), &no_outputs, fr_view_none(),
                           fr_host_view(y)));
    CU_ASSERT_EQUAL(y[5], 6.0F);
    FR_ASSERT_OK(fr_linear(device, 2, fr_host_view(y), &no_inputs, fr_view_none(),
                           fr_host_view(y)));
    CU_ASSERT_EQUAL(y[0], 0.0F);
    CU_ASSERT_EQUAL(y[5], 0.0F);
}

static void a_sum_of_nothing_is_zero(void)
{
    fr_test_each_isa(check_no_depth, NULL);
}

/* ---- what is added ---------------------------------------------------------------------------- */

typedef fr_status linear_operator(fr_device *device, int64_t m, fr_view x,
                                  const fr_matrix *w, fr_view add, fr_view y);

/* The bits of y += x W' on a copy; `add` stays as it is. A number behind y does, too. */
static void check_added(fr_device *device, const fr_matrix *w, linear_operator *linear)
{
    enum { M = 11 };
    int64_t n = M * w->n_out;
    float *x = fr_test_numbers(M * w->n_in, 5, 1.0);
    float *add = fr_test_numbers(n, 7, 1.0);
    float *kept = fr_test_numbers(n, 7, 1.0);
    float *in_place = fr_test_numbers(n, 7, 1.0);
    float *y = fr_test_numbers(n + 1, 9, 1.0);
    float behind = y[n];
    FR_ASSERT_OK(linear(device, M, fr_host_view(x), w, fr_host_view(in_place),
                        fr_host_view(in_place)));
    FR_ASSERT_OK(
        linear(device, M, fr_host_view(x), w, fr_host_view(add), fr_host_view(y)));
    fr_assert_same_bytes("another buffer", y, in_place, (size_t)n * sizeof *y);
    fr_assert_same_bytes("what is added", add, kept, (size_t)n * sizeof *y);
    CU_ASSERT_EQUAL(y[n], behind);
    free(x);
    free(add);
    free(kept);
    free(in_place);
    free(y);
}

static void check_added_cases(fr_device *device, void *user)
{
    static const fr_dtype TYPES[] = {FR_F32, FR_BF16};
    (void)user;
    for (int i = 0; i < FR_N_CASES(TYPES); i++) {
        fr_linear_case linear = fr_linear_case_init(37, 50, TYPES[i]);
        void *memory = NULL;
        fr_matrix apart = fr_test_apart(&linear.w, &memory);
        fr_matrix no_depth = fr_matrix_of("", TYPES[i], 37, 0);
        check_added(device, &linear.w, fr_linear);
        check_added(device, &linear.w, fr_linear_few);
        check_added(device, &apart, fr_linear);
        check_added(device, &apart, fr_linear_few);
        check_added(device, &no_depth, fr_linear);
        check_added(device, &no_depth, fr_linear_few);
        free(memory);
        fr_linear_case_fini(&linear);
    }
}

static void what_is_added_may_lie_elsewhere(void)
{
    fr_test_each_device(check_added_cases, NULL);
}

/* ---- the device ------------------------------------------------------------------------------ */

static void a_repeated_call_allocates_nothing(void)
{
    enum { M = 40 };
    fr_device *device = fr_test_device(FR_ISA_GENERIC, 2);
    fr_linear_case linear = fr_linear_case_init(80, 48, FR_BF16);
    float *x = fr_test_numbers(M * 80, 5, 1.0);
    float *y = fr_test_zeros(M * 80);
    FR_ASSERT_OK(fr_linear(device, M, fr_host_view(x), &linear.w, fr_view_none(),
                           fr_host_view(y)));
    FR_ASSERT_OK(
        fr_linear_back(device, M, fr_host_view(x), &linear.w, false, fr_host_view(y)));
    fr_scratch left = fr_cpu_of(device)->scratch[FR_SCRATCH_GEMM_LEFT];
    fr_scratch right = fr_cpu_of(device)->scratch[FR_SCRATCH_GEMM_RIGHT];
    FR_ASSERT_OK(fr_linear(device, M, fr_host_view(x), &linear.w, fr_host_view(y),
                           fr_host_view(y)));
    FR_ASSERT_OK(fr_linear_back(device, M - 9, fr_host_view(x), &linear.w, false,
                                fr_host_view(y)));
    CU_ASSERT_PTR_EQUAL(left.data,
                        fr_cpu_of(device)->scratch[FR_SCRATCH_GEMM_LEFT].data);
    CU_ASSERT_PTR_EQUAL(right.data,
                        fr_cpu_of(device)->scratch[FR_SCRATCH_GEMM_RIGHT].data);
    CU_ASSERT(left.count > 0 && right.count > 0);
    free(x);
    free(y);
    fr_linear_case_fini(&linear);
    fr_device_destroy(&device);
}

static void a_device_refuses_what_it_cannot_be(void)
{
    fr_device *device = NULL;
    fr_device_params none = {.kind = "auto", .n_threads = 0};
    fr_device_params other = {.kind = "cuda", .n_threads = 1};
    fr_isa beyond = (fr_isa)((int)fr_isa_detect() + 1);
    FR_ASSERT_FAILS(fr_device_create(fr_test_ctx(), &none, &device), FR_ERR_ARG,
                    "0 threads");
    CU_ASSERT_PTR_NULL(device);
    FR_ASSERT_FAILS(fr_device_create(fr_test_ctx(), &other, &device), FR_ERR_CONFIG,
                    "cuda, which this program is built without; set it to auto or cpu");
    CU_ASSERT_PTR_NULL(device);
    if (beyond < FR_ISA_COUNT) {
        FR_ASSERT_FAILS(fr_cpu_create(fr_test_ctx(), 1, beyond, &device),
                        FR_ERR_UNSUPPORTED, fr_isa_name(beyond));
        CU_ASSERT_PTR_NULL(device);
    }
    fr_device_destroy(&device);
}

/* They give the same bits, so no other test sees which of them computes. */
static void each_set_has_kernels_of_its_own(void)
{
    for (int isa = 1; isa < FR_ISA_COUNT; isa++) {
        CU_ASSERT(fr_gemm_kernel_select((fr_isa)isa, FR_BF16) !=
                  fr_gemm_kernel_select((fr_isa)(isa - 1), FR_BF16));
    }
    CU_ASSERT_PTR_EQUAL(fr_gemm_kernel_select(FR_ISA_GENERIC, FR_F32),
                        &fr_gemm_kernel_generic);
    CU_ASSERT_PTR_EQUAL(fr_gemm_kernel_select(FR_ISA_AVX2, FR_F32),
                        &fr_gemm_kernel_avx2);
    CU_ASSERT_PTR_EQUAL(fr_gemm_kernel_select(FR_ISA_AVX512_VNNI, FR_F32),
                        &fr_gemm_kernel_avx512);
}

static const fr_case CASES[] = {
    FR_CASE(forward_is_close_to_the_reference),
    FR_CASE(backward_is_close_to_the_reference),
    FR_CASE(many_rows_are_close_to_the_reference),
    FR_CASE(activations_are_rounded_to_nearest_even),
    FR_CASE(fixed_point_is_closer_than_bf16),
    FR_CASE(a_bad_activation_spoils_its_whole_row_alone),
    FR_CASE(a_bad_weight_spoils_its_column_alone),
    FR_CASE(a_sum_of_nothing_is_zero),
    FR_CASE(what_is_added_may_lie_elsewhere),
    FR_CASE(a_repeated_call_allocates_nothing),
    FR_CASE(a_device_refuses_what_it_cannot_be),
    FR_CASE(each_set_has_kernels_of_its_own),
};

int main(int argc, char **argv)
{
    return fr_suite_main("linear", CASES, FR_N_CASES(CASES), argc, argv);
}
