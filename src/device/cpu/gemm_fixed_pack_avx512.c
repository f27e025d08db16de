/*
 * Packing for products in fixed point (gemm.h) on AVX-512: runs of rows and of columns to 16-bit integers, 16 lines
 * at a time.
 *
 * Activations and weights along the depth (forward) share pack_lines: scales, then 32 depths of each line, transposed
 * so that a lane holds a pair of depths. Weights along the columns (backward) need no transposition: pack_plain_run.
 */
#include "base/integer.h"
#include "device/cpu/gemm_fixed_avx512.h"

enum {
    WORDS = 32, /* of 16 bits in a register */
    F32_MANTISSA = 23,
    BF16_MANTISSA = 7,
    ODD_WORDS = (int)0xaaaaaaaaU
};

/* ---- scales ------------------------------------------------------------------------------- */

/* The factors to fixed point and back, 2^(11 - e) and 2^(e - 11), from the exponents of the runs' largest
 * magnitudes (biased, as in the numbers' bits). A run that holds an infinity or a NaN gets the scale NaN. */
typedef struct run_scale {
    __m512 to_fixed;
    __m512 from_fixed;
} run_scale;

static run_scale scale_of(__m512i exponent)
{
    enum { SPECIAL = 255, BIAS = 127, SHIFT = FR_GEMM_FIXED_BITS - 1 };
    __mmask16 special = _mm512_cmpeq_epi32_mask(exponent, _mm512_set1_epi32(SPECIAL));
    exponent = _mm512_max_epi32(exponent, _mm512_set1_epi32(BIAS + FR_GEMM_FIXED_MIN));
    __m512i to = _mm512_sub_epi32(_mm512_set1_epi32(2 * BIAS + SHIFT), exponent);
    __m512i from = _mm512_sub_epi32(exponent, _mm512_set1_epi32(SHIFT));
    __m512i nan = _mm512_set1_epi32(0x7fc00000);
    run_scale scale = {_mm512_castsi512_ps(_mm512_slli_epi32(to, F32_MANTISSA)),
                       _mm512_castsi512_ps(_mm512_mask_blend_epi32(
                           special, _mm512_slli_epi32(from, F32_MANTISSA), nan))};
    return scale;
}

/* ---- packing ------------------------------------------------------------------------------ */

FR_INLINE __m512i fixed(__m512 x, __m512 to_fixed)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(x, to_fixed));
}

FR_INLINE __m512 widen(__m256i bf16)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

FR_INLINE __m256i load_bf16(__mmask16 mask, const uint16_t *w)
{
    return _mm256_maskz_loadu_epi16(mask, w);
}

/* 32 depths of 16 lines, a pair of depths a lane, to rows of pairs: [16 pairs, `pitch`], of which `n_pairs` count. */
FR_INLINE void store_pairs(__m512i lines[WIDTH], __mmask16 present, int64_t n_pairs,
                           int64_t pitch, int32_t *out)
{
    __m512 r[WIDTH];
    __m512 pairs[WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < WIDTH; i++) {
        r[i] = _mm512_castsi512_ps(lines[i]);
    }
    fr_avx512_transpose(r, pairs);
#pragma GCC unroll 16
    for (int i = 0; i < WIDTH; i++) {
        if (i < n_pairs) {
            _mm512_mask_storeu_epi32(out + i * pitch, present,
                                     _mm512_castps_si512(pairs[i]));
        }
    }
}

/* Lines of up to 16 that lie along the depth, cut to a run of it: rows of activations, or columns of weights. */
typedef struct line_run {
    const void *first; /* element of the first line and depth */
    int64_t step;      /* elements between lines */
    int64_t n_lines;   /* absent ones become 0; none if below 1 */
    int64_t depth;
} line_run;

/* The bits of the largest magnitude as f32: as integers they are ordered like the magnitudes, with NaN above all. */
static int32_t largest_f32(int64_t n, const float *x)
{
    __m512i max = _mm512_setzero_si512();
    for (int64_t d = 0; d < n; d += WIDTH) {
        __mmask16 mask = fr_avx512_first_lanes(n - d);
        __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(mask, x + d));
        max = _mm512_max_epi32(max,
                               _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
    }
    return _mm512_reduce_max_epi32(max);
}

/* Shifted up, the bits of a bf16 number are those of the same number as f32. Each lane holds two numbers, which
 * are compared apart. */
static int32_t largest_bf16(int64_t n, const uint16_t *w)
{
    __m512i max = _mm512_setzero_si512();
    for (int64_t d = 0; d < n; d += WORDS) {
        __m512i bits = _mm512_maskz_loadu_epi16(fr_avx512_first_words(n - d), w + d);
        max = _mm512_max_epu16(max, _mm512_and_si512(bits, _mm512_set1_epi16(0x7fff)));
    }
    return _mm512_reduce_max_epi32(
        _mm512_max_epi32(_mm512_and_si512(max, _mm512_set1_epi32(0x7fff0000)),
                         _mm512_slli_epi32(max, 16)));
}

/* 32 depths of a line, two a lane, in order. */
FR_INLINE __m512i fixed_f32(const float *x, int64_t n, __m512 to_fixed)
{
    const __m512i order =
        _mm512_set_epi32(15, 14, 11, 10, 7, 6, 3, 2, 13, 12, 9, 8, 5, 4, 1, 0);
    __m512 low = _mm512_maskz_loadu_ps(fr_avx512_first_lanes(n), x);
    __m512 high = _mm512_maskz_loadu_ps(fr_avx512_first_lanes(n - WIDTH), x + WIDTH);
    __m512i words = _mm512_packs_epi32(fixed(low, to_fixed), fixed(high, to_fixed));
    return _mm512_permutexvar_epi32(order, words);
}

