/*
 * tokenizer_json.h - a Hugging Face tokenizer.json to a draft. Private to tokenizer_hf.c.
 *
 * Layer L3; jansson.
 */
#ifndef FR_MODEL_TOKENIZER_JSON_H
#define FR_MODEL_TOKENIZER_JSON_H

#include "model/tokenizer_impl.h"

#include <jansson.h>

/**
 * Fill rule, tokens and merges of the draft (its path set by the caller) from the parsed file; texts point
 * into `root`. What would change the ids and is not one of the two known rules is refused by name.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_tokenizer_read_json(fr_ctx *ctx, const json_t *root,
                                               fr_token_draft *draft);

#endif
