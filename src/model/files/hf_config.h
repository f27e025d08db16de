/*
 * hf_config.h - read a Hugging Face config.json as an architecture.
 *
 * A setting that would change the arithmetic and has no field in fr_arch is refused, and the message names it.
 */
#ifndef FR_MODEL_FILES_HF_CONFIG_H
#define FR_MODEL_FILES_HF_CONFIG_H

#include "model/arch.h"

typedef struct fr_hf_config {
    fr_arch arch;
} fr_hf_config;

/**
 * Read config.json at `path`: model_type llama, mistral, qwen2 or gpt2.
 *
 * @return FR_OK; FR_ERR_DATA (missing file); FR_ERR_FORMAT (broken JSON; a field that is missing, of another type or
 *         out of range); FR_ERR_UNSUPPORTED (the message names found and supported)
 */
FR_MUST_CHECK fr_status fr_hf_config_read(fr_ctx *ctx, const char *path,
                                          fr_hf_config *out);

/** Read the config.json of a folder. If the folder has none, the message says what the folder holds (foreign.h).
 * @return as fr_hf_config_read */
FR_MUST_CHECK fr_status fr_hf_folder_config(fr_ctx *ctx, const char *folder,
                                            fr_hf_config *config);

#endif
