/*
 * Biases, rotations of heads, and rows that go into the cache. Each number has one writer, which has read what it needs before.
 *
 * Formulas and their order are those of cpu/kernels_rowwise.h.
 */
#include "device/cuda/fours.cuh"
#include "device/cuda/kernels_heads.h"

/* A thread has the same columns of all its rows, so it reads their bias once. */
template <typename X> FR_DEVICE void add_bias_body(const fr_add_bias_arguments &a)
{
    const int64_t i = (fr_block() * fr_threads() + fr_thread()) * FR_FOUR;
    const int64_t count = a.width - i;
    if (count <= 0) {
        return;
    }
    const fr_four<float> b = fr_read_four(a.b + i, count);
    for (int64_t t = fr_block_y(); t < a.n_tokens; t += a.n_y) {
        X *x = static_cast<X *>(a.x) + t * a.stride + i;
        fr_four<float> v = fr_read_four(x, count);
        for (int j = 0; j < FR_FOUR; j++) {
            v.at[j] = v.at[j] + b.at[j];
        }
        fr_write_four(x, count, v);
    }
}

typedef struct four_angles {
    fr_four<float> cosine;
    fr_four<float> sine;
} four_angles;

/* Of the table's pairs from p on. */
FR_DEVICE four_angles read_angles(const float *p, int64_t count, bool is_inverse)
{
    enum { PAIRS = FR_FOUR / 2 };
    const fr_four<float> first = fr_read_four(p, 2 * count);
    const fr_four<float> second = fr_read_four(p + FR_FOUR, 2 * (count - PAIRS));
    four_angles out;
    for (int j = 0; j < PAIRS; j++) {
        out.cosine.at[j] = first.at[2 * j];
        out.sine.at[j] = first.at[2 * j + 1];
        out.cosine.at[PAIRS + j] = second.at[2 * j];
        out.sine.at[PAIRS + j] = second.at[2 * j + 1];
    }
    for (int j = 0; j < FR_FOUR && is_inverse; j++) {
        out.sine.at[j] = 0.0F - out.sine.at[j];
    }
    return out;
}

/* (a, b) -> (a cos - b sin, b cos + a sin) with a = p[0], b = p[half] */
template <typename X>
FR_DEVICE void turn_four(X *p, int64_t half, int64_t count, const four_angles &angles)
{
    fr_four<float> a = fr_read_four(p, count);
    fr_four<float> b = fr_read_four(p + half, count);
    for (int j = 0; j < FR_FOUR; j++) {
        const float cosine = angles.cosine.at[j];
        const float sine = angles.sine.at[j];
        const float turned = fr_fma(-b.at[j], sine, a.at[j] * cosine);
        b.at[j] = fr_fma(a.at[j], sine, b.at[j] * cosine);
        a.at[j] = turned;
    }
    fr_write_four(p, count, a);
    fr_write_four(p + half, count, b);
}

template <typename X> FR_DEVICE void rope_body(const fr_rope_arguments &a)
{
    const int lanes = static_cast<int>(a.lanes);
    const int groups = fr_threads() / lanes;
    const int group = fr_thread() / lanes;
    const int64_t begin = static_cast<int64_t>(fr_thread() % lanes) * FR_FOUR;
    if (group >= groups) { /* threads that are left over */
        return;
    }
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        X *x = static_cast<X *>(a.x) + t * a.stride;
        const float *row = a.table + a.positions_T[t] * (2 * a.half);
        for (int64_t i = begin; i < a.half; i += a.lanes * FR_FOUR) {
            const four_angles angles =
                read_angles(row + 2 * i, a.half - i, a.is_inverse != 0);
            for (int64_t h = group; h < a.n_heads; h += groups) {
                turn_four(x + h * a.head_dim + i, a.half, a.half - i, angles);
            }
        }
    }
}

typedef struct alignas(16) sixteen_bytes {
    uint32_t at[4];
} sixteen_bytes;

template <typename UNIT>
FR_DEVICE void fill_cache_body(const fr_fill_cache_arguments &a)
{
    const fr_cache_run &run = a.runs[fr_block_y()];
    for (int64_t t = fr_block(); t < run.count; t += fr_blocks()) {
        const int64_t from = (run.from + t) * a.stride;
        const int64_t to = (run.to + t) * a.width;
        const UNIT *k = static_cast<const UNIT *>(a.k) + from;
        const UNIT *v = static_cast<const UNIT *>(a.v) + from;
        UNIT *cache_k = static_cast<UNIT *>(a.cache_k) + to;
        UNIT *cache_v = static_cast<UNIT *>(a.cache_v) + to;
        for (int64_t i = fr_thread(); i < a.width; i += fr_threads()) {
            const UNIT key = k[i];
            const UNIT value = v[i];
            cache_k[i] = key;
            cache_v[i] = value;
        }
    }
}

FR_KERNEL_1(add_bias, fr_add_bias_arguments, FR_HEADS_THREADS)
FR_KERNEL_1(rope, fr_rope_arguments, FR_HEADS_THREADS)
FR_KERNEL_AS(fill_cache, 2, fr_fill_cache_arguments, FR_HEADS_THREADS, uint16_t)
FR_KERNEL_AS(fill_cache, 4, fr_fill_cache_arguments, FR_HEADS_THREADS, uint32_t)
FR_KERNEL_AS(fill_cache, 16, fr_fill_cache_arguments, FR_HEADS_THREADS, sixteen_bytes)
