/*
 * tokens_ends.h - reads the ends from the files that name them. Private to tokens.c.
 */
#ifndef FR_MODEL_TEXT_TOKENS_ENDS_H
#define FR_MODEL_TEXT_TOKENS_ENDS_H

#include "model/files/gguf.h"
#include "model/text/ends.h"
#include "model/text/token_files.h"
#include "model/text/tokenizer.h"

/**
 * The ends of a Hugging Face folder. `eos` is the token that the tokenizer's files name by its text, else the first id of
 * generation_config.json, else the first of config.json. `stop` has all of these ids, and ChatML's end token.
 * @param tokenizer  NULL: it cannot be used; a text without an id is then ignored
 * @return FR_OK; FR_ERR_FORMAT (not an id, or a text that is not a token of the tokenizer); FR_ERR_UNSUPPORTED (too many)
 */
FR_MUST_CHECK fr_status fr_ends_read_folder(fr_ctx *ctx, const fr_token_files *files,
                                            const fr_tokenizer *tokenizer,
                                            fr_ends *out);

/** The ends of a GGUF file: tokenizer.ggml.eos_token_id (`eos`), eot_token_id, eom_token_id, and ChatML's end token. */
FR_MUST_CHECK fr_status fr_ends_read_gguf(fr_ctx *ctx, const fr_gguf *gguf,
                                          const fr_tokenizer *tokenizer, fr_ends *out);

#endif
