/* Reads tokenizer.json into a draft. Everything in it that changes ids is either understood or refused by name: a setting that
 * is silently ignored would give other ids than the model was trained with. */
#include "model/text/tokenizer_json.h"

#include "base/mem.h"

#include <string.h>

/* A value of another type reads as an empty text, which no supported name equals. */
static const char *text_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? text : "";
}

static bool is_type(const json_t *object, const char *type)
{
    return strcmp(text_of(json_object_get(object, "type")), type) == 0;
}

/* Absent or null. */
static bool is_nothing(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

static fr_status fail_unsupported(fr_ctx *ctx, const fr_token_draft *draft,
                                  const char *key, const json_t *value,
                                  const char *supported)
{
    const char *type = text_of(json_object_get(value, "type"));
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "%s: %s%s%s%s is not supported; supported: %s. Give rows as token "
                   "ids (source_ids, "
                   "target_ids)",
                   draft->path, key, *type != '\0' ? " '" : "", type,
                   *type != '\0' ? "'" : "", supported);
}

/* A ByteLevel step as GPT-2 has it: the gpt-2 rule, without a space put in front. */
static bool is_gpt2_step(const json_t *step)
{
    const json_t *use_regex = json_object_get(step, "use_regex");
    return is_type(step, "ByteLevel") &&
           json_is_false(json_object_get(step, "add_prefix_space")) &&
           (use_regex == NULL || json_is_true(use_regex));
}

/* Every digit is a piece of its own. */
static bool is_digits_step(const json_t *step)
{
    return is_type(step, "Digits") &&
           json_is_true(json_object_get(step, "individual_digits"));
}

/* Only exact compositions are known: another step, or another order of steps, splits in another way. */
static fr_status read_rule(fr_ctx *ctx, const json_t *root, fr_token_draft *draft)
{
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    const json_t *steps = json_object_get(pre, "pretokenizers");
    if (is_gpt2_step(pre)) {
        draft->rule = FR_SPLIT_GPT2;
        return FR_OK;
    }
    if (is_type(pre, "Sequence") && json_array_size(steps) == 2 &&
        is_digits_step(json_array_get(steps, 0)) &&
        is_gpt2_step(json_array_get(steps, 1))) {
        draft->rule = FR_SPLIT_SMOLLM;
        return FR_OK;
    }
    return fail_unsupported(ctx, draft, "pre_tokenizer", pre,
                            "ByteLevel (gpt-2) and Sequence of Digits with "
                            "individual_digits and ByteLevel (smollm), with "
                            "add_prefix_space false and use_regex true");
}

/* Refuses parts that would change or add ids. A ByteLevel post-processor only moves offsets. */
static fr_status check_frame(fr_ctx *ctx, const json_t *root,
                             const fr_token_draft *draft)
{
    const json_t *normalizer = json_object_get(root, "normalizer");
    const json_t *post = json_object_get(root, "post_processor");
    if (!is_nothing(normalizer)) {
        return fail_unsupported(ctx, draft, "normalizer", normalizer, "null");
    }
    if (!is_nothing(post) && !is_type(post, "ByteLevel")) {
        return fail_unsupported(ctx, draft, "post_processor", post, "null, ByteLevel");
    }
    return FR_OK;
}

/* Files write an option that is not used as null, false, "" or 0, or leave it out. */
bool fr_json_is_off(const json_t *value)
{
    return is_nothing(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) == 0.0);
}

/* Each option in OFF changes how pieces become ids; bpe.c implements none of them. */
static fr_status check_model(fr_ctx *ctx, const json_t *model,
                             const fr_token_draft *draft)
{
    static const char *const OFF[] = {"dropout", "continuing_subword_prefix",
                                      "end_of_word_suffix", "byte_fallback",
                                      "ignore_merges"};
    if (!json_is_object(model)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: the object 'model' is missing",
                       draft->path);
    }
    /* Files from before version 0.8 leave out the type of a BPE model. */
    if (json_object_get(model, "type") != NULL && !is_type(model, "BPE")) {
        return fail_unsupported(ctx, draft, "model", model, "BPE");
    }
    for (size_t i = 0; i < sizeof OFF / sizeof OFF[0]; i++) {
        if (!fr_json_is_off(json_object_get(model, OFF[i]))) {
            return fail_unsupported(ctx, draft, OFF[i], NULL, "off");
        }
    }
    return FR_OK;
}

/* Adds a token of the vocabulary to the draft. */
static fr_status set_token(fr_ctx *ctx, fr_token_draft *draft, int64_t capacity,
                           const json_t *id, fr_text text)
{
    json_int_t at = json_integer_value(id);
    if (!json_is_integer(id) || at < 0 || at >= capacity) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the id of the token '%.60s' must be a whole number from 0 "
                       "to %lld, one less than there are tokens",
                       draft->path, text.data, (long long)capacity - 1);
    }
    if (draft->texts[at].data != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the id %lld is given to '%.60s' and to '%.60s'",
                       draft->path, (long long)at, draft->texts[at].data, text.data);
    }
    draft->texts[at] = text;
    draft->kinds[at] = FR_TOKEN_NORMAL;
    draft->n_tokens = at < draft->n_tokens ? draft->n_tokens : at + 1;
    return FR_OK;
}

/* Ids index arrays, so they must lie below the number of tokens that the files can describe. Gaps between ids are
 * refused in tokenizer_build.c. */
static fr_status read_tokens(fr_ctx *ctx, const fr_token_files *files,
                             fr_token_draft *draft)
{
    json_t *vocab =
        json_object_get(json_object_get(files->tokenizer, "model"), "vocab");
    const json_t *added = json_object_get(files->tokenizer, "added_tokens");
    if (!json_is_object(vocab) || (!is_nothing(added) && !json_is_array(added))) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: model.vocab must be an object and added_tokens a list",
                       draft->path);
    }
    int64_t capacity =
        (int64_t)json_object_size(vocab) + fr_added_tokens_capacity(files);
    FR_TRY(fr_alloc(ctx, capacity, sizeof *draft->texts, &draft->texts));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->kinds));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->late));
    fr_status status = FR_OK;
    for (void *at = json_object_iter(vocab); at != NULL && status == FR_OK;
         at = json_object_iter_next(vocab, at)) {
        const char *key = json_object_iter_key(at);
        status = set_token(ctx, draft, capacity, json_object_iter_value(at),
                           (fr_text){key, strlen(key)});
    }
    return status == FR_OK ? fr_added_tokens_read(ctx, files, capacity, draft) : status;
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
    FR_TRY(check_model(ctx, model, draft));
    FR_TRY(check_frame(ctx, root, draft));
    FR_TRY(read_rule(ctx, root, draft));
    FR_TRY(read_tokens(ctx, files, draft));
    return read_merges(ctx, json_object_get(model, "merges"), draft);
}
