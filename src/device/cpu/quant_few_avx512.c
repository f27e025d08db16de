/*
 * Few rows of x with blocks of weights in their stored form (those of 32 elements but Q5_0 and Q5_1): each block is turned
 * into two vectors of weights and multiplied at once, without a widened copy. Four rows of W and up to four of x share the
 * conversions: 16 sums in 16 registers. The order of summation is that of few.h.
 */
#include "device/cpu/few_lanes_avx2.h"
#include "device/cpu/inline.h"
#include "device/cpu/quant_avx512.h"

/* A block of elements and its halves, the most rows of x and of W multiplied together, and the bytes to fetch
 * ahead: a page, since the processor's own prefetch stops at its end. */
enum {
    BLOCK = 32,
    HALF = 16,
    MAX_X = 4,
    MAX_W = FR_QUANT_FEW_ROWS,
    AHEAD = 4096,
    LINE = 64
};

/* The weights of a block. */
typedef struct pair {
    __m512 low;
    __m512 high;
} pair;

typedef pair block_reader(const uint8_t *block, bool round);

/* The 16 values of a block, rounded once, then looked up. */
FR_INLINE pair look_up(__m512 values, const uint8_t *nibbles, bool round)
{
    __m512i low = _mm512_cvtepu8_epi32(load_16(nibbles));
    __m512 table = round ? rounded(values) : values;
    return (pair){_mm512_permutexvar_ps(low, table),
                  _mm512_permutexvar_ps(_mm512_srli_epi32(low, 4), table)};
}

FR_INLINE pair read_q4_0(const uint8_t *block, bool round)
{
    return look_up(values_q4_0(block), block + 2, round);
}

FR_INLINE pair read_q4_1(const uint8_t *block, bool round)
{
    return look_up(values_q4_1(block), block + 4, round);
}

FR_INLINE pair read_iq4_nl(const uint8_t *block, bool round)
{
    return look_up(values_iq4_nl(block), block + 2, round);
}

FR_INLINE pair read_mxfp4(const uint8_t *block, bool round)
{
    return look_up(values_mxfp4(block), block + 1, round);
}

FR_INLINE pair read_q8_0(const uint8_t *block, bool round)
{
    __m512 low = half_block_q8_0(block, 0);
    __m512 high = half_block_q8_0(block, 1);
    return round ? (pair){rounded(low), rounded(high)} : (pair){low, high};
}

FR_INLINE float sum_lanes(__m512 x)
{
    return fr_sum_lanes(
        _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
}

/* All but `f` and `first` are constants at each call, so that the loops unroll and the sums stay in registers. */
FR_INLINE void multiply_block(block_reader *read, int64_t bytes, bool round, int n_x,
                              int n_w, const fr_quant_few *f, int64_t first)
{
    __m512 sum[MAX_X][MAX_W];
    const float *x = f->x + first * f->depth;
#pragma GCC unroll 4
    for (int i = 0; i < n_x; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < n_w; j++) {
            sum[i][j] = _mm512_setzero_ps();
        }
    }
    int64_t at = 0;
    for (int64_t d = 0; d < f->depth; d += BLOCK, at += bytes) {
        /* the n_w rows follow one another in memory, so all of their blocks are fetched by one moving pointer */
        const char *ahead = (const char *)f->rows[0] + AHEAD + n_w * at;
        _mm_prefetch(ahead, _MM_HINT_T0);
        _mm_prefetch(ahead + LINE, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int j = 0; j < n_w; j++) {
            pair w = read(f->rows[j] + at, round);
#pragma GCC unroll 4
            for (int i = 0; i < n_x; i++) {
                const float *row = x + i * f->depth + d;
                sum[i][j] = _mm512_fmadd_ps(_mm512_loadu_ps(row), w.low, sum[i][j]);
                sum[i][j] =
                    _mm512_fmadd_ps(_mm512_loadu_ps(row + HALF), w.high, sum[i][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < n_x; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < n_w; j++) {
            float *y = f->y + (first + i) * f->y_stride + j;
            float value = sum_lanes(sum[i][j]);
            *y = f->add ? *y + value : value;
        }
    }
}

/* Rest rows of x go one by one: they are few, and each constant count is another copy of the code. */
FR_INLINE void multiply_all(block_reader *read, int64_t bytes, bool round, int n_w,
                            const fr_quant_few *f)
{
    int64_t row = 0;
    for (; row + MAX_X <= f->m; row += MAX_X) {
        multiply_block(read, bytes, round, MAX_X, n_w, f, row);
    }
    for (; row < f->m; row++) {
        multiply_block(read, bytes, round, 1, n_w, f, row);
    }
}

/* Each call has constants of its own, so every combination is compiled apart and decided once for a whole product. */
FR_INLINE void multiply(block_reader *read, int64_t bytes, const fr_quant_few *f)
{
    fr_quant_few one = *f;
    one.n_rows = 1;
    if (f->n_rows == MAX_W && f->round) {
        multiply_all(read, bytes, true, MAX_W, f);
        return;
    }
    if (f->n_rows == MAX_W) {
        multiply_all(read, bytes, false, MAX_W, f);
        return;
    }
    for (int64_t j = 0; j < f->n_rows; j++) {
        one.rows[0] = f->rows[j];
        one.y = f->y + j;
        if (f->round) {
            multiply_all(read, bytes, true, 1, &one);
        } else {
            multiply_all(read, bytes, false, 1, &one);
        }
    }
}

/* The numbers are the bytes of a block. */
void fr_quant_few_q4_0(const fr_quant_few *few)
{
    multiply(read_q4_0, 18, few);
}

void fr_quant_few_q4_1(const fr_quant_few *few)
{
    multiply(read_q4_1, 20, few);
}

void fr_quant_few_q8_0(const fr_quant_few *few)
{
    multiply(read_q8_0, 34, few);
}

void fr_quant_few_iq4_nl(const fr_quant_few *few)
{
    multiply(read_iq4_nl, 18, few);
}

void fr_quant_few_mxfp4(const fr_quant_few *few)
{
    multiply(read_mxfp4, 17, few);
}
