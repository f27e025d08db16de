/*
 * hf_settings.h - settings of a config.json that the layers here do not have; used by hf_config.c.
 *
 * A setting that would change the arithmetic is accepted with the value that leaves it as
 * it is, and refused by name with any other: nothing is left out in silence.
 */
#ifndef FR_MODEL_FILES_HF_SETTINGS_H
#define FR_MODEL_FILES_HF_SETTINGS_H

#include "model/files/hf_json.h"

/** model_type values whose settings differ; as bits, so that a setting can belong to several. */
typedef enum fr_hf_type {
    FR_HF_LLAMA = 1,
    FR_HF_MISTRAL = 2,
    FR_HF_QWEN2 = 4,
    FR_HF_GPT2 = 8,
} fr_hf_type;

/** Refuse what has no counterpart here. @return FR_OK; FR_ERR_UNSUPPORTED (found and supported named) */
FR_MUST_CHECK fr_status fr_hf_check_settings(const fr_hf_fields *fields,
                                             fr_hf_type type);

/** Refuse weights that are stored in another way than as plain numbers. @return as fr_hf_check_settings */
FR_MUST_CHECK fr_status fr_hf_check_quantization(const fr_hf_fields *fields);

/** RoPE's base out of rope_theta, rope_scaling and rope_parameters, as the library takes it.
 * @return FR_OK; FR_ERR_FORMAT (of another type, or two places that contradict each other); FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_hf_read_rope(const fr_hf_fields *fields, double *theta);

#endif
