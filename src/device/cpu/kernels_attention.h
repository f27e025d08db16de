/*
 * kernels_attention.h - bodies of the tile kernels of attention.
 *
 * Included after kernels_math.h. The product of tiles is in kernels_product.h.
 */
#ifndef FR_DEVICE_CPU_KERNELS_ATTENTION_H
#define FR_DEVICE_CPU_KERNELS_ATTENTION_H

#include "base/integer.h"

static void transpose(int64_t n_rows, int64_t width, const float *src, int64_t stride,
                      int64_t ld, float *dst)
{
    int64_t padded = fr_round_up(n_rows, 16);
    for (int64_t j = 0; j < padded; j += 8) {
        for (int64_t k = 0; k < width; k += 8) {
            v8 block[8];
            for (int r = 0; r < 8; r++) {
                block[r] = j + r < n_rows
                               ? v8_load_first(src + (j + r) * stride + k, width - k)
                               : v8_set(0);
            }
            v8_transpose(block);
            for (int r = 0; r < 8 && k + r < width; r++) {
                v8_store(dst + (k + r) * ld + j, block[r]);
            }
        }
    }
}

static void copy_scaled(int64_t width, int64_t padded, float factor, const float *src,
                        float *dst)
{
    for (int64_t i = 0; i < padded; i += 8) {
        v8 x = i < width ? v8_load_first(src + i, width - i) : v8_set(0);
        v8_store_first(dst + i, v8_fma(x, v8_set(factor), v8_set(0)), padded - i);
    }
}

static float dot(int64_t width, const float *a, const float *b)
{
    v8 sum = v8_set(0);
    for (int64_t i = 0; i < width; i += 8) {
        sum = v8_fma(v8_load_first(a + i, width - i), v8_load_first(b + i, width - i),
                     sum);
    }
    return v8_sum(sum);
}

static float softmax_row(int64_t n_visible, int64_t n, float *score, float *stats)
{
    v8 largest = v8_set(stats[0]);
    for (int64_t j = 0; j < n_visible; j += 8) {
        v8 s = v8_keep_first(v8_load(score + j), n_visible - j, -INFINITY);
        largest = v8_max(largest, s);
    }
    float max = v8_largest(largest);
    v8 correction = v8_exp2(v8_set(stats[0] - max));
    v8 sum = v8_set(0);
    for (int64_t j = 0; j < n; j += 8) {
        v8 e = v8_set(0);
        if (j < n_visible) {
            e = v8_exp2(v8_sub(v8_load(score + j), v8_set(max)));
            e = v8_keep_first(e, n_visible - j, 0);
            sum = v8_add(sum, e);
        }
        v8_store(score + j, e);
    }
    float lane[8];
    v8_store(lane, correction);
    stats[0] = max;
    stats[1] = stats[1] * lane[0] + v8_sum(sum);
    return lane[0];
}

static void score_row_back(const fr_score_row *row)
{
    static const float LN2 = 0.69314718F;
    for (int64_t j = 0; j < row->n; j += 8) {
        v8 p = v8_set(0);
        v8 d = v8_set(0);
        if (j < row->n_visible) {
            p = v8_exp2(v8_sub(v8_load(row->score + j), v8_set(row->lse)));
            d = v8_sub(v8_load(row->gradient + j), v8_set(row->delta));
            d = v8_mul(v8_mul(p, v8_set(LN2)), d);
            p = v8_keep_first(p, row->n_visible - j, 0);
            d = v8_keep_first(d, row->n_visible - j, 0);
        }
        v8_store(row->score + j, p);
        v8_store(row->gradient + j, d);
    }
}

/* Scores of the keys from j on, and with a cap the slope of a score over its product. `cap` and `slope` are
 * the same for a whole row, so a processor guesses both branches right. */
static inline v8 shaped_score(const fr_score_shape *shape, int64_t j, v8 product,
                              v8 *derivative)
{
    static const float LANE[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    v8 score = product;
    if (shape->cap != 0.0F) {
        v8 t = v8_tanh(v8_mul(product, v8_set(1.0F / shape->cap)));
        score = v8_mul(v8_set(shape->cap), t);
        *derivative = v8_fnma(t, t, v8_set(1));
    }
    if (shape->slope != 0.0F) {
        v8 distance = v8_add(v8_set(shape->distance + (float)j), v8_load(LANE));
        score = v8_fma(v8_set(shape->slope), distance, score);
    }
    return score;
}

/* Hidden keys before the window are set apart from the rest: whatever their products are, NaN too, does not count. */
static void shape_scores(int64_t n_visible, const fr_score_shape *shape, float *score)
{
    for (int64_t j = shape->first / 8 * 8; j < n_visible; j += 8) {
        v8 unused = v8_set(1);
        v8_store(score + j, shaped_score(shape, j, v8_load(score + j), &unused));
    }
    for (int64_t j = 0; j < shape->first; j++) {
        score[j] = -INFINITY;
    }
}

static void shaped_score_row_back(const fr_score_row *row, const fr_score_shape *shape)
{
    static const float LN2 = 0.69314718F;
    for (int64_t j = shape->first / 8 * 8; j < row->n; j += 8) {
        v8 p = v8_set(0);
        v8 d = v8_set(0);
        if (j < row->n_visible) {
            v8 derivative = v8_set(1);
            v8 score = shaped_score(shape, j, v8_load(row->score + j), &derivative);
            p = v8_exp2(v8_sub(score, v8_set(row->lse)));
            d = v8_sub(v8_load(row->gradient + j), v8_set(row->delta));
            d = v8_mul(v8_mul(v8_mul(p, v8_set(LN2)), d), derivative);
            p = v8_keep_first(p, row->n_visible - j, 0);
            d = v8_keep_first(d, row->n_visible - j, 0);
        }
        v8_store(row->score + j, p);
        v8_store(row->gradient + j, d);
    }
    for (int64_t j = 0; j < shape->first; j++) {
        row->score[j] = 0;
        row->gradient[j] = 0;
    }
}

#endif
