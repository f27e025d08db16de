#include "device/cpu/isa.h"

#include <cpuid.h>
#include <stdio.h>
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

/* Each level needs all extensions that its sources are compiled with: one that is missing would end in an illegal
 * instruction. */
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

/* "a, b or c" */
static void list_sets(char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int isa = 0; isa < FR_ISA_COUNT && used < bytes; isa++) {
        const char *before = isa == 0 ? "" : isa == FR_ISA_COUNT - 1 ? " or " : ", ";
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", before,
                                 fr_isa_name((fr_isa)isa));
    }
}

/* A wish above what the processor has is lowered to that, so one setting serves machines of several kinds. */
fr_status fr_isa_choose(fr_ctx *ctx, fr_isa has, fr_isa_choice *out)
{
    enum { LIST_BYTES = 128 };
    char list[LIST_BYTES];
    const char *text = fr_ctx_isa(ctx);
    *out = (fr_isa_choice){.isa = has, .asked = FR_ISA_COUNT};
    if (text == NULL) {
        return FR_OK;
    }
    if (!fr_isa_find(text, &out->asked)) {
        list_sets(list, sizeof list);
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "FORERUN_ISA is \"%s\", but must be %s; unset it for the "
                       "best that the processor has",
                       text, list);
    }
    out->isa = out->asked < has ? out->asked : has;
    return FR_OK;
}
