/*
 * hf_config.h - a Hugging Face config.json as an architecture; used by weights_folder.c and weights_arch.c.
 *
 * Everything that would change the arithmetic and is not in fr_arch is
 * refused by name.
 */
#ifndef FR_MODEL_FILES_HF_CONFIG_H
#define FR_MODEL_FILES_HF_CONFIG_H

#include "model/arch.h"

typedef struct fr_hf_config {
    fr_arch arch;
    bool
        o_bias; /* arch.attention_bias tells of q, k and v (qwen2 has these three alone) */
} fr_hf_config;

/**
 * Read config.json at `path`: model_type llama, mistral, qwen2 or gpt2.
 *
 * @return FR_OK; FR_ERR_DATA (missing file); FR_ERR_FORMAT (broken JSON, a field missing or of another
 *         type or out of range); FR_ERR_UNSUPPORTED (found and supported named)
 */
FR_MUST_CHECK fr_status fr_hf_config_read(fr_ctx *ctx, const char *path,
                                          fr_hf_config *out);

/** The config.json of a folder (weights_folder.c); a folder without one is named for what it is.
 * @return as fr_hf_config_read */
FR_MUST_CHECK fr_status fr_hf_folder_config(fr_ctx *ctx, const char *folder,
                                            fr_hf_config *config);

#endif
