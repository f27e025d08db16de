/*
 * hf_config.h - read a Hugging Face config.json as the description of a model.
 *
 * A setting that would change the arithmetic and has no field in fr_arch is refused, and the message names it.
 */
#ifndef FR_MODEL_FAMILIES_HF_CONFIG_H
#define FR_MODEL_FAMILIES_HF_CONFIG_H

#include "model/families/family.h"

typedef struct fr_hf_config {
    fr_arch arch;
    const fr_family *family;
    bool
        has_other_parts; /* it describes a model that takes pictures or sound as well; this is its text part */
} fr_hf_config;

/**
 * Read config.json at `path`. Its model_type, or that of its text_config, is one of fr_families_supported.
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
