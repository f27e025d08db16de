/*
 * peft.h - a prefix as PEFT of Hugging Face keeps it: a folder with adapter_config.json and adapter_model.safetensors.
 *
 * Both kinds of adapters that hold keys and values, PREFIX_TUNING and CARTRIDGE, store one tensor:
 *
 *     prompt_embeddings [length, n_layers, 2, n_kv_heads, head_dim], the last four as one dimension; 2: keys, values
 *
 * In PEFT's words length is num_virtual_tokens, n_kv_heads num_attention_heads, and n_kv_heads * head_dim token_dim. Its keys
 * enter the cache as they are, after the rotation, and the first token has position `length`, as in Forerun's files; layers
 * with a window hide slots, so a prefix that comes from PEFT slides. With prefix_projection PEFT stores what the network
 * computes, and not the network.
 */
#ifndef FR_TRAIN_EXCHANGE_PEFT_H
#define FR_TRAIN_EXCHANGE_PEFT_H

#include "model/arch.h"
#include "model/files/names.h"
#include "train/checkpoint/checkpoint.h"

/** What an adapter_config.json says of its prefix. */
typedef struct fr_peft_config {
    const char *type; /* "PREFIX_TUNING" or "CARTRIDGE"; static */
    int64_t length;   /* this and the others are at least 1 */
    int64_t n_layers;
    int64_t n_kv_heads;
    int64_t head_dim;
    bool projected;   /* a network computed the numbers */
    fr_shown base;    /* base_model_name_or_path; "" if it is not there */
    fr_shown version; /* peft_version; likewise */
} fr_peft_config;

/**
 * Read and judge an adapter_config.json.
 * @return FR_OK; FR_ERR_DATA (missing); FR_ERR_FORMAT (not JSON, keys missing or wrong); FR_ERR_UNSUPPORTED (an adapter of
 *         another kind, of another task than CAUSAL_LM, or with weights of the base beside the prefix)
 */
FR_MUST_CHECK fr_status fr_peft_config_read(fr_ctx *ctx, const char *path,
                                            fr_peft_config *out);

/**
 * Read an adapter for a base of this shape.
 * @param model     the base's path, for messages
 * @param[out] task  zeroed before; gets the prefix, its sizes, `slides`, base_norm_eps and `init`, in memory of its own, and
 *                   nothing else. Also after a failure it is destroyed with the checkpoint that it is part of
 * @param[out] config  what adapter_config.json says
 * @return FR_OK; as fr_peft_config_read; FR_ERR_DATA (no folder, a file is missing, a base of another shape);
 *         FR_ERR_FORMAT, FR_ERR_UNSUPPORTED (the tensor, or a pickle in its place); FR_ERR_NUMERIC (numbers that are not
 *         finite)
 */
FR_MUST_CHECK fr_status fr_peft_read(fr_ctx *ctx, const char *folder, const char *model,
                                     const fr_arch *arch, fr_peft_config *config,
                                     fr_checkpoint_task *task);

/** Whether an adapter could be written there: it is an empty folder, or nothing yet. @return FR_OK; FR_ERR_ARG */
FR_MUST_CHECK fr_status fr_peft_check_target(fr_ctx *ctx, const char *folder);

/**
 * Write a task's prefix as an adapter PREFIX_TUNING without projection. The config comes last: without it PEFT
 * does not open the folder, so that a process that is killed leaves no adapter that is only half there.
 * @param base  for base_model_name_or_path
 * @return FR_OK; FR_ERR_UNSUPPORTED (the prefix leaves out layers); FR_ERR_ARG (fr_peft_check_target); FR_ERR_IO. After a
 *         failure the folder is as it was.
 */
FR_MUST_CHECK fr_status fr_peft_write(fr_ctx *ctx, const char *folder,
                                      const fr_checkpoint_task *task, const char *base);

#endif
