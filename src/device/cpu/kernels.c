#include "device/cpu/kernels.h"

const fr_kernels *fr_kernels_select(fr_isa isa)
{
    if (isa >= FR_ISA_AVX512) {
        return &fr_kernels_avx512;
    }
    return isa >= FR_ISA_AVX2 ? &fr_kernels_avx2 : &fr_kernels_generic;
}

/* Below this the work takes about 2 us, less than waking the threads. */
enum { ELEMENTS_WORTH_THREADS = 8192 };

int fr_kernels_threads(int n_threads, int64_t elements)
{
    return elements < ELEMENTS_WORTH_THREADS ? 1 : n_threads;
}
