/*
 * gguf_kind.h - what a GGUF file holds.
 */
#ifndef FR_MODEL_FILES_GGUF_KIND_H
#define FR_MODEL_FILES_GGUF_KIND_H

#include "model/files/gguf.h"

/** Refuse files that hold something else than a model: adapters, importance matrices, projectors.
 * @return FR_OK; FR_ERR_UNSUPPORTED */
FR_MUST_CHECK fr_status fr_gguf_check_kind(fr_ctx *ctx, const fr_gguf *gguf);

#endif
