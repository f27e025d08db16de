/* The JSON files of a folder that describe tokens, and lookups over them.
 *
 * A Hugging Face folder describes its tokens in several files, which overlap and come from different times. What is
 * there is loaded, and lookups answer which file counts; what an entry means is decided by the callers. The parsed
 * files stay until fr_token_files_close, since texts of the draft are views into them. */
#include "model/text/token_files.h"

#include "base/file.h"
#include "model/files/hf_json.h"
#include "model/text/token_files_impl.h"

#include <stdlib.h>
#include <string.h>

static fr_status load(fr_ctx *ctx, const char *path, json_t **out)
{
    FR_TRY(fr_hf_load(ctx, path, out));
    return json_is_object(*out)
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_FORMAT, "%s: not a JSON object", path);
}

/* A file that is absent leaves *out as it is (NULL); one that is there must be readable. */
static fr_status load_optional(fr_ctx *ctx, const char *folder, const char *name,
                               json_t **out)
{
    char *path = NULL;
    FR_TRY(fr_join_path(ctx, folder, name, &path));
    fr_status status = fr_file_exists(path) ? load(ctx, path, out) : FR_OK;
    free(path);
    return status;
}

/* added_tokens.json is the older form of the decoder list, so it counts only where that list is absent. */
fr_status fr_token_files_open(fr_ctx *ctx, const char *folder, fr_token_files *files)
{
    *files = (fr_token_files){.folder = folder};
    FR_TRY(fr_join_path(ctx, folder, "tokenizer.json", &files->path));
    FR_TRY(
        load_optional(ctx, folder, "tokenizer_config.json", &files->tokenizer_config));
    FR_TRY(load_optional(ctx, folder, "special_tokens_map.json",
                         &files->special_tokens_map));
    FR_TRY(load_optional(ctx, folder, "generation_config.json",
                         &files->generation_config));
    FR_TRY(load_optional(ctx, folder, "config.json", &files->config));
    return fr_token_files_decoder(files) != NULL
               ? FR_OK
               : load_optional(ctx, folder, "added_tokens.json", &files->added_tokens);
}

/* vocab.json, which older folders have beside merges.txt. Without that file only ids of ends are looked up in it, so a damaged
 * one is ignored. */
static fr_status load_vocabulary(fr_ctx *ctx, fr_token_files *files)
{
    char *merges = NULL;
    FR_TRY(fr_join_path(ctx, files->folder, "merges.txt", &merges));
    bool needed = fr_file_exists(merges);
    free(merges);
    fr_status status =
        load_optional(ctx, files->folder, "vocab.json", &files->vocabulary);
    if (!needed && (status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED)) {
        fr_ctx_clear_error(ctx);
        return FR_OK;
    }
    return status;
}

/* tokenizer.json is loaded apart from the others: the ends are wanted even of a folder without a usable tokenizer. */
fr_status fr_token_files_load(fr_ctx *ctx, fr_token_files *files)
{
    if (!fr_file_exists(files->path)) {
        FR_TRY(load_vocabulary(ctx, files));
        return fr_token_files_compose(ctx, files);
    }
    return load(ctx, files->path, &files->tokenizer);
}

void fr_token_files_close(fr_token_files *files)
{
    json_decref(files->tokenizer);
    json_decref(files->vocabulary);
    json_decref(files->tokenizer_config);
    json_decref(files->special_tokens_map);
    json_decref(files->added_tokens);
    json_decref(files->generation_config);
    json_decref(files->config);
    free(files->path);
    *files = (fr_token_files){0};
}

/* A borrowed reference, as all that follow. */
json_t *fr_token_files_decoder(const fr_token_files *files)
{
    json_t *decoder = json_object_get(files->tokenizer_config, "added_tokens_decoder");
    return json_is_null(decoder) ? NULL : decoder;
}

/* A string, or an object with "content"; NULL: absent or null. */
static const json_t *named_in(const json_t *file, const char *role)
{
    const json_t *named = json_object_get(file, role);
    named = json_is_object(named) ? json_object_get(named, "content") : named;
    return json_is_null(named) ? NULL : named;
}

/* Where two files name a role, the newer form wins: tokenizer_config.json if it has the decoder list. `nth` 1 gives the
 * other file's entry, for callers that collect both. */
const json_t *fr_token_files_named(const fr_token_files *files, const char *role,
                                   int nth, const char **file)
{
    const char *const names[] = {"special_tokens_map.json", "tokenizer_config.json"};
    const json_t *found[] = {named_in(files->special_tokens_map, role),
                             named_in(files->tokenizer_config, role)};
    int first = fr_token_files_decoder(files) != NULL ? 1 : 0;
    first = found[first] != NULL ? first : 1 - first;
    int chosen = nth == 0 ? first : 1 - first;
    *file = names[chosen];
    return found[chosen];
}

static bool is_text(const json_t *value, const char *text)
{
    const char *found = json_string_value(value);
    return found != NULL && strcmp(found, text) == 0;
}

/* Searches a list of objects (added_tokens), or of pairs (the vocabulary of a Unigram model, whose ids are positions). */
static int64_t find_in_list(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (is_text(json_array_get(item, 0), text)) {
            return (int64_t)i;
        }
        const json_t *id = json_object_get(item, "id");
        if (json_is_integer(id) && is_text(json_object_get(item, "content"), text)) {
            return json_integer_value(id);
        }
    }
    return -1;
}

/* The decoder's keys are ids written as texts. */
static int64_t find_in_decoder(json_t *decoder, const char *text)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(decoder, key, value)
    {
        if (is_text(json_object_get(value, "content"), text)) {
            return strtoll(key, NULL, 10);
        }
    }
    return -1;
}

static int64_t find_in_object(const json_t *vocabulary, const char *text)
{
    const json_t *id = json_object_get(vocabulary, text);
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

/* Added tokens first: an added token may have a text that the vocabulary has with another id. -1: not found. */
int64_t fr_token_files_find(const fr_token_files *files, const char *text)
{
    const json_t *vocabulary =
        json_object_get(json_object_get(files->tokenizer, "model"), "vocab");
    int64_t id = find_in_list(json_object_get(files->tokenizer, "added_tokens"), text);
    id = id >= 0 ? id : find_in_decoder(fr_token_files_decoder(files), text);
    id = id >= 0 ? id : find_in_object(files->added_tokens, text);
    id = id >= 0 ? id : find_in_object(vocabulary, text);
    id = id >= 0 ? id : find_in_list(vocabulary, text);
    return id >= 0 ? id : find_in_object(files->vocabulary, text);
}
