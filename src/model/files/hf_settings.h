/*
 * hf_settings.h - refuse the settings of a config.json that the layers do not have.
 *
 * A setting that would change the arithmetic is accepted only with the value that leaves the arithmetic as it is.
 * Any other value is refused, and the message names the setting: nothing is ignored in silence.
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

/** Refuse settings that have no counterpart in the layers.
 * @return FR_OK; FR_ERR_UNSUPPORTED (the message names found and supported) */
FR_MUST_CHECK fr_status fr_hf_check_settings(const fr_hf_fields *fields,
                                             fr_hf_type type);

/** Refuse weights that are not stored as plain numbers. @return as fr_hf_check_settings */
FR_MUST_CHECK fr_status fr_hf_check_quantization(const fr_hf_fields *fields);

/** Find RoPE's base in rope_theta, rope_scaling and rope_parameters, as the transformers library does.
 * @return FR_OK; FR_ERR_FORMAT (a value of another type, or two fields that contradict each other);
 *         FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_hf_read_rope(const fr_hf_fields *fields, double *theta);

#endif
