/*
 * Products in fixed point (gemm.h) on AVX2.
 *
 * Packing turns a run of a row of activations or of a column of weights into 16-bit integers. It finds the run's
 * largest magnitude, takes the two powers of two that lead to fixed point and back (scale_of), and stores pairs of
 * neighbouring depths in a lane, since one instruction multiplies and adds two pairs of 16-bit numbers. Weights along
 * the depth (forward) go through the same code as activations, 8 lines at a time (pack_lines); weights along the
 * columns (backward) find the scales of 16 columns at once (pack_plain_run). A packed run is: scales, then [pairs of
 * depths][rows or columns].
 *
 * Tiles are 6 x 16: 12 sums, 2 registers of weights, 1 activation and 1 product fill the 16 registers. The sums of a
 * run are exact integers, so only the conversion to f32 and the fused multiply-add into `out` round, as in the other
 * instruction sets.
 */
#include "base/integer.h"
#include "device/cpu/gemm_avx2.h"
#include "device/cpu/kernels_simd_avx2.h"

#include <string.h>

enum {
    ROWS = FR_AVX2_ROWS,
    WIDTH = FR_AVX2_WIDTH,
    WORDS = 16, /* of 16 bits in a register */
    HALVES = 2,
    COLUMNS = FR_GEMM_COLUMNS,
    ROW_PART = 256, /* x 640 depths x 2 bytes: 320 KiB of the second cache */
    TILE_SCALES = 16,
    F32_MANTISSA = 23,
    BF16_MANTISSA = 7,
    ODD_WORDS = 0xaa /* every second word of a register */
};

/* ---- scales ------------------------------------------------------------------------------- */

/* The factors to fixed point and back, 2^(11 - e) and 2^(e - 11), from the exponents of the runs' largest
 * magnitudes (biased, as in the numbers' bits). A run that holds an infinity or a NaN gets the scale NaN. */
typedef struct run_scale {
    __m256 to_fixed;
    __m256 from_fixed;
} run_scale;

FR_INLINE run_scale scale_of(__m256i exponent)
{
    enum { SPECIAL = 255, BIAS = 127, SHIFT = FR_GEMM_FIXED_BITS - 1 };
    __m256i special = _mm256_cmpeq_epi32(exponent, _mm256_set1_epi32(SPECIAL));
    exponent = _mm256_max_epi32(exponent, _mm256_set1_epi32(BIAS + FR_GEMM_FIXED_MIN));
    __m256i to = _mm256_sub_epi32(_mm256_set1_epi32(2 * BIAS + SHIFT), exponent);
    __m256i from = _mm256_sub_epi32(exponent, _mm256_set1_epi32(SHIFT));
    __m256i nan = _mm256_and_si256(special, _mm256_set1_epi32(0x7fc00000));
    from = _mm256_andnot_si256(special, _mm256_slli_epi32(from, F32_MANTISSA));
    run_scale scale = {_mm256_castsi256_ps(_mm256_slli_epi32(to, F32_MANTISSA)),
                       _mm256_castsi256_ps(_mm256_or_si256(from, nan))};
    return scale;
}

/* ---- packing ------------------------------------------------------------------------------ */

FR_INLINE __m256i fixed(__m256 x, __m256 to_fixed)
{
    return _mm256_cvtps_epi32(_mm256_mul_ps(x, to_fixed));
}

FR_INLINE __m256 low_widened(__m256i bf16)
{
    return _mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), bf16));
}

FR_INLINE __m256 high_widened(__m256i bf16)
{
    return _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), bf16));
}

/* The first n of 16 words, zeros after them. */
FR_INLINE __m256i load_words(const uint16_t *w, int64_t n)
{
    uint16_t some[WORDS] = {0};
    if (n >= WORDS) {
        return _mm256_loadu_si256((const __m256i *)(const void *)w);
    }
    memcpy(some, w, (size_t)n * sizeof *w);
    return _mm256_loadu_si256((const __m256i *)(const void *)some);
}

FR_INLINE v8 load_floats(const float *x, int64_t n)
{
    return n > 0 ? v8_load_first(x, n) : v8_set(0);
}

