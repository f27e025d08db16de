/* Reads a Hugging Face folder into a draft: tokenizer.json (tokenizer_json.c) or tokenizer.model, and from the files beside it the BOS, whether
 * texts begin with it, and the names that a chat template uses. */
#include "base/file.h"
#include "model/text/tokenizer_json.h"
#include "model/text/tokenizer_read.h"
#include "model/text/tokenizer_sentencepiece.h"

#include <stdlib.h>

/* A number, or a list whose first entry counts. False if it is absent or null. */
static bool id_of(const json_t *config, const char *key, const json_t **out)
{
    const json_t *value = json_object_get(config, key);
    *out = json_is_array(value) ? json_array_get(value, 0) : value;
    return *out != NULL && !json_is_null(*out);
}

/* The BOS: the text that the tokenizer's files name, else the id of generation_config.json, else of config.json. */
static fr_status read_bos(fr_ctx *ctx, const fr_token_files *files, int64_t *out)
{
    const char *file = NULL;
    const json_t *named = fr_token_files_named(files, "bos_token", 0, &file);
    const char *text = json_string_value(named);
    const json_t *id = NULL;
    *out = -1;
    if (named != NULL) {
        *out = text != NULL ? fr_token_files_find(files, text) : -1;
        return *out >= 0
                   ? FR_OK
                   : FR_FAIL(ctx, FR_ERR_FORMAT,
                             "%s/%s: bos_token must name a token of the vocabulary",
                             files->folder, file);
    }
    if (!id_of(files->generation_config, "bos_token_id", &id) &&
        !id_of(files->config, "bos_token_id", &id)) {
        return FR_OK;
    }
    if (!json_is_integer(id)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: bos_token_id must be a token id",
                       files->folder);
    }
    *out = json_integer_value(id);
    return FR_OK;
}

/* Absent leaves *out alone. A value of another type is refused, since guessing it would shift every text by one id. */
static fr_status read_add_bos(fr_ctx *ctx, const fr_token_files *files, bool *out)
{
    const json_t *value = json_object_get(files->tokenizer_config, "add_bos_token");
    *out = json_is_boolean(value) ? json_is_true(value) : *out;
    if (value != NULL && !json_is_boolean(value) && !json_is_null(value)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s/tokenizer_config.json: add_bos_token must be true or false",
                       files->folder);
    }
    return FR_OK;
}

/* A token in front of each text comes from the post_processor, else from the configuration. As transformers 5 does: where there
 * is a tokenizer.json with such a processor, add_bos_token is not asked. A token behind must be the one that ends texts: it
 * is not put behind a source, but training puts it behind each target. */
static fr_status read_ends(fr_ctx *ctx, const fr_token_files *files,
                           fr_token_draft *draft)
{
    const char *file = NULL;
    const char *eos =
        json_string_value(fr_token_files_named(files, "eos_token", 0, &file));
    const json_t *post = json_object_get(files->tokenizer, "post_processor");
    fr_json_frame frame;
    FR_TRY(fr_tokenizer_read_frame(ctx, draft->path, post, &frame));
    if (frame.behind >= 0 &&
        (eos == NULL || fr_token_files_find(files, eos) != frame.behind)) {
        return fr_json_refuse(ctx, draft->path, "post_processor", post,
                              "with the eos_token behind a text, or nothing");
    }
    if (frame.front >= 0) {
        draft->add_bos = true;
        draft->bos = frame.front;
        return FR_OK;
    }
    FR_TRY(read_add_bos(ctx, files, &draft->add_bos));
    return draft->add_bos ? read_bos(ctx, files, &draft->bos) : FR_OK;
}

/* The text of the token with a role, as chat templates see it. */
static fr_text token_name(const fr_token_files *files, const char *role)
{
    const char *file = NULL;
    const json_t *named = fr_token_files_named(files, role, 0, &file);
    return (fr_text){json_string_value(named), json_string_length(named)};
}

/* Fills the draft from tokenizer.json or older files, or from tokenizer.model, whose bytes are kept in *data. */
static fr_status read_tokenizer(fr_ctx *ctx, fr_token_files *files, char **data,
                                fr_token_draft *draft)
{
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, files->folder, "tokenizer.model", &path));
    if (fr_sentencepiece_is_there(files, path)) {
        return fr_tokenizer_read_sentencepiece(ctx, files, path, data, draft);
    }
    free(path);
    fr_status status = fr_token_files_load(ctx, files);
    draft->path = files->path; /* known only now: an older folder has another file */
    return status == FR_OK ? fr_tokenizer_read_json(ctx, files, draft) : status;
}

fr_status fr_tokenizer_read_hf(fr_ctx *ctx, fr_token_files *files, fr_tokenizer **out)
{
    fr_token_draft draft = {.bos = -1, .unknown = -1};
    char *data = NULL;
    *out = NULL;
    fr_status status = read_tokenizer(ctx, files, &data, &draft);
    if (status != FR_OK || (status = read_ends(ctx, files, &draft)) != FR_OK ||
        (status = fr_token_files_template(ctx, files, &draft.chat_template)) != FR_OK) {
        goto out;
    }
    draft.bos_token = token_name(files, "bos_token");
    draft.eos_token = token_name(files, "eos_token");
    status = fr_tokenizer_build(ctx, &draft, out);
out:
    fr_token_draft_fini(&draft);
    free(data);
    return status;
}
