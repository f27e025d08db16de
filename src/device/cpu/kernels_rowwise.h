/*
 * kernels_rowwise.h - bodies of the row kernels: norms, sums, rotation, bf16 storage.
 *
 * Included after kernels_math.h. Rows go by in steps of 8 from their first element; the last step
 * handles fewer lanes by the same instructions.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ROWWISE_H
#define FR_DEVICE_CPU_KERNELS_ROWWISE_H

#include "base/exact.h"
#include "device/bf16.h"
#include "device/cpu/inline.h"
#include "device/rowwise.h"

static void rmsnorm(int64_t width, const float *x, const float *w, float eps, float *y,
                    float *rstd)
{
    v8 squares = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        v8 value = v8_load_first(x + i, width - i);
        squares = v8_fma(value, value, squares);
    }
    float inverse = 1.0F / sqrtf(v8_sum(squares) / (float)width + eps);
    for (int64_t i = 0; i < width; i += 8) {
        v8 value = v8_load_first(x + i, width - i);
        v8 weight = v8_load_first(w + i, width - i);
        v8 scaled = v8_mul(v8_mul(value, v8_set(inverse)), weight);
        v8_store_first(y + i, scaled, width - i);
    }
    *rstd = inverse;
}

/* dx += r (w dy) - x r^3 / D * sum(x w dy), or = without `adds`. dy is read before dx is written, lane by lane. */
FR_INLINE void rmsnorm_gradient(bool adds, int64_t width, const float *x,
                                const float *w, float rstd, const float *dy, float *dx)
{
    v8 sum = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        v8 g =
            v8_mul(v8_load_first(w + i, width - i), v8_load_first(dy + i, width - i));
        sum = v8_fma(v8_load_first(x + i, width - i), g, sum);
    }
    float along = (rstd * rstd) * (rstd * (v8_sum(sum) / (float)width));
    for (int64_t i = 0; i < width; i += 8) {
        v8 g =
            v8_mul(v8_load_first(w + i, width - i), v8_load_first(dy + i, width - i));
        v8 d = adds ? v8_fma(v8_set(rstd), g, v8_load_first(dx + i, width - i))
                    : v8_mul(v8_set(rstd), g);
        d = v8_fnma(v8_set(along), v8_load_first(x + i, width - i), d);
        v8_store_first(dx + i, d, width - i);
    }
}

static void rmsnorm_back(int64_t width, const float *x, const float *w, float rstd,
                         const float *dy, float *dx)
{
    rmsnorm_gradient(true, width, x, w, rstd, dy, dx);
}

static void rmsnorm_turn(int64_t width, const float *x, const float *w, float rstd,
                         const float *dy, float *dx)
{
    rmsnorm_gradient(false, width, x, w, rstd, dy, dx);
}

static float row_mean(int64_t width, const float *x)
{
    v8 sum = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        sum = v8_add(sum, v8_load_first(x + i, width - i));
    }
    return v8_sum(sum) / (float)width;
}

static void layernorm(int64_t width, const float *x, const float *w, const float *b,
                      float eps, float *y, float *stats)
{
    float mean = row_mean(width, x);
    v8 squares = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        v8 centred = v8_sub(v8_load_first(x + i, width - i), v8_set(mean));
        centred = v8_keep_first(centred, width - i, 0);
        squares = v8_fma(centred, centred, squares);
    }
    float rstd = 1.0F / sqrtf(v8_sum(squares) / (float)width + eps);
    for (int64_t i = 0; i < width; i += 8) {
        v8 centred = v8_sub(v8_load_first(x + i, width - i), v8_set(mean));
        v8 scaled = v8_mul(centred, v8_set(rstd));
        v8 result = v8_fma(scaled, v8_load_first(w + i, width - i),
                           v8_load_first(b + i, width - i));
        v8_store_first(y + i, result, width - i);
    }
    stats[0] = mean;
    stats[1] = rstd;
}