/* The bits of the largest magnitude as f32: as integers they are ordered like the magnitudes, with NaN above all. */
static int32_t largest_f32(int64_t n, const float *x)
{
    int32_t lanes[WIDTH];
    int32_t largest = 0;
    __m256i max = _mm256_setzero_si256();
    for (int64_t d = 0; d < n; d += WIDTH) {
        __m256i bits = _mm256_castps_si256(v8_load_first(x + d, n - d));
        max = _mm256_max_epi32(max,
                               _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
    }
    _mm256_storeu_si256((__m256i *)(void *)lanes, max);
    for (int i = 0; i < WIDTH; i++) {
        largest = lanes[i] > largest ? lanes[i] : largest;
    }
    return largest;
}

/* Shifted up, the bits of a bf16 number are those of the same number as f32. */
static int32_t largest_bf16(int64_t n, const uint16_t *w)
{
    uint16_t lanes[WORDS];
    uint16_t largest = 0;
    __m256i max = _mm256_setzero_si256();
    for (int64_t d = 0; d < n; d += WORDS) {
        __m256i bits = load_words(w + d, n - d);
        max = _mm256_max_epu16(max, _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff)));
    }
    _mm256_storeu_si256((__m256i *)(void *)lanes, max);
    for (int i = 0; i < WORDS; i++) {
        largest = lanes[i] > largest ? lanes[i] : largest;
    }
    return largest << 16;
}

/* 16 depths of a line, two a lane, in order. */
FR_INLINE __m256i fixed_f32(const float *x, int64_t n, __m256 to_fixed)
{
    enum { HALVES_IN_ORDER = 0xd8 };
    __m256i low = fixed(load_floats(x, n), to_fixed);
    __m256i high = fixed(load_floats(x + WIDTH, n - WIDTH), to_fixed);
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), HALVES_IN_ORDER);
}

/* Each half of a lane's four is widened, and packed again. */
FR_INLINE __m256i fixed_bf16(const uint16_t *w, int64_t n, __m256 to_fixed)
{
    __m256i bits = load_words(w, n);
    return _mm256_packs_epi32(fixed(low_widened(bits), to_fixed),
                              fixed(high_widened(bits), to_fixed));
}

/* Lines of up to 8 that lie along the depth, cut to a run of it: rows of activations, or columns of weights. */
typedef struct line_run {
    const void *first; /* element of the first line and depth */
    int64_t step;      /* elements between lines */
    int64_t n_lines;   /* absent ones become 0; none if below 1 */
    int64_t depth;
} line_run;

/* The lanes of a tile's rows, or of half a panel's columns. */
FR_INLINE void store_pairs(v8 pairs, bool six, int32_t *out)
{
    float *to = (float *)(void *)out;
    if (six) {
        _mm_storeu_ps(to, _mm256_castps256_ps128(pairs));
        _mm_storel_pi((__m64 *)(void *)(to + 4), _mm256_extractf128_ps(pairs, 1));
    } else {
        v8_store(to, pairs);
    }
}

/* 8 scales, and pairs of depths `pitch` apart. `dtype` and `six` (lanes are stored, or all) are constants at each
 * call. */
FR_INLINE void pack_lines(const line_run *run, fr_dtype dtype, bool six, int64_t pitch,
                          float *scales, int32_t *pairs)
{
    const float *f32 = run->first;
    const uint16_t *bf16 = run->first;
    int32_t largest[WIDTH] = {0};
    float to_fixed[WIDTH];
    for (int64_t i = 0; i < run->n_lines && i < WIDTH; i++) {
        largest[i] = dtype == FR_F32 ? largest_f32(run->depth, f32 + i * run->step)
                                     : largest_bf16(run->depth, bf16 + i * run->step);
    }
    __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)largest);
    run_scale scale = scale_of(_mm256_srli_epi32(bits, F32_MANTISSA));
    v8_store(scales, scale.from_fixed);
    v8_store(to_fixed, scale.to_fixed);
    for (int64_t d = 0; d < run->depth; d += WORDS) {
        int64_t n = run->depth - d;
        v8 lines[WIDTH];
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH; i++) {
            int64_t at = i * run->step + d;
            v8 factor = v8_set(to_fixed[i]);
            lines[i] = v8_set(0);
            if (i < run->n_lines) {
                lines[i] = _mm256_castsi256_ps(dtype == FR_F32
                                                   ? fixed_f32(f32 + at, n, factor)
                                                   : fixed_bf16(bf16 + at, n, factor));
            }
        }
        v8_transpose(lines);
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH; i++) {
            if (i < (n + 1) / 2) {
                store_pairs(lines[i], six, pairs + (d / 2 + i) * pitch);
            }
        }
    }
}

