/* Reads tokenizer.ggml.* of a GGUF file into a draft.
 *
 * The order is: the kind of tokenizer, the splitting rule, tokens and their kinds, merges, then BOS and chat template.
 * Only what one key says by itself is checked here; tokenizer_build.c checks what must fit together. Status codes
 * separate three cases: no tokenizer (FR_ERR_DATA), one that is not supported (FR_ERR_UNSUPPORTED), and a damaged file
 * (FR_ERR_FORMAT). The first two leave the model usable with rows of ids.
 *
 * Texts of the draft are views into the open file, so the file must stay open until the tokenizer is built. */
#include "base/mem.h"
#include "model/text/tokenizer_impl.h"
#include "model/text/tokenizer_read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* tokenizer.ggml.token_type */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED };

/* Texts of a GGUF file do not end with NUL. */
static bool text_is(fr_text text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.data, word, text.bytes) == 0;
}

/* Up to 60 bytes of a text for a message, as the arguments of "%.*s": the message stays on a line or two. */
enum { SHOWN = 60 };
static int shown(fr_text text)
{
    return text.bytes < SHOWN ? (int)text.bytes : SHOWN;
}

static fr_status fail_type(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                           const char *wanted)
{
    return FR_FAIL(ctx, FR_ERR_FORMAT, "%s: %s must be %s", fr_gguf_path(gguf), key,
                   wanted);
}

/* Absent: data NULL. A key that is there with another type means a damaged file and is an error. */
static fr_status get_optional_text(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                                   fr_text *out)
{
    *out = (fr_text){NULL, 0};
    if (fr_gguf_find(gguf, key) != NULL && !fr_gguf_get_text(gguf, key, out)) {
        return fail_type(ctx, gguf, key, "a string");
    }
    return FR_OK;
}

/* GGUF names byte-level BPE "gpt2", whatever the model's own architecture is. */
static fr_status check_model(fr_ctx *ctx, const fr_gguf *gguf)
{
    fr_text model;
    FR_TRY(get_optional_text(ctx, gguf, "tokenizer.ggml.model", &model));
    if (model.data == NULL) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "%s has no tokenizer (tokenizer.ggml.model is absent); give "
                       "rows as token ids (source_ids, target_ids)",
                       fr_gguf_path(gguf));
    }
    if (!text_is(model, "gpt2")) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "%s: tokenizer.ggml.model is '%.*s'; supported: gpt2 (byte-level BPE). "
            "Give rows as token ids (source_ids, target_ids)",
            fr_gguf_path(gguf), shown(model), model.data);
    }
    return FR_OK;
}

/* Old files, and converters that did not know the model, do not name a rule. The rule is clear only for the architecture that
 * the gpt-2 rule comes from. */
static bool is_unnamed_gpt2(const fr_gguf *gguf, fr_text pre)
{
    fr_text architecture;
    return (pre.data == NULL || text_is(pre, "default")) &&
           fr_gguf_get_text(gguf, "general.architecture", &architecture) &&
           text_is(architecture, "gpt2");
}

/* A wrong rule would give other ids without an error, so a rule that is not known is refused. */
static fr_status read_rule(fr_ctx *ctx, const fr_gguf *gguf, fr_split_rule *out)
{
    fr_text pre;
    FR_TRY(get_optional_text(ctx, gguf, "tokenizer.ggml.pre", &pre));
    for (fr_split_rule rule = FR_SPLIT_GPT2; rule <= FR_SPLIT_SMOLLM; rule++) {
        if (pre.data != NULL && text_is(pre, fr_split_rule_name(rule))) {
            *out = rule;
            return FR_OK;
        }
    }
    if (is_unnamed_gpt2(gguf, pre)) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: tokenizer.ggml.pre does not name a splitting rule; gpt-2 is used",
               fr_gguf_path(gguf));
        *out = FR_SPLIT_GPT2;
        return FR_OK;
    }
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: the splitting rule '%.*s' (tokenizer.ggml.pre) is not supported; "
        "supported: gpt-2, smollm. Give rows as token ids (source_ids, target_ids)",
        fr_gguf_path(gguf), shown(pre), pre.data != NULL ? pre.data : "");
}

/* FR_TOKEN_MISSING: not a type of byte-level BPE. */
static fr_token_kind kind_of(int64_t type)
{
    switch (type) {
    case NORMAL:
        return FR_TOKEN_NORMAL;
    case UNKNOWN:
    case CONTROL:
        return FR_TOKEN_SPECIAL;
    case USER_DEFINED:
        return FR_TOKEN_ADDED;
    case UNUSED:
        return FR_TOKEN_UNUSED;
    default:
        return FR_TOKEN_MISSING;
    }
}

