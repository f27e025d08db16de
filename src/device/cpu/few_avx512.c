/* AVX-512: 4 x 4 sums take 16 of 32 registers, weights and x the rest. */
#include "device/cpu/few_lanes_avx2.h"

#include "device/device.h"

enum { LANES = 16, ROWS = 4, COLUMNS = 4 };

typedef __m512 v16;

static inline v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}

static inline v16 v16_load(fr_dtype dtype, const void *p, int64_t at)
{
    if (dtype == FR_BF16) {
        const uint16_t *bf16 = (const uint16_t *)p + at;
        __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)bf16);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
    }
    return _mm512_loadu_ps((const float *)p + at);
}

static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline float v16_sum(v16 x)
{
    return fr_sum_lanes(
        _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
}

#include "device/cpu/few_body.h"

void fr_few_avx512(const fr_few *few)
{
    multiply_any(few);
}
