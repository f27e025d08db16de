/*
 * hf_rules.h - refuse the settings of a config.json that a family does not have.
 *
 * A setting that would change the arithmetic is accepted only with the value that leaves the arithmetic as it is.
 * Any other value is refused, and the message names the setting: nothing is ignored in silence.
 */
#ifndef FR_MODEL_FAMILIES_HF_RULES_H
#define FR_MODEL_FAMILIES_HF_RULES_H

#include "model/families/family.h"

/** Refuse settings that the family does not read and that mean another arithmetic.
 * @return FR_OK; FR_ERR_UNSUPPORTED (the message names found and supported) */
FR_MUST_CHECK fr_status fr_hf_check_rules(const fr_hf_fields *fields,
                                          const fr_family *family);

/** Refuse weights that are not stored as plain numbers. @return as fr_hf_check_rules */
FR_MUST_CHECK fr_status fr_hf_check_quantization(const fr_hf_fields *fields);

#endif
