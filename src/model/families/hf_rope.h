/*
 * hf_rope.h - RoPE's settings of a config.json.
 */
#ifndef FR_MODEL_FAMILIES_HF_ROPE_H
#define FR_MODEL_FAMILIES_HF_ROPE_H

#include "model/families/family.h"

/**
 * Read rope_theta, rope_scaling and rope_parameters, as the transformers library does, into the rotations of `arch`, whose
 * sizes are checked.
 * @return FR_OK; FR_ERR_FORMAT (a value of another type or out of range, or two fields that contradict each other);
 *         FR_ERR_UNSUPPORTED (another scaling)
 */
FR_MUST_CHECK fr_status fr_hf_read_rope(const fr_hf_fields *fields,
                                        const fr_family *family, fr_arch *arch);

#endif
