/* AVX2: a vector of 16 lanes is two registers; 2 x 2 sums take 8 of 16, weights and x the rest. */
#include "device/cpu/few_lanes_avx2.h"

#include "device/device.h"

enum { LANES = 16, ROWS = 2, COLUMNS = 2 };

typedef struct v16 {
    __m256 low;
    __m256 high;
} v16;

static inline v16 v16_zero(void)
{
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline __m256 widen(const uint16_t *p)
{
    __m128i words = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

static inline v16 v16_load(fr_dtype dtype, const void *p, int64_t at)
{
    const float *f32 = (const float *)p + at;
    const uint16_t *bf16 = (const uint16_t *)p + at;
    if (dtype == FR_BF16) {
        return (v16){widen(bf16), widen(bf16 + 8)};
    }
    return (v16){_mm256_loadu_ps(f32), _mm256_loadu_ps(f32 + 8)};
}

static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.low, b.low, c.low),
                 _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline float v16_sum(v16 x)
{
    return fr_sum_lanes(_mm256_add_ps(x.low, x.high));
}

#include "device/cpu/few_body.h"

void fr_few_avx2(const fr_few *few)
{
    multiply_any(few);
}
