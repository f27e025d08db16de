/*
 * kernels_loss.h - bodies of the softmax over the vocabulary.
 *
 * Included after kernels_math.h.
 */
#ifndef FR_DEVICE_CPU_KERNELS_LOSS_H
#define FR_DEVICE_CPU_KERNELS_LOSS_H

/* x * 0 is 0 for finite x and NaN otherwise. */
static float max_logit(int64_t n, const float *logits, bool *finite)
{
    v8 largest = v8_set(-INFINITY);
    v8 probe = v8_set(0);
    for (int64_t i = 0; i < n; i += 8) {
        v8 x = v8_load_first(logits + i, n - i);
        probe = v8_fma(x, v8_set(0), probe);
        largest = v8_max(largest, v8_keep_first(x, n - i, -INFINITY));
    }
    *finite = v8_sum(probe) == 0;
    return v8_largest(largest);
}

/* f32 sums over 64 vectors (64 terms a lane) err by a few 1e-7; blocks are added in f64. */
static double sum_exp(int64_t n, float max, bool store, float *x)
{
    enum { BLOCK = 512 };
    double total = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t end = n - start < BLOCK ? n : start + BLOCK;
        v8 sum = v8_set(0);
        for (int64_t i = start; i < end; i += 8) {
            v8 e = v8_exp(v8_sub(v8_load_first(x + i, n - i), v8_set(max)));
            if (store) {
                v8_store_first(x + i, e, n - i);
            }
            sum = v8_add(sum, v8_keep_first(e, n - i, 0));
        }
        total += (double)v8_sum(sum);
    }
    return total;
}

static void scale(int64_t n, float factor, float *x)
{
    for (int64_t i = 0; i < n; i += 8) {
        v8 product = v8_mul(v8_load_first(x + i, n - i), v8_set(factor));
        v8_store_first(x + i, product, n - i);
    }
}

static void shape_logits(int64_t n, const fr_logit_shape *shape, float *x)
{
    v8 factor = v8_set(shape->scale);
    v8 cap = v8_set(shape->cap);
    v8 inverse = v8_set(1.0F / shape->cap);
    for (int64_t i = 0; i < n; i += 8) {
        v8 y = v8_mul(v8_load_first(x + i, n - i), factor);
        if (shape->cap != 0.0F) {
            y = v8_mul(cap, v8_tanh(v8_mul(y, inverse)));
        }
        v8_store_first(x + i, y, n - i);
    }
}

static void capped_probability(int64_t n, const fr_logit_shape *shape, float max,
                               float inverse_sum, float *x)
{
    v8 factor = v8_set(inverse_sum * shape->scale);
    v8 inverse = v8_set(1.0F / shape->cap);
    for (int64_t i = 0; i < n; i += 8) {
        v8 logit = v8_load_first(x + i, n - i);
        v8 t = v8_mul(logit, inverse);
        v8 p = v8_mul(v8_exp(v8_sub(logit, v8_set(max))), factor);
        v8_store_first(x + i, v8_mul(p, v8_fnma(t, t, v8_set(1))), n - i);
    }
}

#endif
