/*
 * gguf_settings.h - what a GGUF file says about itself that the layers here do not have; used by weights_gguf.c.
 *
 * A setting that would change the arithmetic is accepted with the value that leaves it as it
 * is, and refused by name with any other.
 */
#ifndef FR_MODEL_FILES_GGUF_SETTINGS_H
#define FR_MODEL_FILES_GGUF_SETTINGS_H

#include "model/files/gguf.h"

/** Refuse files that hold something else than one whole model: parts of one, adapters, importance matrices, projectors.
 * @return FR_OK; FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_gguf_check_kind(fr_ctx *ctx, const fr_gguf *gguf);

/** Refuse settings, below "ARCHITECTURE.", without a counterpart here. Those that depend on the model's sizes are not
 * among them.
 * @param context  the model's context length, which no attention window may cut
 * @return FR_OK; FR_ERR_FORMAT (of another type); FR_ERR_UNSUPPORTED (found and supported named) */
FR_MUST_CHECK fr_status fr_gguf_check_settings(fr_ctx *ctx, const fr_gguf *gguf,
                                               const char *architecture,
                                               int64_t context);

#endif
