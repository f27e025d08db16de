/*
 * kernels_activation.h - bodies of the activations and of the softmax over the vocabulary.
 *
 * Included after kernels_math.h.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ACTIVATION_H
#define FR_DEVICE_CPU_KERNELS_ACTIVATION_H

static void swiglu(int64_t width, const float *gate_up, float *y)
{
    for (int64_t i = 0; i < width; i += 8) {
        v8 gate = v8_load_first(gate_up + i, width - i);
        v8 up = v8_load_first(gate_up + width + i, width - i);
        v8 silu = v8_mul(gate, v8_sigmoid(gate));
        v8_store_first(y + i, v8_mul(silu, up), width - i);
    }
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g) = 1 / (1 + e), and 1 - s = e s without cancellation. */
static void swiglu_back(int64_t width, const float *gate_up, const float *dy,
                        float *dgate_up)
{
    v8 one = v8_set(1);
    for (int64_t i = 0; i < width; i += 8) {
        int64_t lanes = width - i;
        v8 gate = v8_load_first(gate_up + i, lanes);
        v8 up = v8_load_first(gate_up + width + i, lanes);
        v8 upper = v8_load_first(dy + i, lanes);
        v8 e = v8_exp(v8_sub(v8_set(0), gate));
        v8 s = v8_div(one, v8_add(one, e));
        v8 slope = v8_mul(s, v8_fma(gate, v8_mul(e, s), one));
        v8_store_first(dgate_up + i, v8_mul(v8_mul(upper, up), slope), lanes);
        v8_store_first(dgate_up + width + i, v8_mul(upper, v8_mul(gate, s)), lanes);
    }
}

/* GPT-2's gelu: x (1 + tanh(u)) / 2 = x sigmoid(2u), 2u = x (c1 + c3 x^2). */
static const float GELU_C1 = 1.5957691216057308F;  /* 2 sqrt(2 / pi) */
static const float GELU_C3 = 0.07135481282739553F; /* c1 * 0.044715 */

/* e^(-2u) */
static inline v8 gelu_exp(v8 x)
{
    v8 slope = v8_fma(v8_mul(x, x), v8_set(GELU_C3), v8_set(GELU_C1));
    return v8_exp(v8_mul(v8_sub(v8_set(0), x), slope));
}

static void gelu(int64_t width, const float *x, float *y)
{
    for (int64_t i = 0; i < width; i += 8) {
        v8 value = v8_load_first(x + i, width - i);
        v8 whole = v8_add(v8_set(1), gelu_exp(value));
        v8_store_first(y + i, v8_div(value, whole), width - i);
    }
}

/* gelu'(x) = s + x s (1 - s) (c1 + 3 c3 x^2), s = sigmoid(2u) */
static void gelu_back(int64_t width, const float *x, const float *dy, float *dx)
{
    v8 one = v8_set(1);
    for (int64_t i = 0; i < width; i += 8) {
        v8 value = v8_load_first(x + i, width - i);
        v8 upper = v8_load_first(dy + i, width - i);
        v8 e = gelu_exp(value);
        v8 s = v8_div(one, v8_add(one, e));
        v8 inner = v8_fma(v8_mul(value, value), v8_set(3 * GELU_C3), v8_set(GELU_C1));
        v8 spread = v8_mul(v8_mul(value, s), v8_mul(e, s));
        v8 slope = v8_fma(spread, inner, s);
        v8_store_first(dx + i, v8_mul(upper, slope), width - i);
    }
}

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

#endif
