/* Products in fixed point without VNNI: one instruction multiplies pairs, a second adds. Two depths for two
 * instructions, as many as fused multiply-adds of f32 take. */
#include "device/cpu/lanes_avx512.h"

FR_INLINE __m512i add_products(__m512i sum, __m512i x, __m512i w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}

#include "device/cpu/gemm_fixed_body_avx512.h"

const fr_gemm_kernel fr_gemm_fixed_avx512 = FR_GEMM_FIXED_AVX512;
