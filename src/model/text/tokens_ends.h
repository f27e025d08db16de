/*
 * tokens_ends.h - the ends out of the files that name them. Private to tokens.c.
 *
 * Layer L3; jansson.
 */
#ifndef FR_MODEL_TEXT_TOKENS_ENDS_H
#define FR_MODEL_TEXT_TOKENS_ENDS_H

#include "model/files/gguf.h"
#include "model/text/ends.h"
#include "model/text/token_files.h"
#include "model/text/tokenizer.h"

/**
 * The ids of a Hugging Face folder. `eos`: the token that the tokenizer's files name by its text, else the first id of
 * generation_config.json, else that of config.json. `stop`: all of them, each list whole, and ChatML's end token.
 * @param tokenizer  NULL: none that can be used; a text that no file knows is then passed over
 * @return FR_OK; FR_ERR_FORMAT (no id, a text that names no token of the tokenizer); FR_ERR_UNSUPPORTED (too many)
 */
FR_MUST_CHECK fr_status fr_ends_read_folder(fr_ctx *ctx, const fr_token_files *files,
                                            const fr_tokenizer *tokenizer,
                                            fr_ends *out);

/** The ids of a GGUF file: tokenizer.ggml.eos_token_id, which is `eos`, eot_token_id, eom_token_id, ChatML's end token. */
FR_MUST_CHECK fr_status fr_ends_read_gguf(fr_ctx *ctx, const fr_gguf *gguf,
                                          const fr_tokenizer *tokenizer, fr_ends *out);

#endif
