/*
 * tokenizer_read.h - reads a tokenizer from files that are already open. tokens.c uses it, which also reads the ends from the
 * same files.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_READ_H
#define FR_MODEL_TEXT_TOKENIZER_READ_H

#include "model/files/gguf.h"
#include "model/text/token_files.h"
#include "model/text/tokenizer.h"

/** The tokenizer of a GGUF file. Its end-of-sequence id is -1 until fr_tokenizer_set_eos.
 * @return FR_OK; FR_ERR_DATA: the file has no tokenizer; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED. *out is NULL on failure */
FR_MUST_CHECK fr_status fr_tokenizer_read_gguf(fr_ctx *ctx, const fr_gguf *gguf,
                                               fr_tokenizer **out);
/** The same for a folder; loads tokenizer.json. */
FR_MUST_CHECK fr_status fr_tokenizer_read_hf(fr_ctx *ctx, fr_token_files *files,
                                             fr_tokenizer **out);

/** Set the id that fr_tokenizer_eos returns; -1: the files name none. */
void fr_tokenizer_set_eos(fr_tokenizer *tokenizer, int32_t eos);

#endif
