/*
 * tokens.h - all that a model's files say of tokens, whether or not their tokenizer can be used.
 *
 * Layer L3. Rows of ids need no tokenizer: a model whose tokenizer is missing, or one that Forerun does not know, opens
 * like any other, and the reason waits until a text comes. A damaged one is an error.
 */
#ifndef FR_MODEL_TEXT_TOKENS_H
#define FR_MODEL_TEXT_TOKENS_H

#include "model/text/ends.h"
#include "model/text/tokenizer.h"

typedef struct fr_tokens {
    fr_tokenizer *tokenizer; /* owned; NULL: none that can be used */
    char *
        no_tokenizer; /* owned; why, a sentence with its remedy; NULL where there is one */
    fr_ends ends;
} fr_tokens;

/**
 * Open a GGUF file or a Hugging Face folder; its files are read once.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED (too many ends); FR_ERR_DATA (no such file); ...
 */
FR_MUST_CHECK fr_status fr_tokens_open(fr_ctx *ctx, const char *model_path,
                                       fr_tokens *out);
void fr_tokens_close(fr_tokens *tokens);

/**
 * Open a model's tokenizer alone: of a GGUF file (tokenizer.ggml.*) or a Hugging Face folder (tokenizer.json, with
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json, generation_config.json and config.json beside it).
 * @return FR_OK; FR_ERR_DATA if the model has no tokenizer (the remedy is rows of token ids); FR_ERR_FORMAT;
 *         FR_ERR_UNSUPPORTED (the model or the splitting rule is named)
 */
FR_MUST_CHECK fr_status fr_tokenizer_open(fr_ctx *ctx, const char *model_path,
                                          fr_tokenizer **out);

/**
 * Which ids a generation must not choose: those without a text, such as rows that only fill up the embedding, unless they
 * end it.
 * @param[out] never_V  [vocab_size], 1: never; the caller frees. NULL: all may be chosen
 */
FR_MUST_CHECK fr_status fr_tokens_textless(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                           const fr_ends *ends, int64_t vocab_size,
                                           uint8_t **never_V);

#endif
