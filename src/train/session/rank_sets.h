/*
 * rank_sets.h - the instruction sets that the ranks compute with, for messages. Ranks may use different ones: no result
 * depends on them.
 */
#ifndef FR_TRAIN_SESSION_RANK_SETS_H
#define FR_TRAIN_SESSION_RANK_SETS_H

#include "device/device.h"

/** ranks[asked][used]: number of ranks that asked for one set (FR_ISA_COUNT: for none) and use the other. */
typedef struct fr_rank_sets {
    int64_t ranks[FR_ISA_COUNT + 1][FR_ISA_COUNT];
} fr_rank_sets;

enum { FR_SET_NAMES = 64, FR_SETS_TEXT = 2048 };

/** The sets in use, in ascending order: "avx2, avx512_vnni". */
void fr_rank_sets_names(const fr_rank_sets *sets, char out[FR_SET_NAMES]);

/** The same with the number of ranks, where they differ, and with what was asked for:
 * "generic on 1 rank (FORERUN_ISA=generic), avx2 on 3 ranks (FORERUN_ISA=avx512, which the processor lacks)". */
void fr_rank_sets_text(const fr_rank_sets *sets, char out[FR_SETS_TEXT]);

#endif
