#include "device/device.h"

#include <cpuid.h>

/* Two features that clang 14 has no name for in __builtin_cpu_supports. */

static bool has_avx512_bf16(void)
{
    enum { LEAF = 7, SUBLEAF = 1, EAX_BIT = 5 };
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid_count(LEAF, SUBLEAF, &eax, &ebx, &ecx, &edx) != 0 &&
           ((eax >> EAX_BIT) & 1U) != 0;
}

static bool has_f16c(void)
{
    enum { LEAF = 1, ECX_BIT = 29 };
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid(LEAF, &eax, &ebx, &ecx, &edx) != 0 &&
           ((ecx >> ECX_BIT) & 1U) != 0;
}

fr_isa fr_isa_detect(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !has_f16c()) {
        return FR_ISA_GENERIC;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        return FR_ISA_AVX2;
    }
    if (!__builtin_cpu_supports("avx512vnni")) {
        return FR_ISA_AVX512;
    }
    return has_avx512_bf16() ? FR_ISA_AVX512_BF16 : FR_ISA_AVX512_VNNI;
}

const char *fr_isa_name(fr_isa isa)
{
    static const char *const NAMES[] = {"generic", "avx2", "avx512", "avx512_vnni",
                                        "avx512_bf16"};
    return NAMES[isa];
}
