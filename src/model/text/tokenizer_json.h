/*
 * tokenizer_json.h - reads a Hugging Face tokenizer.json, and the added tokens in the files beside it, into a draft. Private to
 * tokenizer_*.c.
 *
 * A token of the second pass ("normalized") is searched in the normalized text, by its own text normalized.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_JSON_H
#define FR_MODEL_TEXT_TOKENIZER_JSON_H

#include "model/text/token_files.h"
#include "model/text/tokenizer_impl.h"

#include <jansson.h>

/** Ids of a tokenizer.json lie below this: several times what any known model has. */
enum { FR_MAX_TOKEN_IDS = 1 << 20 };

/**
 * Fills everything but the chat template and the names of the draft (the caller has set its path) from the parsed files; texts
 * point into them. A setting that would change the ids and is not supported is refused by name.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_tokenizer_read_json(fr_ctx *ctx, const fr_token_files *files,
                                               fr_token_draft *draft);

/** Whether a setting is absent, null, false, 0 or "". */
bool fr_json_is_off(const json_t *value);
/** Whether a setting is absent or null. */
bool fr_json_is_nothing(const json_t *value);
/** Whether an object's "type" is this. */
bool fr_json_is_type(const json_t *object, const char *type);
/** A string as a view; data NULL: not a string. */
fr_text fr_json_view(const json_t *value);
/** FR_ERR_UNSUPPORTED that names `key` and the type of the object `value`. */
FR_MUST_CHECK fr_status fr_json_refuse(fr_ctx *ctx, const char *path, const char *key,
                                       const json_t *value, const char *supported);

/** Reads "normalizer" and "pre_tokenizer" into the draft (tokenizer_steps.c). */
FR_MUST_CHECK fr_status fr_tokenizer_read_normalizer(fr_ctx *ctx, const json_t *value,
                                                     fr_token_draft *draft);
FR_MUST_CHECK fr_status fr_tokenizer_read_splitter(fr_ctx *ctx, const json_t *value,
                                                   fr_token_draft *draft);

/** What a post-processor puts around a text (tokenizer_frame.c); -1: nothing. */
typedef struct fr_json_frame {
    int64_t front;
    int64_t behind;
} fr_json_frame;

FR_MUST_CHECK fr_status fr_tokenizer_read_frame(fr_ctx *ctx, const char *path,
                                                const json_t *post, fr_json_frame *out);

/** Reads "decoder" into the draft and checks that it agrees with the model, which must be read. */
FR_MUST_CHECK fr_status fr_tokenizer_read_decoder(fr_ctx *ctx, const json_t *decoder,
                                                  fr_token_draft *draft);

/** One more than the highest id of the added tokens in all files. */
int64_t fr_added_tokens_end(const fr_token_files *files);

/**
 * Reads the added tokens; call it after the vocabulary is read. They come from tokenizer.json, and from
 * tokenizer_config.json's added_tokens_decoder or else added_tokens.json. Tokens that have a role (bos_token and the like)
 * are special, and a token that is special in one file is special.
 * @return FR_OK; FR_ERR_FORMAT (files that disagree on an id or a text, by name)
 */
FR_MUST_CHECK fr_status fr_added_tokens_read(fr_ctx *ctx, const fr_token_files *files,
                                             int64_t capacity, fr_token_draft *draft);

#endif
