#include "support/linear_case.h"

#include "base/mem.h"
#include "device/cpu/gemm.h"
#include "device/host.h"
#include "device/matrix.h"
#include "support/devices.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* By arithmetic, not by bits: the device does it by bits. A bf16 has 8 significant bits, the smallest
 * subnormal is 2^-133. */
float fr_linear_case_round(fr_dtype dtype, float x)
{
    enum { SIGNIFICANT = 8, SMALLEST = -133 };
    int exponent = 0;
    if (dtype == FR_F32 || x == 0.0F || !isfinite(x)) {
        return x;
    }
    (void)frexp((double)x, &exponent);
    int last = exponent - SIGNIFICANT < SMALLEST ? SMALLEST : exponent - SIGNIFICANT;
    double rounded = ldexp(nearbyint(ldexp((double)x, -last)), last);
    return rounded >= ldexp(1.0, 128)    ? INFINITY
           : rounded <= -ldexp(1.0, 128) ? -INFINITY
                                         : (float)rounded;
}

void fr_linear_case_set(fr_linear_case *linear, int64_t out, int64_t in, float value)
{
    int64_t at = out * linear->w.n_in + in;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (linear->w.dtype == FR_BF16) {
        bits &= 0xffff0000U;
        uint16_t half = (uint16_t)(bits >> 16);
        memcpy((char *)(uintptr_t)linear->w.parts[0].rows + 2 * at, &half, sizeof half);
        memcpy(&linear->wide[at], &bits, sizeof bits);
    } else {
        memcpy((char *)(uintptr_t)linear->w.parts[0].rows + 4 * at, &bits, sizeof bits);
        linear->wide[at] = value;
    }
}

fr_linear_case fr_linear_case_init(int64_t n_out, int64_t n_in, fr_dtype dtype)
{
    void *data = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n_out * n_in, fr_dtype_bytes(dtype), &data));
    fr_linear_case linear = {.w = fr_matrix_of(data, dtype, n_out, n_in),
                             .wide = fr_test_numbers(n_out * n_in, 7, 1.0)};
    for (int64_t i = 0; i < n_out * n_in; i++) {
        fr_linear_case_set(&linear, i / n_in, i % n_in, linear.wide[i]);
    }
    return linear;
}

void fr_linear_case_fini(fr_linear_case *linear)
{
    free((void *)(uintptr_t)linear->w.parts[0].rows);
    free(linear->wide);
    memset(linear, 0, sizeof *linear);
}

fr_matrix fr_test_apart(const fr_matrix *dense, void **memory)
{
    enum { ALL_ONES = 0xff };
    fr_matrix apart = *dense;
    fr_matrix_part *part = &apart.parts[0];
    size_t row_bytes = (size_t)dense->n_in * fr_dtype_bytes(dense->dtype);
    FR_ASSERT_OK(
        fr_alloc(fr_test_ctx(), 2 * dense->n_out * (int64_t)row_bytes, 1, memory));
    memset(*memory, ALL_ONES, 2 * (size_t)dense->n_out * row_bytes);
    for (size_t r = 0; r < (size_t)dense->n_out; r++) {
        memcpy((char *)*memory + 2 * r * row_bytes,
               (const char *)part->rows + r * row_bytes, row_bytes);
    }
    part->rows = *memory;
    part->head = 1;
    part->step = 2;
    return apart;
}

int64_t fr_linear_case_depth(const fr_linear_case *linear, bool back)
{
    return back ? linear->w.n_out : linear->w.n_in;
}

int64_t fr_linear_case_columns(const fr_linear_case *linear, bool back)
{
    return back ? linear->w.n_in : linear->w.n_out;
}

fr_status fr_linear_case_run(fr_device *device, const fr_linear_case *linear, bool back,
                             int64_t m, const float *left, bool accumulate, float *out)
{
    return back ? fr_linear_back(device, m, fr_host_view(left), &linear->w, accumulate,
                                 fr_host_view(out))
                : fr_linear(device, m, fr_host_view(left), &linear->w,
                            fr_view_if(accumulate, fr_host_view(out)),
                            fr_host_view(out));
}

int fr_linear_case_fix_run(int64_t n, int64_t step, const float *run, int32_t *out)
{
    double largest = 0.0;
    int exponent = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)run[i * step]));
    }
    (void)frexp(largest, &exponent); /* largest in [2^(exponent - 1), 2^exponent) */
    if (largest == 0.0 || exponent - 1 < FR_GEMM_FIXED_MIN) {
        exponent = FR_GEMM_FIXED_MIN + 1;
    }
    exponent -= FR_GEMM_FIXED_BITS;
    for (int64_t i = 0; i < n; i++) {
        out[i] = (int32_t)nearbyint(ldexp((double)run[i * step], -exponent));
    }
    return exponent;
}

/* A line of a whole depth as it enters. */
static void enter(fr_dtype dtype, int64_t depth, int64_t step, const float *line,
                  double *out)
{
    bool is_fixed = dtype == FR_BF16;
    int32_t fixed[FR_GEMM_LONGEST_RUN];
    int64_t block = fr_gemm_depth_block(dtype, depth);
    for (int64_t d = 0; d < depth && !is_fixed; d++) {
        out[d] = (double)line[d * step];
    }
    for (int64_t first = 0; first < depth && is_fixed; first += block) {
        int64_t length = depth - first < block ? depth - first : block;
        int64_t run = fr_gemm_run(length);
        for (int64_t d = 0; d < length; d += run) {
            int64_t n = length - d < run ? length - d : run;
            int exponent =
                fr_linear_case_fix_run(n, step, line + (first + d) * step, fixed);
            for (int64_t i = 0; i < n; i++) {
                out[first + d + i] = ldexp(fixed[i], exponent);
            }
        }
    }
}

void fr_linear_case_reference(const fr_linear_case *linear, bool back, int64_t m,
                              const float *left, bool accumulate, float *out)
{
    int64_t depth = fr_linear_case_depth(linear, back);
    int64_t columns = fr_linear_case_columns(linear, back);
    int64_t depth_step = back ? linear->w.n_in : 1;
    int64_t column_step = back ? 1 : linear->w.n_in;
    double *x = NULL;
    double *w = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), (m + 1) * depth, sizeof *x, &x));
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), depth, sizeof *w, &w));
    for (int64_t i = 0; i < m; i++) {
        enter(linear->w.dtype, depth, 1, left + i * depth, x + i * depth);
    }
    for (int64_t j = 0; j < columns; j++) {
        enter(linear->w.dtype, depth, depth_step, linear->wide + j * column_step, w);
        for (int64_t i = 0; i < m; i++) {
            double sum = accumulate ? (double)out[i * columns + j] : 0.0;
            for (int64_t d = 0; d < depth; d++) {
                sum += x[i * depth + d] * w[d];
            }
            out[i * columns + j] = (float)sum;
        }
    }
    free(x);
    free(w);
}
