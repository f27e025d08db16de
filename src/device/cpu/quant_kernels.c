#include "device/cpu/quant_kernels.h"

const fr_quant_kernels *fr_quant_kernels_select(fr_isa isa)
{
    return isa >= FR_ISA_AVX512 ? &fr_quant_avx512
           : isa == FR_ISA_AVX2 ? &fr_quant_avx2
                                : &fr_quant_generic;
}
