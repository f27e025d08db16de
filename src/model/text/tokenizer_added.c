/* The added tokens of a Hugging Face folder, merged from all files that describe them.
 *
 * read_list, read_decoder, read_texts and read_parts read one source each, in this order, and enter() merges a token into the
 * draft. Sources must agree: an id has one text, and a text one id. A token that is already there may be repeated; the first
 * source that adds it decides in which pass it is searched (`late`) and how (`how`), and a source can make it special but not plain again.
 * tokenizer.json alone may not repeat one of its own added tokens.
 *
 * Texts are looked up in a map that is built only when a token is added that is not in the vocabulary (need_map). */
#include "base/mem.h"
#include "model/text/tokenizer_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reading one folder. */
typedef struct adding {
    fr_ctx *ctx;
    const fr_token_files *files;
    fr_token_draft *draft;
    int64_t capacity;
    const char *source;  /* the file and key, for messages; NULL: tokenizer.json */
    fr_text_map by_text; /* ids of the draft's texts; slots NULL: not built yet */
} adding;

/* One added token. */
typedef struct added {
    int64_t id;
    fr_text text;
    bool special;
    bool late;
    uint8_t how; /* FR_SPECIAL_* */
} added;

static int64_t number_of(const char *key)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(key, &end, 10);
    return end != key && *end == '\0' && errno == 0 ? number : -1;
}

static void raise_end(int64_t *end, int64_t id)
{
    *end = id >= *end && id < FR_MAX_TOKEN_IDS ? id + 1 : *end;
}

int64_t fr_added_tokens_end(const fr_token_files *files)
{
    const json_t *list = json_object_get(files->tokenizer, "added_tokens");
    const char *key = NULL;
    json_t *value = NULL;
    int64_t end = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        raise_end(&end,
                  json_integer_value(json_object_get(json_array_get(list, i), "id")));
    }
    json_object_foreach(fr_token_files_decoder(files), key, value)
    {
        raise_end(&end, number_of(key));
    }
    json_object_foreach(files->added_tokens, key, value)
    {
        raise_end(&end, json_integer_value(value));
    }
    return end;
}

static fr_status fail_two_texts(const adding *a, const added *token)
{
    return FR_FAIL(
        a->ctx, FR_ERR_FORMAT, "%s: the id %lld is given to '%.60s' and to '%.60s'%s%s",
        a->draft->path, (long long)token->id, a->draft->texts[token->id].data,
        token->text.data, a->source != NULL ? ", the latter in " : "",
        a->source != NULL ? a->source : "");
}

static bool is_same(fr_text a, fr_text b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static fr_status need_map(adding *a)
{
    const fr_token_draft *draft = a->draft;
    if (a->by_text.slots != NULL) {
        return FR_OK;
    }
    FR_TRY(fr_text_map_init(a->ctx, &a->by_text, a->capacity));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->texts[i].data != NULL) {
            (void)fr_text_map_add(&a->by_text, draft->texts[i], (int32_t)i);
        }
    }
    return FR_OK;
}

/* Refuses a text that another id has. */
static fr_status check_new_text(adding *a, const added *token)
{
    FR_TRY(need_map(a));
    int32_t there = fr_text_map_add(&a->by_text, token->text, (int32_t)token->id);
    if (there != token->id) {
        return FR_FAIL(a->ctx, FR_ERR_FORMAT,
                       "%s: the token '%.60s' has the id %d, but %s gives it %lld; %s",
                       a->draft->path, token->text.data, (int)there,
                       a->source != NULL ? a->source : "added_tokens",
                       (long long)token->id,
                       a->source != NULL ? "make the files agree" : "make them agree");
    }
    return FR_OK;
}

/* Merges a token into the draft. */
static fr_status enter(adding *a, const added *token)
{
    fr_token_draft *draft = a->draft;
    if (token->text.bytes == 0) {
        return FR_OK; /* never found, as in the reference */
    }
    if (token->id < 0 || token->id >= a->capacity || token->id > INT32_MAX) {
        return FR_FAIL(a->ctx, FR_ERR_FORMAT,
                       "%s: the id of the token '%.60s' must be a whole number from 0 "
                       "to %d",
                       a->source != NULL ? a->source : draft->path, token->text.data,
                       FR_MAX_TOKEN_IDS - 1);
    }
    fr_text *text = &draft->texts[token->id];
    uint8_t *kind = &draft->kinds[token->id];
    if (text->data != NULL && !is_same(*text, token->text)) {
        return fail_two_texts(a, token);
    }
    if (text->data != NULL && a->source == NULL && *kind != FR_TOKEN_NORMAL) {
        return fail_two_texts(a, token);
    }
    if (text->data == NULL) {
        FR_TRY(check_new_text(a, token));
    }
    if (*kind != FR_TOKEN_ADDED && *kind != FR_TOKEN_SPECIAL) {
        draft->late[token->id] = token->late ? 1 : 0;
        draft->how[token->id] = token->how;
    }
    *text = token->text;
    *kind =
        token->special || *kind == FR_TOKEN_SPECIAL ? FR_TOKEN_SPECIAL : FR_TOKEN_ADDED;
    draft->n_tokens = token->id < draft->n_tokens ? draft->n_tokens : token->id + 1;
    return FR_OK;
}

