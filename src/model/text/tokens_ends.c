/* Reads the ends from a folder or a GGUF file, also if its tokenizer cannot be used: a run on rows of ids needs them too. Then
 * ChatML's end token is looked up in the files' own lists. */
#define _GNU_SOURCE /* memmem */
#include "model/text/tokens_ends.h"

#include "model/files/names.h"

#include <stdlib.h>
#include <string.h>

/* The markers of ChatML, whose end marker ends a text wherever a template writes both. */
static const char CHATML_START[] = "<|im_start|>";
static const char CHATML_END[] = "<|im_end|>";

/* A cheap look at the template's text. */
static bool is_chatml(fr_text template)
{
    return template.bytes > 0 &&
           memmem(template.data, template.bytes, CHATML_START,
                  sizeof CHATML_START - 1) != NULL &&
           memmem(template.data, template.bytes, CHATML_END, sizeof CHATML_END - 1) !=
               NULL;
}

/* The end marker where the template is ChatML and the tokenizer has it; else -1. */
static int32_t chat_end_of(const fr_tokenizer *tokenizer)
{
    const char *template = fr_tokenizer_chat_template(tokenizer);
    return template != NULL && is_chatml(fr_text_of(template))
               ? fr_tokenizer_marker(tokenizer, CHATML_END)
               : -1;
}

/* ---- a folder ------------------------------------------------------------------------------- */

/* Reading one folder's ends. */
typedef struct reading {
    fr_ctx *ctx;
    const fr_token_files *files;
    fr_ends *out;
} reading;

static fr_status fail_id(const reading *r, const char *file, const char *key)
{
    return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                   "%s/%s: %s must be a token id or a list of token ids",
                   r->files->folder, file, key);
}

/* Adds a number or a list of numbers; the first becomes `eos` if it is not set yet. */
static fr_status add_numbers(const reading *r, const json_t *config, const char *file)
{
    static const char KEY[] = "eos_token_id";
    const json_t *value = json_object_get(config, KEY);
    bool is_list = json_is_array(value);
    size_t n = is_list ? json_array_size(value) : 1;
    if (value == NULL || json_is_null(value)) {
        return FR_OK;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *number = is_list ? json_array_get(value, i) : value;
        if (!json_is_integer(number)) {
            return fail_id(r, file, KEY);
        }
        int32_t id = fr_named_id(json_integer_value(number));
        r->out->eos = r->out->eos >= 0 ? r->out->eos : id;
        FR_TRY(fr_ends_add(r->ctx, r->files->folder, id, r->out));
    }
    return FR_OK;
}

/* Adds the tokens that tokenizer_config.json and special_tokens_map.json name by text. */
static fr_status add_named(const reading *r, bool has_tokenizer)
{
    static const char PART[] = "eos_token";
    for (int nth = 0; nth < 2; nth++) {
        const char *file = NULL;
        const json_t *named = fr_token_files_named(r->files, PART, nth, &file);
        const char *text = json_string_value(named);
        int32_t id = -1;
        if (text != NULL) {
            id = fr_named_id(fr_token_files_find(r->files, text));
        }
        /* only the entry that counts must be right; the other file may be a leftover of an older version */
        if (named != NULL && id < 0 && nth == 0 && has_tokenizer) {
            return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                           "%s/%s: %s must name a token of the vocabulary",
                           r->files->folder, file, PART);
        }
        r->out->eos = r->out->eos >= 0 ? r->out->eos : id;
        FR_TRY(fr_ends_add(r->ctx, r->files->folder, id, r->out));
    }
    return FR_OK;
}

static fr_status add_chat_end(const reading *r)
{
    char *template = NULL;
    FR_TRY(fr_token_files_template(r->ctx, r->files, &template));
    int64_t id = -1;
    if (template != NULL && is_chatml(fr_text_of(template))) {
        id = fr_token_files_find(r->files, CHATML_END);
    }
    free(template);
    return fr_ends_add(r->ctx, r->files->folder, fr_named_id(id), r->out);
}

/* The order decides which id becomes `eos`: a token that is named by text, then generation_config, then config. */
fr_status fr_ends_read_folder(fr_ctx *ctx, const fr_token_files *files,
                              const fr_tokenizer *tokenizer, fr_ends *out)
{
    reading r = {ctx, files, out};
    *out = FR_NO_ENDS;
    FR_TRY(add_named(&r, tokenizer != NULL));
    FR_TRY(add_numbers(&r, files->generation_config, "generation_config.json"));
    FR_TRY(add_numbers(&r, files->config, "config.json"));
    return tokenizer != NULL
               ? fr_ends_add(ctx, files->folder, chat_end_of(tokenizer), out)
               : add_chat_end(&r);
}

/* ---- a GGUF file ---------------------------------------------------------------------------- */

static fr_status read_id(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                         int32_t *out)
{
    int64_t number = -1;
    if (fr_gguf_find(gguf, key) != NULL && !fr_gguf_get_int(gguf, key, &number)) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s must be a token id",
                       fr_gguf_path(gguf), key);
    }
    *out = fr_named_id(number);
    return FR_OK;
}

/* ChatML's end token of a file whose tokenizer cannot be used. */
static fr_status find_chat_end(fr_ctx *ctx, const fr_gguf *gguf, int32_t *out)
{
    static const char TOKENS[] = "tokenizer.ggml.tokens";
    fr_text template = {NULL, 0};
    fr_text *texts = NULL;
    int64_t n = 0;
    if (!fr_gguf_get_text(gguf, "tokenizer.chat_template", &template) ||
        !is_chatml(template) || fr_gguf_find(gguf, TOKENS) == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_gguf_get_texts(ctx, gguf, TOKENS, &texts, &n));
    for (int64_t i = 0; i < n && i < INT32_MAX && *out < 0; i++) {
        *out = fr_text_is(texts[i], CHATML_END) ? (int32_t)i : -1;
    }
    free(texts);
    return FR_OK;
}

fr_status fr_ends_read_gguf(fr_ctx *ctx, const fr_gguf *gguf,
                            const fr_tokenizer *tokenizer, fr_ends *out)
{
    static const char *const KEYS[] = {"tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const char *path = fr_gguf_path(gguf);
    int32_t chat = -1;
    *out = FR_NO_ENDS;
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        int32_t id = -1;
        FR_TRY(read_id(ctx, gguf, KEYS[i], &id));
        out->eos = i == 0 ? id : out->eos;
        FR_TRY(fr_ends_add(ctx, path, id, out));
    }
    if (tokenizer != NULL) {
        chat = chat_end_of(tokenizer);
    } else {
        FR_TRY(find_chat_end(ctx, gguf, &chat));
    }
    return fr_ends_add(ctx, path, chat, out);
}