/* One run of the depth after the other; rows that a tile lacks are packed as 0. */
static void pack_left(const fr_gemm_rows *rows, float *out)
{
    int64_t run = fr_gemm_run(rows->depth);
    for (int64_t d = 0; d < rows->depth; d += run) {
        int64_t n = fr_min(rows->depth - d, run);
        pack_lines(&(line_run){rows->x + d, rows->stride, rows->rows, n}, FR_F32, true,
                   ROWS, out, (int32_t *)(void *)(out + TILE_SCALES));
        out += TILE_SCALES + (n + 1) / 2 * ROWS;
    }
}

/* Two depths of eight columns, in lanes. */
FR_INLINE __m256i pair_up(__m256i even, __m256i odd)
{
    return _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), ODD_WORDS);
}

/* Weights that lie along the columns: widening leaves columns 0-3 and 8-11 in the first register, the others in the
 * second; the halves are put in order at the end. */
static void pack_plain_run(const fr_gemm_panel *panel, const uint16_t *w, int64_t n,
                           float *out)
{
    enum { LOW_HALVES = 0x20, HIGH_HALVES = 0x31 };
    int32_t *pairs = (int32_t *)(void *)(out + COLUMNS);
    __m256i max = _mm256_setzero_si256();
    for (int64_t d = 0; d < n; d++) {
        __m256i bits = load_words(w + d * panel->depth_step, panel->columns);
        max = _mm256_max_epu16(max, _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff)));
    }
    const __m256i zero = _mm256_setzero_si256();
    run_scale first =
        scale_of(_mm256_srli_epi32(_mm256_unpacklo_epi16(max, zero), BF16_MANTISSA));
    run_scale second =
        scale_of(_mm256_srli_epi32(_mm256_unpackhi_epi16(max, zero), BF16_MANTISSA));
    v8_store(out,
             _mm256_permute2f128_ps(first.from_fixed, second.from_fixed, LOW_HALVES));
    v8_store(out + WIDTH,
             _mm256_permute2f128_ps(first.from_fixed, second.from_fixed, HIGH_HALVES));
    for (int64_t d = 0; d < n; d += 2) {
        const uint16_t *row = w + d * panel->depth_step;
        __m256i even = load_words(row, panel->columns);
        __m256i odd = zero;
        if (d + 1 < n) {
            odd = load_words(row + panel->depth_step, panel->columns);
        }
        __m256i low = pair_up(fixed(low_widened(even), first.to_fixed),
                              fixed(low_widened(odd), first.to_fixed));
        __m256i high = pair_up(fixed(high_widened(even), second.to_fixed),
                               fixed(high_widened(odd), second.to_fixed));
        __m256i *to = (__m256i *)(void *)(pairs + d / 2 * COLUMNS);
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, LOW_HALVES));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, HIGH_HALVES));
    }
}

/* Forward: two halves of 8 columns, side by side in the packed panel. Where the second half is empty, `own` only
 * has to be a valid address. */
static void pack_right_run(const fr_gemm_panel *panel, int64_t first, int64_t n,
                           float *out)
{
    const uint16_t *w = (const uint16_t *)panel->source + first * panel->depth_step;
    if (panel->column_step == 1) {
        pack_plain_run(panel, w, n, out);
        return;
    }
    for (int64_t half = 0; half < HALVES; half++) {
        int64_t columns = panel->columns - half * WIDTH;
        const uint16_t *own = columns > 0 ? w + half * WIDTH * panel->column_step : w;
        pack_lines(&(line_run){own, panel->column_step, columns, n}, FR_BF16, false,
                   COLUMNS, out + half * WIDTH,
                   (int32_t *)(void *)(out + COLUMNS) + half * WIDTH);
    }
}

static void pack_right(const fr_gemm_panel *panel, float *out)
{
    int64_t run = fr_gemm_run(panel->depth);
    for (int64_t d = 0; d < panel->depth; d += run) {
        int64_t n = fr_min(panel->depth - d, run);
        pack_right_run(panel, d, n, out);
        out += COLUMNS + (n + 1) / 2 * COLUMNS;
    }
}

