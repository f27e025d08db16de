/* Reads tokenizer.json into a draft. Everything in it that changes ids is either understood or refused by name: a setting that
 * is silently ignored would give other ids than the model was trained with. */
#include "model/text/tokenizer_json.h"

#include "base/mem.h"
#include "model/files/names.h"

#include <string.h>

/* A value of another type reads as an empty text, which no supported name equals. */
static const char *text_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? text : "";
}

bool fr_json_is_type(const json_t *object, const char *type)
{
    return strcmp(text_of(json_object_get(object, "type")), type) == 0;
}

bool fr_json_is_nothing(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* Files write an option that is not used as null, false, "" or 0, or leave it out. */
bool fr_json_is_off(const json_t *value)
{
    return fr_json_is_nothing(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) == 0.0);
}

fr_text fr_json_view(const json_t *value)
{
    return (fr_text){json_string_value(value), json_string_length(value)};
}

fr_status fr_json_refuse(fr_ctx *ctx, const char *path, const char *key,
                         const json_t *value, const char *supported)
{
    const char *type = text_of(json_object_get(value, "type"));
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: %s%s%s%s is not supported; supported: %s. Give rows as token ids "
        "(source_ids, target_ids)",
        path, key, *type != '\0' ? " '" : "", fr_show(fr_text_of(type)).text,
        *type != '\0' ? "'" : "", supported);
}

/* The id of a token of the vocabulary by its text; -1: there is none. */
static int64_t find_token(const json_t *vocab, const json_t *text)
{
    const json_t *id = json_object_get(vocab, text_of(text));
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

/* Each option in OFF changes how pieces become ids in a way that no model here does. */
static fr_status read_bpe(fr_ctx *ctx, const json_t *model, fr_token_draft *draft)
{
    static const char *const OFF[] = {"dropout", "continuing_subword_prefix",
                                      "end_of_word_suffix"};
    const json_t *unknown = json_object_get(model, "unk_token");
    for (size_t i = 0; i < sizeof OFF / sizeof OFF[0]; i++) {
        if (!fr_json_is_off(json_object_get(model, OFF[i]))) {
            return fr_json_refuse(ctx, draft->path, OFF[i], NULL, "off");
        }
    }
    draft->model = fr_splitter_is_byte_level(draft->splitter) ? FR_MODEL_BYTE_BPE
                                                              : FR_MODEL_CHAR_BPE;
    draft->byte_fallback = !fr_json_is_off(json_object_get(model, "byte_fallback"));
    draft->fuse_unknown = !fr_json_is_off(json_object_get(model, "fuse_unk"));
    draft->ignore_merges = !fr_json_is_off(json_object_get(model, "ignore_merges"));
    if (draft->model == FR_MODEL_BYTE_BPE && draft->byte_fallback) {
        return fr_json_refuse(ctx, draft->path, "byte_fallback", NULL,
                              "off with a ByteLevel pre_tokenizer");
    }
    if (draft->model == FR_MODEL_BYTE_BPE || fr_json_is_off(unknown)) {
        return FR_OK;
    }
    draft->unknown = find_token(json_object_get(model, "vocab"), unknown);
    return draft->unknown >= 0
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_FORMAT,
                         "%s: unk_token '%s' is not a token of the vocabulary",
                         draft->path, fr_show(fr_json_view(unknown)).text);
}

/* Neighbours that are unknown are always one id in this model. */
static fr_status read_unigram(fr_ctx *ctx, const json_t *model, fr_token_draft *draft)
{
    const json_t *unknown = json_object_get(model, "unk_id");
    if (fr_splitter_is_byte_level(draft->splitter)) {
        return fr_json_refuse(ctx, draft->path, "a Unigram model with ByteLevel", NULL,
                              "Unigram with Metaspace");
    }
    draft->model = FR_MODEL_UNIGRAM;
    draft->byte_fallback = !fr_json_is_off(json_object_get(model, "byte_fallback"));
    draft->fuse_unknown = true;
    if (fr_json_is_nothing(unknown)) {
        return FR_OK;
    }
    int64_t n = (int64_t)json_array_size(json_object_get(model, "vocab"));
    draft->unknown = json_integer_value(unknown);
    if (!json_is_integer(unknown) || draft->unknown < 0 || draft->unknown >= n) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: unk_id must be a token of the vocabulary (0 to %lld)",
                       draft->path, (long long)n - 1);
    }
    return FR_OK;
}

