/*
 * tokenizer_json.h - a Hugging Face tokenizer.json, and the added tokens beside it, to a draft. Private to tokenizer_*.c.
 *
 * Layer L3; jansson.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_JSON_H
#define FR_MODEL_TEXT_TOKENIZER_JSON_H

#include "model/text/token_files.h"
#include "model/text/tokenizer_impl.h"

#include <jansson.h>

/**
 * Fill rule, tokens and merges of the draft (its path set by the caller) from the parsed files; texts point
 * into them. What would change the ids and is not one of the two known rules is refused by name.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_tokenizer_read_json(fr_ctx *ctx, const fr_token_files *files,
                                               fr_token_draft *draft);

/** Absent, null, false, 0 or "". */
bool fr_json_is_off(const json_t *value);

/** Tokens that the files beside model.vocab may add; the draft needs room for them. */
int64_t fr_added_tokens_capacity(const fr_token_files *files);

/**
 * The added tokens, after the vocabulary: those of tokenizer.json; those of tokenizer_config.json's added_tokens_decoder
 * or, without one, of added_tokens.json; and tokens that the files give a part to (bos_token and the like), which are
 * special. One that is special in any file is special.
 * @return FR_OK; FR_ERR_FORMAT (files that disagree on an id or a text, by name); FR_ERR_UNSUPPORTED (flags)
 */
FR_MUST_CHECK fr_status fr_added_tokens_read(fr_ctx *ctx, const fr_token_files *files,
                                             int64_t capacity, fr_token_draft *draft);

#endif