/* Reads the text and the flags of an object, which both files write alike. */
static fr_status read_object(const adding *a, const json_t *object, added *out)
{
    static const struct {
        const char *key;
        uint8_t flag;
    } FLAGS[] = {{"lstrip", FR_SPECIAL_LSTRIP},
                 {"rstrip", FR_SPECIAL_RSTRIP},
                 {"single_word", FR_SPECIAL_SINGLE_WORD}};
    const char *source = a->source != NULL ? a->source : a->draft->path;
    const json_t *content = json_object_get(object, "content");
    if (!json_is_string(content)) {
        return FR_FAIL(a->ctx, FR_ERR_FORMAT,
                       "%s: an item of %s must have a string 'content'", source,
                       a->source != NULL ? "it" : "added_tokens");
    }
    out->text = (fr_text){json_string_value(content), json_string_length(content)};
    for (size_t i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
        if (!fr_json_is_off(json_object_get(object, FLAGS[i].key))) {
            out->how |= FLAGS[i].flag;
        }
    }
    return FR_OK;
}

/* A token of tokenizer.json is special unless it says false. */
static fr_status read_list(adding *a)
{
    const json_t *list = json_object_get(a->files->tokenizer, "added_tokens");
    a->source = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        const json_t *id = json_object_get(object, "id");
        added token = {.id = json_is_integer(id) ? json_integer_value(id) : -1,
                       .special = !json_is_false(json_object_get(object, "special")),
                       .late = json_is_true(json_object_get(object, "normalized"))};
        FR_TRY(read_object(a, object, &token));
        FR_TRY(enter(a, &token));
    }
    return FR_OK;
}

/* Without `normalized`, special tokens are searched in the first pass and others in the second. */
static fr_status read_decoder(adding *a)
{
    json_t *decoder = fr_token_files_decoder(a->files);
    const char *key = NULL;
    json_t *object = NULL;
    a->source = "added_tokens_decoder of tokenizer_config.json";
    json_object_foreach(decoder, key, object)
    {
        const json_t *late = json_object_get(object, "normalized");
        bool special = json_is_true(json_object_get(object, "special"));
        added token = {.id = number_of(key),
                       .special = special,
                       .late = json_is_boolean(late) ? json_is_true(late) : !special};
        FR_TRY(read_object(a, object, &token));
        FR_TRY(enter(a, &token));
    }
    return FR_OK;
}

/* The oldest form has only texts and ids; its tokens are plain and belong to the second pass. */
static fr_status read_texts(adding *a)
{
    const char *key = NULL;
    json_t *id = NULL;
    a->source = "added_tokens.json";
    json_object_foreach(a->files->added_tokens, key, id)
    {
        added token = {.id = json_is_integer(id) ? json_integer_value(id) : -1,
                       .text = {key, strlen(key)},
                       .late = true};
        FR_TRY(enter(a, &token));
    }
    return FR_OK;
}

/* Makes a token that has a role special. A role that names an unknown token does not add it. */
static fr_status make_special(adding *a, const json_t *named)
{
    named = json_is_object(named) ? json_object_get(named, "content") : named;
    if (!json_is_string(named)) {
        return FR_OK;
    }
    FR_TRY(need_map(a));
    fr_text text = {json_string_value(named), json_string_length(named)};
    int32_t id = fr_text_map_find(&a->by_text, text);
    if (id < 0) {
        return FR_OK;
    }
    if (a->draft->kinds[id] == FR_TOKEN_NORMAL ||
        json_object_get(a->files->added_tokens, text.data) != NULL) {
        a->draft->late[id] = 0;
    }
    a->draft->kinds[id] = FR_TOKEN_SPECIAL;
    return FR_OK;
}

static fr_status read_parts(adding *a)
{
    static const char *const PARTS[] = {"bos_token", "eos_token"};
    static const char MORE[] = "additional_special_tokens";
    const char *file = NULL;
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        FR_TRY(make_special(a, fr_token_files_named(a->files, PARTS[i], 0, &file)));
    }
    const json_t *list = fr_token_files_named(a->files, MORE, 0, &file);
    for (size_t i = 0; i < json_array_size(list); i++) {
        FR_TRY(make_special(a, json_array_get(list, i)));
    }
    return FR_OK;
}

fr_status fr_added_tokens_read(fr_ctx *ctx, const fr_token_files *files,
                               int64_t capacity, fr_token_draft *draft)
{
    adding a = {.ctx = ctx, .files = files, .draft = draft, .capacity = capacity};
    const json_t *decoder = fr_token_files_decoder(files);
    if (decoder != NULL && !json_is_object(decoder)) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT,
            "%s/tokenizer_config.json: added_tokens_decoder must be an object",
            files->folder);
    }
    fr_status status = read_list(&a);
    if (status == FR_OK) {
        status = read_decoder(&a);
    }
    if (status == FR_OK) {
        status = read_texts(&a);
    }
    if (status == FR_OK) {
        status = read_parts(&a);
    }
    fr_text_map_fini(&a.by_text);
    return status;
}