static fr_status set_kinds(fr_ctx *ctx, const fr_gguf *gguf, const int64_t *types,
                           int64_t n, fr_token_draft *draft)
{
    if (n != draft->n_tokens) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tokenizer.ggml.token_type has %" PRId64 " items, but there "
                       "are %" PRId64 " tokens",
                       fr_gguf_path(gguf), n, draft->n_tokens);
    }
    for (int64_t i = 0; i < n; i++) {
        fr_token_kind kind = kind_of(types[i]);
        if (kind == FR_TOKEN_MISSING) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: tokenizer.ggml.token_type[%" PRId64 "] is %" PRId64
                           "; byte-level BPE has the types 1 to 5",
                           fr_gguf_path(gguf), i, types[i]);
        }
        draft->kinds[i] = (uint8_t)kind;
    }
    return FR_OK;
}

/* Without the list of types all tokens are normal. */
static fr_status read_tokens(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    static const char TYPES[] = "tokenizer.ggml.token_type";
    int64_t *types = NULL;
    int64_t n_types = 0;
    FR_TRY(fr_gguf_get_texts(ctx, gguf, "tokenizer.ggml.tokens", &draft->texts,
                             &draft->n_tokens));
    FR_TRY(fr_alloc(ctx, draft->n_tokens, 1, &draft->kinds));
    memset(draft->kinds, FR_TOKEN_NORMAL, (size_t)draft->n_tokens);
    if (fr_gguf_find(gguf, TYPES) == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_gguf_get_ints(ctx, gguf, TYPES, &types, &n_types));
    fr_status status = set_kinds(ctx, gguf, types, n_types, draft);
    free(types);
    return status;
}

/* "left right": written tokens do not contain spaces, so there is exactly one. */
static bool split_merge(fr_text text, fr_merge_text *out)
{
    const char *space = text.bytes > 0 ? memchr(text.data, ' ', text.bytes) : NULL;
    if (space == NULL) {
        return false;
    }
    size_t left = (size_t)(space - text.data);
    *out = (fr_merge_text){{text.data, left}, {space + 1, text.bytes - left - 1}};
    return memchr(space + 1, ' ', out->right.bytes) == NULL;
}

/* A merge's rank is its position in the list. Only the list is freed: the texts are views into the file. */
static fr_status read_merges(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    fr_text *texts = NULL;
    int64_t n = 0;
    FR_TRY(fr_gguf_get_texts(ctx, gguf, "tokenizer.ggml.merges", &texts, &n));
    fr_status status = fr_alloc(ctx, n, sizeof *draft->merges, &draft->merges);
    draft->n_merges = status == FR_OK ? n : 0;
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        if (!split_merge(texts[i], &draft->merges[i])) {
            status =
                FR_FAIL(ctx, FR_ERR_FORMAT,
                        "%s: tokenizer.ggml.merges[%" PRId64 "] is '%.*s'; a merge "
                        "is two tokens with one space between",
                        fr_gguf_path(gguf), i, shown(texts[i]), texts[i].data);
        }
    }
    free(texts);
    return status;
}

/* The text of a token that the file names by its id, as chat templates see it. */
static fr_text token_name(const fr_gguf *gguf, const char *key,
                          const fr_token_draft *draft)
{
    int64_t id = -1;
    bool named = fr_gguf_find(gguf, key) != NULL && fr_gguf_get_int(gguf, key, &id);
    return named && id >= 0 && id < draft->n_tokens ? draft->texts[id]
                                                    : (fr_text){NULL, 0};
}

static fr_status read_rest(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    static const char ADD_BOS[] = "tokenizer.ggml.add_bos_token";
    static const char BOS[] = "tokenizer.ggml.bos_token_id";
    fr_text template;
    if (fr_gguf_find(gguf, ADD_BOS) != NULL &&
        !fr_gguf_get_bool(gguf, ADD_BOS, &draft->add_bos)) {
        return fail_type(ctx, gguf, ADD_BOS, "true or false");
    }
    /* an id that is not used need not be valid */
    if (draft->add_bos && fr_gguf_find(gguf, BOS) != NULL &&
        !fr_gguf_get_int(gguf, BOS, &draft->bos)) {
        return fail_type(ctx, gguf, BOS, "a token id");
    }
    draft->bos_token = token_name(gguf, BOS, draft);
    draft->eos_token = token_name(gguf, "tokenizer.ggml.eos_token_id", draft);
    FR_TRY(get_optional_text(ctx, gguf, "tokenizer.chat_template", &template));
    return template.data == NULL ? FR_OK
                                 : fr_template_copy(ctx, "tokenizer.chat_template",
                                                    template, &draft->chat_template);
}

fr_status fr_tokenizer_read_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_tokenizer **out)
{
    fr_token_draft draft = {.path = fr_gguf_path(gguf), .bos = -1};
    *out = NULL;
    fr_status status = check_model(ctx, gguf);
    if (status != FR_OK || (status = read_rule(ctx, gguf, &draft.rule)) != FR_OK ||
        (status = read_tokens(ctx, gguf, &draft)) != FR_OK ||
        (status = read_merges(ctx, gguf, &draft)) != FR_OK ||
        (status = read_rest(ctx, gguf, &draft)) != FR_OK) {
        goto out;
    }
    status = fr_tokenizer_build(ctx, &draft, out);
out:
    fr_token_draft_fini(&draft);
    return status;
}
