/*
 * tokens.h - opens what a model's files say about tokens: its tokenizer, and the ids that end a text.
 *
 * Rows of token ids do not need a tokenizer. So a model whose tokenizer is missing or not supported opens like any other, and
 * the reason is kept until a text has to be encoded. A damaged tokenizer is an error.
 */
#ifndef FR_MODEL_TEXT_TOKENS_H
#define FR_MODEL_TEXT_TOKENS_H

#include "model/text/ends.h"
#include "model/text/tokenizer.h"

typedef struct fr_tokens {
    fr_tokenizer *tokenizer; /* owned; NULL: missing or not supported */
    char *
        no_tokenizer; /* owned; why there is none, with the remedy; NULL: there is one */
    fr_ends ends;
} fr_tokens;

/**
 * Opens a GGUF file or a Hugging Face folder; each file is read once.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED (too many ends); FR_ERR_DATA (no such file); ...
 */
FR_MUST_CHECK fr_status fr_tokens_open(fr_ctx *ctx, const char *model_path,
                                       fr_tokens *out);
void fr_tokens_close(fr_tokens *tokens);

/**
 * Opens a model's tokenizer alone: of a GGUF file (tokenizer.ggml.*) or a Hugging Face folder (tokenizer.json, with
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json, generation_config.json and config.json beside it).
 * @return FR_OK; FR_ERR_DATA if the model has no tokenizer (the remedy is rows of token ids); FR_ERR_FORMAT;
 *         FR_ERR_UNSUPPORTED (the model or the splitting rule is named)
 */
FR_MUST_CHECK fr_status fr_tokenizer_open(fr_ctx *ctx, const char *model_path,
                                          fr_tokenizer **out);

/**
 * Finds the ids that a generation must not choose: those without a text, such as rows that only fill up the embedding. Ids in
 * `ends->stop` may be chosen.
 * @param[out] never_V  [vocab_size], 1: never; the caller frees. NULL: all ids may be chosen
 */
FR_MUST_CHECK fr_status fr_tokens_textless(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                           const fr_ends *ends, int64_t vocab_size,
                                           uint8_t **never_V);

#endif
