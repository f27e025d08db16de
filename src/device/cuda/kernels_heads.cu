/*
 * Biases, rotations of heads, and rows that go into the cache. Each number has one writer, which has read what it needs before.
 *
 * Formulas and their order are those of cpu/kernels_rowwise.h.
 */
#include "device/cuda/fours.cuh"
#include "device/cuda/kernels_heads.h"
#include "device/cuda/side.cuh"

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

/* (a, b) -> (a cos - b sin, b cos + a sin) */
FR_DEVICE void turn(const four_angles &angles, fr_four<float> &a, fr_four<float> &b)
{
    for (int j = 0; j < FR_FOUR; j++) {
        const float cosine = angles.cosine.at[j];
        const float sine = angles.sine.at[j];
        const float turned = fr_fma(-b.at[j], sine, a.at[j] * cosine);
        b.at[j] = fr_fma(a.at[j], sine, b.at[j] * cosine);
        a.at[j] = turned;
    }
}

/* Of pairs (p[0], p[half]). */
template <typename X>
FR_DEVICE void turn_four(X *p, int64_t half, int64_t count, const four_angles &angles)
{
    fr_four<float> a = fr_read_four(p, count);
    fr_four<float> b = fr_read_four(p + half, count);
    turn(angles, a, b);
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

/* A token's row, and where its numbers go. */
template <typename X, typename S> struct qkv_row {
    const float *bias;
    X *x;
    S *saved;   /* NULL: nowhere */
    X *cache_k; /* NULL: nowhere, nor do values */
    X *cache_v;
    int64_t keys; /* where they begin in the row */
    int64_t values;
};

template <typename X, typename S>
FR_DEVICE qkv_row<X, S> qkv_row_of(const fr_qkv_arguments &a, int64_t t)
{
    const int64_t kv = a.n_kv_heads * a.head_dim;
    qkv_row<X, S> row = {};
    row.bias = a.bias;
    row.keys = a.n_heads * a.head_dim;
    row.values = row.keys + kv;
    const int64_t at = t * (row.values + kv);
    row.x = static_cast<X *>(a.x) + at;
    if (a.saved != nullptr) {
        row.saved = static_cast<S *>(a.saved) + at;
    }
    const int64_t place = a.cache_rows_T != nullptr ? a.cache_rows_T[t] : -1;
    if (place >= 0) {
        row.cache_k = static_cast<X *>(a.cache_k) + place * kv;
        row.cache_v = static_cast<X *>(a.cache_v) + place * kv;
    }
    return row;
}

template <typename X, typename S>
FR_DEVICE fr_four<float> read_biased(const qkv_row<X, S> &row, int64_t i, int64_t count)
{
    fr_four<float> v = fr_read_four(row.x + i, count);
    if (row.bias != nullptr) {
        const fr_four<float> b = fr_read_four(row.bias + i, count);
        for (int j = 0; j < FR_FOUR; j++) {
            v.at[j] = v.at[j] + b.at[j];
        }
    }
    return v;
}

/* All places get the same numbers, those of the narrower type. */
template <typename X, typename S>
FR_DEVICE void put_four(const qkv_row<X, S> &row, int64_t i, int64_t count,
                        fr_four<float> v)
{
    for (int j = 0; j < FR_FOUR; j++) {
        v.at[j] =
            sizeof(S) < sizeof(X) ? fr_rounded<S>(v.at[j]) : fr_rounded<X>(v.at[j]);
    }
    fr_write_four(row.x + i, count, v);
    if (row.saved != nullptr) {
        fr_write_four(row.saved + i, count, v);
    }
    if (row.cache_k != nullptr && i >= row.keys) {
        fr_write_four(i < row.values ? row.cache_k + (i - row.keys)
                                     : row.cache_v + (i - row.values),
                      count, v);
    }
}

template <typename X, typename S>
FR_DEVICE void turn_row(const fr_qkv_arguments &a, int64_t t, const qkv_row<X, S> &row)
{
    const int lanes = static_cast<int>(a.lanes);
    const int groups = fr_threads() / lanes;
    const int64_t begin = static_cast<int64_t>(fr_thread() % lanes) * FR_FOUR;
    if (fr_thread() / lanes >= groups) { /* threads that are left over */
        return;
    }
    for (int64_t i = begin; i < a.half; i += a.lanes * FR_FOUR) {
        const int64_t count = a.half - i;
        const four_angles angles = read_angles(
            a.table + a.positions_T[t] * (2 * a.half) + 2 * i, count, false);
        for (int64_t h = fr_thread() / lanes; h < a.n_heads + a.n_kv_heads;
             h += groups) {
            const int64_t at = h * a.head_dim + i;
            fr_four<float> first = read_biased(row, at, count);
            fr_four<float> second = read_biased(row, at + a.half, count);
            turn(angles, first, second);
            put_four(row, at, count, first);
            put_four(row, at + a.half, count, second);
        }
    }
}

/* What does not turn: ends of heads of queries and keys, and the values. */
template <typename X, typename S>
FR_DEVICE void finish_rest(const fr_qkv_arguments &a, const qkv_row<X, S> &row)
{
    const int width = static_cast<int>(a.head_dim - 2 * a.half);
    const int fours = (width + FR_FOUR - 1) / FR_FOUR;
    const int n = static_cast<int>(a.n_heads + a.n_kv_heads) * fours;
    for (int j = fr_thread(); j < n; j += fr_threads()) {
        const int i = j % fours * FR_FOUR;
        const int64_t at = j / fours * a.head_dim + 2 * a.half + i;
        put_four(row, at, width - i, read_biased(row, at, width - i));
    }
    const int64_t kv = a.n_kv_heads * a.head_dim;
    for (int64_t i = static_cast<int64_t>(fr_thread()) * FR_FOUR; i < kv;
         i += static_cast<int64_t>(fr_threads()) * FR_FOUR) {
        const int64_t at = row.values + i;
        put_four(row, at, kv - i, read_biased(row, at, kv - i));
    }
}

template <typename X, typename S>
FR_DEVICE void qkv_finish_body(const fr_qkv_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        const qkv_row<X, S> row = qkv_row_of<X, S>(a, t);
        turn_row(a, t, row);
        if (a.has_rest != 0) {
            finish_rest(a, row);
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
FR_KERNEL_2(qkv_finish, fr_qkv_arguments, FR_HEADS_THREADS)
FR_KERNEL_AS(fill_cache, 2, fr_fill_cache_arguments, FR_HEADS_THREADS, uint16_t)
FR_KERNEL_AS(fill_cache, 4, fr_fill_cache_arguments, FR_HEADS_THREADS, uint32_t)
FR_KERNEL_AS(fill_cache, 16, fr_fill_cache_arguments, FR_HEADS_THREADS, sixteen_bytes)
