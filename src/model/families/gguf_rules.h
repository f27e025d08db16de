/*
 * gguf_rules.h - refuse the settings of a GGUF file that a family does not have.
 *
 * A setting that would change the arithmetic is accepted only with the value that leaves the arithmetic as it is.
 * Any other value is refused, and the message names the setting.
 */
#ifndef FR_MODEL_FAMILIES_GGUF_RULES_H
#define FR_MODEL_FAMILIES_GGUF_RULES_H

#include "model/families/gguf_keys.h"

/** Refuse settings that start with "ARCHITECTURE.", that the family does not read and that mean another arithmetic.
 * @return FR_OK; FR_ERR_UNSUPPORTED (the message names found and supported) */
FR_MUST_CHECK fr_status fr_gguf_check_rules(fr_ctx *ctx, const fr_gguf *gguf,
                                            const char *architecture,
                                            const fr_family *family);

#endif