/* With n = (x - mean) r and g = w dy: dx += r (g - mean(g) - n mean(g n)) */
static void layernorm_back(int64_t width, const float *x, const float *w,
                           const float *stats, const float *dy, float *dx)
{
    v8 mean = v8_set(stats[0]);
    v8 rstd = v8_set(stats[1]);
    v8 sum = v8_set(0);
    v8 sum_n = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        v8 n = v8_mul(v8_sub(v8_load_first(x + i, width - i), mean), rstd);
        v8 weight = v8_load_first(w + i, width - i);
        v8 upper = v8_load_first(dy + i, width - i);
        v8 g = v8_mul(weight, upper);
        sum = v8_fma(weight, upper, sum);
        sum_n = v8_fma(n, g, sum_n);
    }
    v8 mean_g = v8_set(v8_sum(sum) / (float)width);
    v8 mean_gn = v8_set(v8_sum(sum_n) / (float)width);
    for (int64_t i = 0; i < width; i += 8) {
        v8 n = v8_mul(v8_sub(v8_load_first(x + i, width - i), mean), rstd);
        v8 weight = v8_load_first(w + i, width - i);
        v8 g =
            v8_fma(weight, v8_load_first(dy + i, width - i), v8_sub(v8_set(0), mean_g));
        g = v8_fnma(n, mean_gn, g);
        v8 d = v8_fma(rstd, g, v8_load_first(dx + i, width - i));
        v8_store_first(dx + i, d, width - i);
    }
}

static void add(int64_t width, const float *y, float *x)
{
    for (int64_t i = 0; i < width; i += 8) {
        v8 sum =
            v8_add(v8_load_first(x + i, width - i), v8_load_first(y + i, width - i));
        v8_store_first(x + i, sum, width - i);
    }
}

static void add_scaled(int64_t n, float factor, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i += 8) {
        v8 sum = v8_fma(v8_load_first(x + i, n - i), v8_set(factor),
                        v8_load_first(y + i, n - i));
        v8_store_first(y + i, sum, n - i);
    }
}

/* (a, b) -> (a cos - b sin, b cos + a sin) with a = x[i], b = x[i + rotary/2] */
static void rope(const fr_heads *heads, int64_t rotary, const float *table,
                 bool inverse, float *x)
{
    int64_t half = rotary / 2;
    for (int64_t i = 0; i < half; i += 8) {
        int64_t lanes = half - i;
        v8 first = v8_load_first(table + 2 * i, 2 * lanes);
        v8 second =
            lanes > 4 ? v8_load_first(table + 2 * i + 8, 2 * lanes - 8) : v8_set(0);
        v8 cosine = v8_even(first, second);
        v8 sine = v8_odd(first, second);
        if (inverse) {
            sine = v8_sub(v8_set(0), sine);
        }
        for (int64_t head = 0; head < heads->n_heads; head++) {
            float *p = x + head * heads->head_dim + i;
            v8 a = v8_load_first(p, lanes);
            v8 b = v8_load_first(p + half, lanes);
            v8_store_first(p, v8_fnma(b, sine, v8_mul(a, cosine)), lanes);
            v8_store_first(p + half, v8_fma(a, sine, v8_mul(b, cosine)), lanes);
        }
    }
}

static void widen_bf16(int64_t n, const uint16_t *saved, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = fr_bf16_widen(saved[i]);
    }
}

static void save_bf16(int64_t n, float *x, uint16_t *saved)
{
    for (int64_t i = 0; i < n; i++) {
        saved[i] = fr_bf16_round(x[i]);
    }
    widen_bf16(n, saved, x);
}

static void round_bf16(int64_t n, const float *x, float *rounded)
{
    for (int64_t i = 0; i < n; i++) {
        rounded[i] = fr_bf16_widen(fr_bf16_round(x[i]));
    }
}

/* A power-of-two scale and a g below FR_EXACT_LIMIT make the product exact in f64; rint rounds to nearest even. */
static int64_t exact_add(int64_t n, double scale, const float *g, int64_t *sum)
{
    const float limit = (float)FR_EXACT_LIMIT;
    int64_t n_nonfinite = 0;
    for (int64_t i = 0; i < n; i++) {
        if (fabsf(g[i]) < limit) {
            sum[i] += (int64_t)rint((double)g[i] * scale);
        } else {
            n_nonfinite += 1;
        }
    }
    return n_nonfinite;
}

#endif