/* ---- the product -------------------------------------------------------------------------- */

typedef struct tile_sum {
    __m256i low[ROWS];
    __m256i high[ROWS];
} tile_sum;

FR_INLINE __m256i load_pairs(const int32_t *pairs)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)pairs);
}

/* A pair of depths; `rows` is a constant at each call, so that the loop unrolls and the sums stay in registers. */
FR_INLINE void step(int rows, const int32_t *left, const int32_t *right, tile_sum *sum)
{
    __m256i low = load_pairs(right);
    __m256i high = load_pairs(right + WIDTH);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        __m256i x = _mm256_set1_epi32(left[i]);
        sum->low[i] = _mm256_add_epi32(sum->low[i], _mm256_madd_epi16(x, low));
        sum->high[i] = _mm256_add_epi32(sum->high[i], _mm256_madd_epi16(x, high));
    }
}

/* Memory to fetch meanwhile, see fr_gemm_tile. */
typedef struct fetch {
    const char *at[2];
    int64_t step;
} fetch;

FR_INLINE void sum_run(int rows, int64_t n_pairs, const int32_t *left,
                       const int32_t *right, fetch *next, tile_sum *sum)
{
    enum { PAIRS = FR_GEMM_PREFETCH / 2 };
    int64_t d = 0;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        sum->low[i] = _mm256_setzero_si256();
        sum->high[i] = _mm256_setzero_si256();
    }
    for (; d + PAIRS <= n_pairs; d += PAIRS) {
        _mm_prefetch(next->at[0], _MM_HINT_T1);
        _mm_prefetch(next->at[1], _MM_HINT_T1);
        next->at[0] += next->step;
        next->at[1] += next->step;
        for (int64_t k = 0; k < PAIRS; k++) {
            step(rows, left + (d + k) * ROWS, right + (d + k) * COLUMNS, sum);
        }
    }
    for (; d < n_pairs; d++) {
        step(rows, left + d * ROWS, right + d * COLUMNS, sum);
    }
}

/* Up to 8 columns, none if n < 1. */
FR_INLINE void add_run(int64_t n, bool add, __m256i sum, v8 scale, float *out)
{
    if (n > 0) {
        v8 before = add ? v8_load_first(out, n) : v8_set(0);
        v8_store_first(out, v8_fma(_mm256_cvtepi32_ps(sum), scale, before), n);
    }
}

FR_INLINE void multiply_rows(int rows, const fr_gemm_tile *tile)
{
    const float *left = tile->left;
    const float *right = tile->right;
    fetch next = {{tile->prefetch[0], tile->prefetch[1]}, tile->prefetch_step};
    int64_t run = fr_gemm_run(tile->depth);
    bool add = tile->add;
    for (int i = 0; i < rows; i++) {
        _mm_prefetch((const char *)(tile->out + i * tile->out_stride), _MM_HINT_T0);
    }
    for (int64_t d = 0; d < tile->depth; d += run) {
        tile_sum sum;
        int64_t n = fr_min(tile->depth - d, run);
        int64_t n_pairs = (n + 1) / 2;
        sum_run(rows, n_pairs, (const int32_t *)(const void *)(left + TILE_SCALES),
                (const int32_t *)(const void *)(right + COLUMNS), &next, &sum);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float *out = tile->out + i * tile->out_stride;
            v8 scale = v8_set(left[i]);
            add_run(tile->columns, add, sum.low[i], v8_mul(v8_load(right), scale), out);
            add_run(tile->columns - WIDTH, add, sum.high[i],
                    v8_mul(v8_load(right + WIDTH), scale), out + WIDTH);
        }
        add = true;
        left += TILE_SCALES + n_pairs * ROWS;
        right += COLUMNS + n_pairs * COLUMNS;
    }
}

static void multiply(const fr_gemm_tile *tile)
{
    FR_AVX2_EACH_ROWS(multiply_rows, tile)
}

const fr_gemm_kernel fr_gemm_fixed_avx2 = {
    .rows = ROWS,
    .columns = COLUMNS,
    .row_part = ROW_PART,
    .is_fixed = true,
    .pack_left = pack_left,
    .pack_right = pack_right,
    .multiply = multiply,
};
