/*
 * token_files.h - the files of a Hugging Face folder that speak of tokens, parsed once. Private to the readers of tokens.
 *
 * Layer L3; jansson.
 */
#ifndef FR_MODEL_TEXT_TOKEN_FILES_H
#define FR_MODEL_TEXT_TOKEN_FILES_H

#include "base/ctx.h"

#include <jansson.h>
#include <stdint.h>

/** Parsed objects; NULL: the file is absent. */
typedef struct fr_token_files {
    const char *folder; /* borrowed */
    char *path;         /* of tokenizer.json */
    json_t *tokenizer;  /* NULL too before fr_token_files_load */
    json_t *vocabulary; /* vocab.json, for ids alone */
    json_t *tokenizer_config;
    json_t *special_tokens_map;
    json_t *added_tokens; /* not read where tokenizer_config has added_tokens_decoder */
    json_t *generation_config;
    json_t *config;
} fr_token_files;

/** All but tokenizer.json. FR_ERR_FORMAT (not valid JSON, no object); FR_ERR_UNSUPPORTED (too large). */
FR_MUST_CHECK fr_status fr_token_files_open(fr_ctx *ctx, const char *folder,
                                            fr_token_files *files);
/** tokenizer.json. FR_ERR_DATA if it is absent, the remedy named; vocab.json is then read in its place. */
FR_MUST_CHECK fr_status fr_token_files_load(fr_ctx *ctx, fr_token_files *files);
void fr_token_files_close(fr_token_files *files);

/** added_tokens_decoder of tokenizer_config.json; NULL: none. */
json_t *fr_token_files_decoder(const fr_token_files *files);

/**
 * The text of a token that the files give a part to, such as "eos_token", in the order of the reference: files of before
 * added_tokens_decoder let special_tokens_map.json win over tokenizer_config.json, newer ones the other way round.
 * @param nth      0: the one that counts; 1: that of the other file
 * @param[out] file  the file's name
 * @return NULL: not named; else a string, or a value of another type
 */
const json_t *fr_token_files_named(const fr_token_files *files, const char *part,
                                   int nth, const char **file);

/** The id of a token by its text as the files write it: added tokens, then the vocabulary (also one in vocab.json where
 * there is no tokenizer.json). -1: none has it. */
int64_t fr_token_files_find(const fr_token_files *files, const char *text);

/** The folder's chat template, NUL-terminated; the caller frees. NULL: the folder has none. FR_ERR_FORMAT as fr_hf_load, or
 * if it holds a NUL character. */
FR_MUST_CHECK fr_status fr_token_files_template(fr_ctx *ctx,
                                                const fr_token_files *files,
                                                char **out);

#endif
