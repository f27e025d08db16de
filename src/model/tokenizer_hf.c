/* A Hugging Face folder: tokenizer.json and, for what it does not say, the files beside it. */
#include "base/file.h"
#include "model/hf_json.h"
#include "model/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

/* The parsed files of a folder; NULL: absent. */
typedef struct hf_files {
    const char *folder;
    char *path; /* of tokenizer.json */
    json_t *tokenizer;
    json_t *tokenizer_config;
    json_t *generation_config;
    json_t *config;
} hf_files;

static void close_files(hf_files *files)
{
    json_decref(files->tokenizer);
    json_decref(files->tokenizer_config);
    json_decref(files->generation_config);
    json_decref(files->config);
    free(files->path);
}

static fr_status parse(fr_ctx *ctx, const char *path, json_t **out)
{
    FR_TRY(fr_hf_load(ctx, path, out));
    return json_is_object(*out)
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_FORMAT, "%s: not a JSON object", path);
}

static fr_status parse_optional(fr_ctx *ctx, const char *folder, const char *name,
                                json_t **out)
{
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    fr_status status = fr_file_exists(path) ? parse(ctx, path, out) : FR_OK;
    free(path);
    return status;
}

static fr_status open_files(fr_ctx *ctx, const char *folder, hf_files *files)
{
    files->folder = folder;
    FR_TRY(fr_join_path(ctx, folder, "tokenizer.json", &files->path));
    if (!fr_file_exists(files->path)) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "%s carries no tokenizer (tokenizer.json is absent); give rows "
                       "as token ids (source_ids, target_ids)",
                       folder);
    }
    FR_TRY(parse(ctx, files->path, &files->tokenizer));
    FR_TRY(
        parse_optional(ctx, folder, "tokenizer_config.json", &files->tokenizer_config));
    FR_TRY(parse_optional(ctx, folder, "generation_config.json",
                          &files->generation_config));
    return parse_optional(ctx, folder, "config.json", &files->config);
}

/* The token of this text, -1 if there is none. */
static int64_t find_token(const fr_token_draft *draft, const char *text)
{
    size_t bytes = strlen(text);
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->texts[i].data != NULL && draft->texts[i].bytes == bytes &&
            memcmp(draft->texts[i].data, text, bytes) == 0) {
            return i;
        }
    }
    return -1;
}

/* An id as generation_config.json and config.json give it: a number or a list, of which the first counts.
 * False if there is none. */
static bool id_of(const json_t *config, const char *key, const json_t **out)
{
    const json_t *value = json_object_get(config, key);
    *out = json_is_array(value) ? json_array_get(value, 0) : value;
    return *out != NULL && !json_is_null(*out);
}

/* Names of one of the two tokens in the files. */
typedef struct end_keys {
    const char *text; /* in tokenizer_config.json */
    const char *id;   /* in the other two */
} end_keys;

/* The text in tokenizer_config.json wins; then the ids of generation_config.json and config.json. */
static fr_status read_end(fr_ctx *ctx, const hf_files *files, end_keys keys,
                          const fr_token_draft *draft, int64_t *out)
{
    const json_t *named = json_object_get(files->tokenizer_config, keys.text);
    const json_t *id = NULL;
    named = json_is_object(named) ? json_object_get(named, "content") : named;
    *out = -1;
    if (named != NULL && !json_is_null(named)) {
        *out = json_is_string(named) ? find_token(draft, json_string_value(named)) : -1;
        return *out >= 0 ? FR_OK
                         : FR_FAIL(ctx, FR_ERR_FORMAT,
                                   "%s/tokenizer_config.json: %s names no token of the "
                                   "vocabulary",
                                   files->folder, keys.text);
    }
    if (!id_of(files->generation_config, keys.id, &id) &&
        !id_of(files->config, keys.id, &id)) {
        return FR_OK;
    }
    if (!json_is_integer(id) || json_integer_value(id) < 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s is not a token id", files->folder,
                       keys.id);
    }
    *out = json_integer_value(id);
    return FR_OK;
}

static fr_status read_add_bos(fr_ctx *ctx, const hf_files *files, bool *out)
{
    const json_t *value = json_object_get(files->tokenizer_config, "add_bos_token");
    *out = json_is_true(value);
    if (value != NULL && !json_is_boolean(value) && !json_is_null(value)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s/tokenizer_config.json: add_bos_token is not a boolean",
                       files->folder);
    }
    return FR_OK;
}

/* chat_template of tokenizer_config.json: a text, or a list of named ones with one called "default". */
static const json_t *configured_template(const json_t *tokenizer_config)
{
    const json_t *value = json_object_get(tokenizer_config, "chat_template");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0) {
            return json_object_get(item, "template");
        }
    }
    return value;
}

/* The file chat_template.jinja wins over the configuration. */
static fr_status read_template(fr_ctx *ctx, const hf_files *files, char **out)
{
    char *path = NULL;
    char *text = NULL;
    size_t bytes = 0;
    const json_t *value = configured_template(files->tokenizer_config);
    FR_TRY(fr_join_path(ctx, files->folder, "chat_template.jinja", &path));
    fr_status status = FR_OK;
    if (fr_file_exists(path)) {
        status = fr_file_read(ctx, path, &text, &bytes);
        if (status == FR_OK) {
            status = fr_copy_text(ctx, path, (fr_text){text, bytes}, out);
        }
    } else if (json_is_string(value)) {
        fr_text found = {json_string_value(value), json_string_length(value)};
        status = fr_copy_text(ctx, "chat_template", found, out);
    }
    free(text);
    free(path);
    return status;
}

fr_status fr_tokenizer_open_hf(fr_ctx *ctx, const char *folder, fr_tokenizer **out)
{
    static const end_keys BOS = {"bos_token", "bos_token_id"};
    static const end_keys EOS = {"eos_token", "eos_token_id"};
    hf_files files = {0};
    fr_token_draft draft = {0};
    fr_status status = open_files(ctx, folder, &files);
    draft.path = files.path;
    if (status != FR_OK ||
        (status = fr_tokenizer_read_json(ctx, files.tokenizer, &draft)) != FR_OK ||
        (status = read_end(ctx, &files, BOS, &draft, &draft.bos)) != FR_OK ||
        (status = read_end(ctx, &files, EOS, &draft, &draft.eos)) != FR_OK ||
        (status = read_add_bos(ctx, &files, &draft.add_bos)) != FR_OK ||
        (status = read_template(ctx, &files, &draft.chat_template)) != FR_OK) {
        goto out;
    }
    status = fr_tokenizer_build(ctx, &draft, out);
out:
    fr_token_draft_fini(&draft);
    close_files(&files);
    return status;
}
