/*
 * token_files.h - the files of a Hugging Face folder that describe tokens, each parsed once.
 */
#ifndef FR_MODEL_TEXT_TOKEN_FILES_H
#define FR_MODEL_TEXT_TOKEN_FILES_H

#include "base/ctx.h"

#include <jansson.h>
#include <stdint.h>

/** Parsed objects; NULL: the file is absent. */
typedef struct fr_token_files {
    const char *folder; /* borrowed */
    char *path;         /* of tokenizer.json, or of merges.txt that stands for it */
    json_t *tokenizer;  /* also NULL before fr_token_files_load */
    json_t
        *vocabulary; /* vocab.json; read only without tokenizer.json, to look up ids */
    json_t *tokenizer_config;
    json_t *special_tokens_map;
    json_t *added_tokens; /* not read where tokenizer_config has added_tokens_decoder */
    json_t *generation_config;
    json_t *config;
} fr_token_files;

/** Reads all but tokenizer.json. FR_ERR_FORMAT (not valid JSON, not an object); FR_ERR_UNSUPPORTED (too large). */
FR_MUST_CHECK fr_status fr_token_files_open(fr_ctx *ctx, const char *folder,
                                            fr_token_files *files);
/** Reads tokenizer.json. Without it, vocab.json and merges.txt become an object of the same form, by the class of the
 * tokenizer (token_files_merges.c). FR_ERR_DATA, with the remedy, if these are absent too; FR_ERR_UNSUPPORTED: a class that is
 * not known. vocab.json is read in any case then, to look up ids. */
FR_MUST_CHECK fr_status fr_token_files_load(fr_ctx *ctx, fr_token_files *files);
void fr_token_files_close(fr_token_files *files);

/** added_tokens_decoder of tokenizer_config.json; NULL: absent or null. */
json_t *fr_token_files_decoder(const fr_token_files *files);

/**
 * The text of the token that has a role, such as "eos_token". Two files may name it. As in transformers, the one that counts
 * is tokenizer_config.json if that has an added_tokens_decoder, else (older folders) special_tokens_map.json.
 * @param nth      0: the text that counts; 1: the text in the other file
 * @param[out] file  the file's name
 * @return NULL: not named; else a string, or a value of another type (for the caller to refuse)
 */
const json_t *fr_token_files_named(const fr_token_files *files, const char *role,
                                   int nth, const char **file);

/** The id of a token by its text: looks in the added tokens, then in the vocabulary (vocab.json if there is no
 * tokenizer.json). -1: not found. */
int64_t fr_token_files_find(const fr_token_files *files, const char *text);

/** The folder's chat template, NUL-terminated; the caller frees. NULL: the folder has none. FR_ERR_FORMAT as fr_hf_load, or
 * if it holds a NUL character. */
FR_MUST_CHECK fr_status fr_token_files_template(fr_ctx *ctx,
                                                const fr_token_files *files,
                                                char **out);

#endif