/* Each half of a lane's eight is widened, and packed again. */
FR_INLINE __m512i fixed_bf16(const uint16_t *w, int64_t n, __m512 to_fixed)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i bits = _mm512_maskz_loadu_epi16(fr_avx512_first_words(n), w);
    __m512 low = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, bits));
    __m512 high = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, bits));
    return _mm512_packs_epi32(fixed(low, to_fixed), fixed(high, to_fixed));
}

/* 16 scales, and pairs of depths `pitch` apart, of which `present` lanes are stored. `dtype` is a constant at each
 * call. */
FR_INLINE void pack_lines(const line_run *run, fr_dtype dtype, __mmask16 present,
                          int64_t pitch, float *scales, int32_t *pairs)
{
    const float *f32 = run->first;
    const uint16_t *bf16 = run->first;
    int32_t largest[WIDTH] = {0};
    float to_fixed[WIDTH];
    for (int64_t i = 0; i < run->n_lines && i < WIDTH; i++) {
        largest[i] = dtype == FR_F32 ? largest_f32(run->depth, f32 + i * run->step)
                                     : largest_bf16(run->depth, bf16 + i * run->step);
    }
    run_scale scale =
        scale_of(_mm512_srli_epi32(_mm512_loadu_si512(largest), F32_MANTISSA));
    _mm512_storeu_ps(scales, scale.from_fixed);
    _mm512_storeu_ps(to_fixed, scale.to_fixed);
    for (int64_t d = 0; d < run->depth; d += WORDS) {
        int64_t n = run->depth - d;
        __m512i lines[WIDTH];
#pragma GCC unroll 16
        for (int i = 0; i < WIDTH; i++) {
            int64_t at = i * run->step + d;
            __m512 factor = _mm512_set1_ps(to_fixed[i]);
            lines[i] = _mm512_setzero_si512();
            if (i < run->n_lines) {
                lines[i] = dtype == FR_F32 ? fixed_f32(f32 + at, n, factor)
                                           : fixed_bf16(bf16 + at, n, factor);
            }
        }
        store_pairs(lines, present, (n + 1) / 2, pitch, pairs + d / 2 * pitch);
    }
}

void fr_avx512_pack_fixed_left(const fr_gemm_rows *rows, float *out)
{
    int64_t run = fr_gemm_run(rows->depth);
    for (int64_t d = 0; d < rows->depth; d += run) {
        int64_t n = fr_min(rows->depth - d, run);
        pack_lines(&(line_run){rows->x + d, rows->stride, rows->rows, n}, FR_F32,
                   fr_avx512_first_lanes(rows->rows), ROWS, out,
                   (int32_t *)(void *)(out + TILE_SCALES));
        out += TILE_SCALES + (n + 1) / 2 * ROWS;
    }
}

/* Weights that lie along the columns: the scales of 16 columns at once. */
static void pack_plain_run(const uint16_t *w, int64_t step, int64_t n, __mmask16 mask,
                           float *scales, int32_t *pairs)
{
    __m256i max = _mm256_setzero_si256();
    for (int64_t d = 0; d < n; d++) {
        __m256i bits = load_bf16(mask, w + d * step);
        max = _mm256_max_epu16(max, _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff)));
    }
    run_scale scale =
        scale_of(_mm512_srli_epi32(_mm512_cvtepu16_epi32(max), BF16_MANTISSA));
    _mm512_storeu_ps(scales, scale.from_fixed);
    for (int64_t d = 0; d < n; d += 2) {
        __mmask16 second = d + 1 < n ? mask : 0;
        __m512i even = fixed(widen(load_bf16(mask, w + d * step)), scale.to_fixed);
        __m512i odd =
            fixed(widen(load_bf16(second, w + (d + 1) * step)), scale.to_fixed);
        _mm512_storeu_si512(pairs + d / 2 * COLUMNS,
                            _mm512_mask_blend_epi16((__mmask32)ODD_WORDS, even,
                                                    _mm512_slli_epi32(odd, 16)));
    }
}

static void pack_right_run(const fr_gemm_panel *panel, int64_t first, int64_t n,
                           float *out)
{
    const uint16_t *w = (const uint16_t *)panel->source + first * panel->depth_step;
    for (int64_t half = 0; half < HALVES; half++) {
        int64_t columns = panel->columns - half * WIDTH;
        const uint16_t *own = columns > 0 ? w + half * WIDTH * panel->column_step : w;
        int32_t *pairs = (int32_t *)(void *)(out + COLUMNS) + half * WIDTH;
        if (panel->column_step == 1) {
            pack_plain_run(own, panel->depth_step, n, fr_avx512_first_lanes(columns),
                           out + half * WIDTH, pairs);
        } else {
            pack_lines(&(line_run){own, panel->column_step, columns, n}, FR_BF16,
                       0xffff, COLUMNS, out + half * WIDTH, pairs);
        }
    }
}

void fr_avx512_pack_fixed_right(const fr_gemm_panel *panel, float *out)
{
    int64_t run = fr_gemm_run(panel->depth);
    for (int64_t d = 0; d < panel->depth; d += run) {
        int64_t n = fr_min(panel->depth - d, run);
        pack_right_run(panel, d, n, out);
        out += COLUMNS + (n + 1) / 2 * COLUMNS;
    }
}
