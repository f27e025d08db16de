/*
 * gguf_settings.h - refuse the settings of a GGUF file that the layers do not have.
 *
 * A setting that would change the arithmetic is accepted only with the value that leaves the arithmetic as it is.
 * Any other value is refused, and the message names the setting.
 */
#ifndef FR_MODEL_FILES_GGUF_SETTINGS_H
#define FR_MODEL_FILES_GGUF_SETTINGS_H

#include "model/files/gguf.h"

/** Refuse files that do not hold one whole model: parts of one, adapters, importance matrices, projectors.
 * @return FR_OK; FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_gguf_check_kind(fr_ctx *ctx, const fr_gguf *gguf);

/** Refuse the settings whose keys start with "ARCHITECTURE." and that have no counterpart in the layers. Settings that
 * depend on the model's sizes are checked in weights_gguf.c.
 * @param context  the model's context length, which no attention window may cut
 * @return FR_OK; FR_ERR_FORMAT (a value of another type); FR_ERR_UNSUPPORTED (the message names found and supported) */
FR_MUST_CHECK fr_status fr_gguf_check_settings(fr_ctx *ctx, const fr_gguf *gguf,
                                               const char *architecture,
                                               int64_t context);

#endif
