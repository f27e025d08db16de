/*
 * gguf_config.h - read the settings of a GGUF file as the description of a model.
 */
#ifndef FR_MODEL_FAMILIES_GGUF_CONFIG_H
#define FR_MODEL_FAMILIES_GGUF_CONFIG_H

#include "model/families/family.h"

/**
 * Read the settings, and from the directory of tensors what no key tells: the rows of the embedding, the head, biases.
 *
 * @return FR_OK; FR_ERR_FORMAT (a setting that is missing, of another type or out of range); FR_ERR_UNSUPPORTED (the
 *         message names found and supported)
 */
FR_MUST_CHECK fr_status fr_gguf_config_read(fr_ctx *ctx, const fr_gguf *gguf,
                                            fr_arch *arch, const fr_family **family);

#endif
