/*
 * token_files_impl.h - a tokenizer from older files. Private to token_files*.c.
 */
#ifndef FR_MODEL_TEXT_TOKEN_FILES_IMPL_H
#define FR_MODEL_TEXT_TOKEN_FILES_IMPL_H

#include "model/text/token_files.h"

/**
 * Makes files->tokenizer from files->vocabulary and merges.txt, and files->path the path of merges.txt.
 * @return FR_OK; FR_ERR_DATA: the folder has no tokenizer; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED: the class (named)
 */
FR_MUST_CHECK fr_status fr_token_files_compose(fr_ctx *ctx, fr_token_files *files);

#endif
