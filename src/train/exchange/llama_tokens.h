/*
 * llama_tokens.h - the token ids that a state file of llama.cpp names for the slots of a prefix.
 *
 * A slot has no token, but llama.cpp keeps an id for each position and continues from a state only where a prompt begins with
 * the same ids. So the ids are ones that a client can write at the beginning of a prompt as a text: one special token,
 * again and again. Where llama.cpp puts a BOS in front of every prompt, the first id is that BOS.
 */
#ifndef FR_TRAIN_EXCHANGE_LLAMA_TOKENS_H
#define FR_TRAIN_EXCHANGE_LLAMA_TOKENS_H

#include "model/text/tokens.h"

/** What is known of the base's tokens. */
typedef struct fr_llama_tokens {
    const fr_tokens *tokens;
    int64_t vocab_size;
    int64_t marker; /* the id that stands for slots; -1: one is chosen */
} fr_llama_tokens;

/**
 * Fill in the ids. The chosen marker is the last special token with a text that neither ends a text nor is the BOS; where
 * there is none, the BOS.
 * @param[out] ids  [n]   @param[out] marker  the id of all but a BOS in front
 * @return FR_OK; FR_ERR_DATA (the given marker is beyond the vocabulary); FR_ERR_UNSUPPORTED (no special token is left to
 *         choose, or there is no tokenizer)
 */
FR_MUST_CHECK fr_status fr_llama_tokens_fill(fr_ctx *ctx, const fr_llama_tokens *base,
                                             int32_t *ids, int64_t n, int32_t *marker);

#endif
