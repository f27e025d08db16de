/*
 * llama_state.h - a prefix as a state file of llama.cpp, from which its cache of keys and values starts.
 *
 * All numbers are little-endian. Two files hold such a state; they differ in what comes first:
 *
 *     sequence: u32 "ggsq", u32 version 3, u32 n, i32 tokens[n]                              then caches
 *     session:  u32 "ggsn", u32 version 10, u32 n, i32 tokens[n], u32 bytes, architecture    then caches
 *
 * A cache, once for all layers, or first for those without and then for those with a window:
 *
 *     u32 streams = 1, u32 cells; of each cell: i32 position, u32 sequences = 1, i32 sequence = 0
 *     u32 transposed, u32 layers
 *     of each layer: i32 type, u64 bytes of a row, keys [cells][kv_heads * head_dim]
 *     of each layer: i32 type, u64 bytes of a row, values [cells][kv_heads * head_dim]
 *       or transposed: i32 type, u32 bytes of a number, u32 rows, values [kv_heads * head_dim][cells]
 *
 * Types are 0 (f32) and 1 (f16). Keys are rotated, and their elements are in the order of the model file's rows. Source:
 * llama.cpp 0.5.0-dev as in llama-cpp-python 0.3.36, llama-context.cpp and llama-kv-cache.cpp.
 */
#ifndef FR_TRAIN_EXCHANGE_LLAMA_STATE_H
#define FR_TRAIN_EXCHANGE_LLAMA_STATE_H

#include "model/families/family.h"
#include "train/checkpoint/checkpoint.h"

/** Versions that are written, and that llama.cpp compares with its own. */
enum { FR_LLAMA_SEQUENCE_VERSION = 3, FR_LLAMA_SESSION_VERSION = 10 };

typedef struct fr_llama_state {
    const char *name;               /* of the prefix, in messages */
    const fr_checkpoint_task *task; /* of the base that `arch` describes */
    const fr_arch *arch;
    const fr_family *family; /* of the model's GGUF file */
    bool session;            /* else a sequence */
    bool f16;                /* numbers are rounded to nearest even; else f32 */
    bool flash_attention;    /* else values are transposed */
    const int32_t *tokens; /* an id for each slot, and in a session perhaps one more */
    int64_t n_tokens;
} fr_llama_state;

/**
 * Whether llama.cpp can hold the prefix so that its tokens see what ours see.
 * @return FR_OK; FR_ERR_UNSUPPORTED (some layers have no prefix; a window would hide slots, or is not known; a family without GGUF);
 *         FR_ERR_NUMERIC (a number is beyond f16)
 */
FR_MUST_CHECK fr_status fr_llama_state_check(fr_ctx *ctx, const fr_llama_state *state);

/** The bytes of the file, after fr_llama_state_check; the caller frees. */
FR_MUST_CHECK fr_status fr_llama_state_image(fr_ctx *ctx, const fr_llama_state *state,
                                             uint8_t **image, size_t *bytes);

#endif