/* Files from before version 0.8 leave out the type of a BPE model. */
static fr_status read_model(fr_ctx *ctx, const json_t *model, fr_token_draft *draft)
{
    if (!json_is_object(model)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: the object 'model' is missing",
                       draft->path);
    }
    if (fr_json_is_type(model, "Unigram")) {
        return read_unigram(ctx, model, draft);
    }
    if (json_object_get(model, "type") != NULL && !fr_json_is_type(model, "BPE")) {
        return fr_json_refuse(ctx, draft->path, "model", model, "BPE, Unigram");
    }
    return read_bpe(ctx, model, draft);
}

/* "<0x0A>": a byte of a model with byte_fallback. */
static bool is_byte_token(fr_text text)
{
    static const char HEX[] = "0123456789ABCDEF";
    return text.bytes == sizeof "<0x0A>" - 1 && memcmp(text.data, "<0x", 3) == 0 &&
           strchr(HEX, text.data[3]) != NULL && strchr(HEX, text.data[4]) != NULL &&
           text.data[5] == '>';
}

/* Adds a token of the vocabulary to the draft. */
static fr_status set_token(fr_ctx *ctx, fr_token_draft *draft, int64_t capacity,
                           const json_t *id, fr_text text)
{
    json_int_t at = json_integer_value(id);
    if (!json_is_integer(id) || at < 0 || at >= capacity) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT,
            "%s: the id of the token '%s' must be a whole number from 0 to %d",
            draft->path, fr_show(text).text, FR_MAX_TOKEN_IDS - 1);
    }
    if (draft->texts[at].data != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the id %lld is given to '%s' and to '%s'", draft->path,
                       (long long)at, fr_show(draft->texts[at]).text,
                       fr_show(text).text);
    }
    draft->texts[at] = text;
    draft->kinds[at] =
        draft->byte_fallback && is_byte_token(text) ? FR_TOKEN_BYTE : FR_TOKEN_NORMAL;
    draft->n_tokens = at < draft->n_tokens ? draft->n_tokens : at + 1;
    return FR_OK;
}

static fr_status read_texts(fr_ctx *ctx, json_t *vocab, int64_t capacity,
                            fr_token_draft *draft)
{
    fr_status status = FR_OK;
    for (void *at = json_object_iter(vocab); at != NULL && status == FR_OK;
         at = json_object_iter_next(vocab, at)) {
        const char *key = json_object_iter_key(at);
        status = set_token(ctx, draft, capacity, json_object_iter_value(at),
                           (fr_text){key, strlen(key)});
    }
    return status;
}

/* [text, score] for each id. */
static fr_status read_scores(fr_ctx *ctx, const json_t *vocab, int64_t capacity,
                             fr_token_draft *draft)
{
    FR_TRY(fr_alloc(ctx, capacity, sizeof *draft->scores, &draft->scores));
    for (size_t i = 0; i < json_array_size(vocab); i++) {
        const json_t *item = json_array_get(vocab, i);
        fr_text text = fr_json_view(json_array_get(item, 0));
        const json_t *score = json_array_get(item, 1);
        if (text.data == NULL || !json_is_number(score)) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: model.vocab[%zu] must be a text and a score",
                           draft->path, i);
        }
        draft->texts[i] = text;
        draft->kinds[i] = draft->byte_fallback && is_byte_token(text) ? FR_TOKEN_BYTE
                                                                      : FR_TOKEN_NORMAL;
        draft->scores[i] = json_number_value(score);
    }
    draft->n_tokens = (int64_t)json_array_size(vocab);
    return FR_OK;
}

/* One more than the highest id that the files name, but at most what is allowed: an id beyond that is refused where it is
 * read. Ids may have gaps. */
