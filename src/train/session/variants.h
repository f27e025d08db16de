/*
 * variants.h - what the ranks compute with, for messages. Ranks may differ in it: no result depends on it.
 */
#ifndef FR_TRAIN_SESSION_VARIANTS_H
#define FR_TRAIN_SESSION_VARIANTS_H

#include "comm/group.h"
#include "device/device.h"

/** Collective. *out [ranks of the world], to be freed by the caller: what each rank's device is. */
FR_MUST_CHECK fr_status fr_variants_gather(fr_ctx *ctx, fr_group *world,
                                           const fr_device_variant *mine,
                                           fr_device_variant **out);

enum { FR_VARIANT_NAMES = 64, FR_VARIANTS_TEXT = 2048 };

/** Their names, each once, in the order of the ranks: "avx2, avx512_vnni". What has no room is left out. */
void fr_variants_names(const fr_device_variant *ranks, int64_t n,
                       char out[FR_VARIANT_NAMES]);

/** The same with the number of ranks, where they differ, and with what was asked for:
 * "generic on 1 rank (FORERUN_ISA=generic), avx2 on 3 ranks (FORERUN_ISA=avx512, which the processor lacks)". */
void fr_variants_text(const fr_device_variant *ranks, int64_t n,
                      char out[FR_VARIANTS_TEXT]);

#endif
