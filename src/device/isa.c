#include "device/device.h"

#include <cpuid.h>
#include <string.h>

/* clang 14 has no name for it in __builtin_cpu_supports. */
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
    return __builtin_cpu_supports("avx512vnni") ? FR_ISA_AVX512_VNNI : FR_ISA_AVX512;
}

const char *fr_isa_name(fr_isa isa)
{
    static const char *const NAMES[FR_ISA_COUNT] = {"generic", "avx2", "avx512",
                                                    "avx512_vnni"};
    return NAMES[isa];
}

bool fr_isa_find(const char *name, fr_isa *out)
{
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        if (strcmp(name, fr_isa_name((fr_isa)isa)) == 0) {
            *out = (fr_isa)isa;
            return true;
        }
    }
    return false;
}