static int64_t ids_end(const fr_token_files *files, json_t *vocab)
{
    int64_t end = (int64_t)json_array_size(vocab);
    int64_t added = fr_added_tokens_end(files);
    for (void *at = json_object_iter(vocab); at != NULL;
         at = json_object_iter_next(vocab, at)) {
        json_int_t id = json_integer_value(json_object_iter_value(at));
        end = id >= end && id < FR_MAX_TOKEN_IDS ? id + 1 : end;
    }
    end = added > end ? added : end;
    return end < FR_MAX_TOKEN_IDS ? end : FR_MAX_TOKEN_IDS;
}

static fr_status read_tokens(fr_ctx *ctx, const fr_token_files *files,
                             fr_token_draft *draft)
{
    json_t *vocab =
        json_object_get(json_object_get(files->tokenizer, "model"), "vocab");
    const json_t *added = json_object_get(files->tokenizer, "added_tokens");
    bool unigram = draft->model == FR_MODEL_UNIGRAM;
    if (unigram != json_is_array(vocab) || (!unigram && !json_is_object(vocab)) ||
        (!fr_json_is_nothing(added) && !json_is_array(added))) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: model.vocab must be %s and added_tokens a list",
                       draft->path, unigram ? "a list" : "an object");
    }
    int64_t capacity = ids_end(files, vocab);
    if (unigram && (int64_t)json_array_size(vocab) > capacity) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the vocabulary has %zu tokens; 1 to %d are allowed",
                       draft->path, json_array_size(vocab), FR_MAX_TOKEN_IDS);
    }
    FR_TRY(fr_alloc(ctx, capacity, sizeof *draft->texts, &draft->texts));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->kinds));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->late));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->how));
    FR_TRY(unigram ? read_scores(ctx, vocab, capacity, draft)
                   : read_texts(ctx, vocab, capacity, draft));
    return fr_added_tokens_read(ctx, files, capacity, draft);
}

/* "left right", with exactly one space, or ["left", "right"]. */
static bool read_merge(const json_t *merge, fr_merge_text *out)
{
    const json_t *left = json_array_get(merge, 0);
    const json_t *right = json_array_get(merge, 1);
    if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
        *out = (fr_merge_text){{json_string_value(left), json_string_length(left)},
                               {json_string_value(right), json_string_length(right)}};
        return true;
    }
    const char *text = text_of(merge);
    const char *space = strchr(text, ' ');
    if (space == NULL || strchr(space + 1, ' ') != NULL) {
        return false;
    }
    *out =
        (fr_merge_text){{text, (size_t)(space - text)}, {space + 1, strlen(space + 1)}};
    return true;
}

/* A merge's rank is its position in the list. */
static fr_status read_merges(fr_ctx *ctx, const json_t *merges, fr_token_draft *draft)
{
    if (!json_is_array(merges)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: model.merges must be a list",
                       draft->path);
    }
    int64_t n = (int64_t)json_array_size(merges);
    FR_TRY(fr_alloc(ctx, n, sizeof *draft->merges, &draft->merges));
    draft->n_merges = n;
    for (int64_t i = 0; i < n; i++) {
        if (!read_merge(json_array_get(merges, (size_t)i), &draft->merges[i])) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: model.merges[%lld] must be two tokens, as \"a b\" or "
                           "[\"a\", \"b\"]",
                           draft->path, (long long)i);
        }
    }
    return FR_OK;
}

/* What is not supported is found before the large lists are read. */
fr_status fr_tokenizer_read_json(fr_ctx *ctx, const fr_token_files *files,
                                 fr_token_draft *draft)
{
    const json_t *root = files->tokenizer;
    const json_t *model = json_object_get(root, "model");
    draft->unknown = -1;
    FR_TRY(
        fr_tokenizer_read_normalizer(ctx, json_object_get(root, "normalizer"), draft));
    FR_TRY(
        fr_tokenizer_read_splitter(ctx, json_object_get(root, "pre_tokenizer"), draft));
    FR_TRY(read_model(ctx, model, draft));
    FR_TRY(fr_tokenizer_read_decoder(ctx, json_object_get(root, "decoder"), draft));
    FR_TRY(read_tokens(ctx, files, draft));
    return draft->model == FR_MODEL_UNIGRAM
               ? FR_OK
               : read_merges(ctx, json_object_get(model, "merges"), draft);
}
