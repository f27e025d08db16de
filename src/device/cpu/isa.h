/*
 * isa.h - the instruction sets of the CPU, and the choice among them.
 */
#ifndef FR_DEVICE_CPU_ISA_H
#define FR_DEVICE_CPU_ISA_H

#include "base/ctx.h"

/** Instruction sets of the CPU in ascending order; a rank may be limited to a lower one than its processor has. All give the
 * same bits, except for those of a NaN. */
typedef enum fr_isa {
    FR_ISA_GENERIC,
    FR_ISA_AVX2,
    FR_ISA_AVX512,
    FR_ISA_AVX512_VNNI, /* products of 16-bit integers */
    FR_ISA_COUNT
} fr_isa;

/** Highest instruction set of this processor. */
fr_isa fr_isa_detect(void);
const char *fr_isa_name(fr_isa isa);

/** The set with this name; false, and *out unchanged, if there is none. */
bool fr_isa_find(const char *name, fr_isa *out);

/** The set to compute with, and the one that the user asked for. */
typedef struct fr_isa_choice {
    fr_isa isa;
    fr_isa asked; /* FR_ISA_COUNT: nothing */
} fr_isa_choice;

/**
 * The highest of the sets up to `has` (fr_isa_detect()) that FORERUN_ISA allows.
 * @return FR_OK; FR_ERR_ARG if FORERUN_ISA names no set
 */
FR_MUST_CHECK fr_status fr_isa_choose(fr_ctx *ctx, fr_isa has, fr_isa_choice *out);

#endif
