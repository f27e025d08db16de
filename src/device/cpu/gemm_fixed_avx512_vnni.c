/* Products in fixed point with VNNI: one instruction multiplies pairs and adds, two depths at a time. */
#include "device/cpu/lanes_avx512.h"

/* In assembler because GCC 12 copies the intrinsic's sums to memory and back. */
FR_INLINE __m512i add_products(__m512i sum, __m512i x, __m512i w)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}

#include "device/cpu/gemm_fixed_body_avx512.h"

const fr_gemm_kernel fr_gemm_fixed_avx512_vnni = FR_GEMM_FIXED_AVX512;
