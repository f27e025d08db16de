/*
 * tokenizer_json.h - reads a Hugging Face tokenizer.json, and the added tokens in the files beside it, into a draft. Private to
 * tokenizer_*.c.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_JSON_H
#define FR_MODEL_TEXT_TOKENIZER_JSON_H

#include "model/text/token_files.h"
#include "model/text/tokenizer_impl.h"

#include <jansson.h>

/**
 * Fills the rule, tokens and merges of the draft (the caller has set its path) from the parsed files; texts point into
 * them. A setting that would change the ids and is not supported is refused by name.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_tokenizer_read_json(fr_ctx *ctx, const fr_token_files *files,
                                               fr_token_draft *draft);

/** Whether a setting is absent, null, false, 0 or "". */
bool fr_json_is_off(const json_t *value);

/** Upper bound of the tokens that other parts than model.vocab add; the draft needs capacity for them. */
int64_t fr_added_tokens_capacity(const fr_token_files *files);

/**
 * Reads the added tokens; call it after the vocabulary is read. They come from tokenizer.json, and from
 * tokenizer_config.json's added_tokens_decoder or else added_tokens.json. Tokens that have a role (bos_token and the like)
 * are special, and a token that is special in one file is special.
 * @return FR_OK; FR_ERR_FORMAT (files that disagree on an id or a text, by name); FR_ERR_UNSUPPORTED (flags)
 */
FR_MUST_CHECK fr_status fr_added_tokens_read(fr_ctx *ctx, const fr_token_files *files,
                                             int64_t capacity, fr_token_draft *draft);

#endif
