/*
 * tokenizer_sentencepiece.h - reads a folder's tokenizer.model into a draft. Private to tokenizer_*.c.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_SENTENCEPIECE_H
#define FR_MODEL_TEXT_TOKENIZER_SENTENCEPIECE_H

#include "model/text/token_files.h"
#include "model/text/tokenizer_impl.h"

/** Whether the folder has a tokenizer.model, at `path`, and no tokenizer.json. */
bool fr_sentencepiece_is_there(const fr_token_files *files, const char *path);

/**
 * Fills the draft but for its chat template and names; add_bos as the class of the tokenizer has it.
 * @param path       of tokenizer.model; becomes files->path, which owns it
 * @param[out] data  the bytes of the file, which the draft's texts point into; the caller frees
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_tokenizer_read_sentencepiece(fr_ctx *ctx,
                                                        fr_token_files *files,
                                                        char *path, char **data,
                                                        fr_token_draft *draft);

#endif
