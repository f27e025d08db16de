#include "support/linear_case.h"

#include "base/mem.h"
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
        memcpy((char *)(uintptr_t)linear->w.data + 2 * at, &half, sizeof half);
        memcpy(&linear->wide[at], &bits, sizeof bits);
    } else {
        memcpy((char *)(uintptr_t)linear->w.data + 4 * at, &bits, sizeof bits);
        linear->wide[at] = value;
    }
}

fr_linear_case fr_linear_case_init(int64_t n_out, int64_t n_in, fr_dtype dtype)
{
    fr_linear_case linear = {.w = fr_matrix_of(NULL, dtype, n_out, n_in)};
    void *data = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n_out * n_in, fr_dtype_bytes(dtype), &data));
    linear.w.data = data;
    linear.wide = fr_test_numbers(n_out * n_in, 7, 1.0);
    for (int64_t i = 0; i < n_out * n_in; i++) {
        fr_linear_case_set(&linear, i / n_in, i % n_in, linear.wide[i]);
    }
    return linear;
}

void fr_linear_case_fini(fr_linear_case *linear)
{
    free((void *)(uintptr_t)linear->w.data);
    free(linear->wide);
    memset(linear, 0, sizeof *linear);
}

void fr_test_copy_rows(const fr_matrix *w, int64_t first, int64_t count, void *out)
{
    size_t row_bytes = (size_t)w->n_in * fr_dtype_bytes(w->dtype);
    memcpy(out, (const char *)w->data + (size_t)first * row_bytes,
           (size_t)count * row_bytes);
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
    return back ? fr_linear_back(device, m, left, &linear->w, accumulate, out)
                : fr_linear(device, m, left, &linear->w, accumulate, out);
}

void fr_linear_case_reference(const fr_linear_case *linear, bool back, int64_t m,
                              const float *left, bool accumulate, float *out)
{
    int64_t depth = fr_linear_case_depth(linear, back);
    int64_t columns = fr_linear_case_columns(linear, back);
    int64_t depth_step = back ? linear->w.n_in : 1;
    int64_t column_step = back ? 1 : linear->w.n_in;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < columns; j++) {
            double sum = accumulate ? (double)out[i * columns + j] : 0.0;
            for (int64_t d = 0; d < depth; d++) {
                float x = fr_linear_case_round(linear->w.dtype, left[i * depth + d]);
                sum +=
                    (double)x * (double)linear->wide[d * depth_step + j * column_step];
            }
            out[i * columns + j] = (float)sum;
        }
    }
}
