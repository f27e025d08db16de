/* Reads tokenizer.ggml.* of a GGUF file into a draft.
 *
 * The order is: the kind of tokenizer, the splitting rule, tokens and their kinds (tokenizer_gguf_tokens.c), what only some kinds
 * have (merges, or tokenizer_gguf_spaces.c), then BOS and chat template. Only what one key says by itself is checked here;
 * tokenizer_build.c checks what must fit together. Status codes separate three cases: no tokenizer (FR_ERR_DATA), one that is not
 * supported (FR_ERR_UNSUPPORTED), and a damaged file (FR_ERR_FORMAT). The first two leave the model usable with rows of ids.
 *
 * Texts of the draft are views into the open file, so the file must stay open until the tokenizer is built. */
#include "model/text/tokenizer_gguf.h"

#include "model/text/tokenizer_read.h"

#include <stdlib.h>
#include <string.h>

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

/* A key that is there with another type means a damaged file and is an error. */
fr_status fr_gguf_optional_text(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                                fr_text *out)
{
    *out = (fr_text){NULL, 0};
    if (fr_gguf_find(gguf, key) != NULL && !fr_gguf_get_text(gguf, key, out)) {
        return fail_type(ctx, gguf, key, "a string");
    }
    return FR_OK;
}

fr_status fr_gguf_optional_bool(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                                bool *out)
{
    if (fr_gguf_find(gguf, key) != NULL && !fr_gguf_get_bool(gguf, key, out)) {
        return fail_type(ctx, gguf, key, "true or false");
    }
    return FR_OK;
}

/* GGUF names a tokenizer after the first model that had it, whatever the model's own architecture is. */
static const struct {
    const char *name;
    fr_token_model model;
    bool add_bos;        /* where the file does not say */
    int64_t default_bos; /* likewise; -1: none */
} MODELS[] = {{"gpt2", FR_MODEL_BYTE_BPE, false, -1},
              {"llama", FR_MODEL_SPM, true, 1},
              {"t5", FR_MODEL_UNIGRAM, false, -1},
              {"gemma4", FR_MODEL_CHAR_BPE, true, -1}};

static fr_status read_model(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    fr_text name;
    FR_TRY(fr_gguf_optional_text(ctx, gguf, "tokenizer.ggml.model", &name));
    if (name.data == NULL) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "%s has no tokenizer (tokenizer.ggml.model is absent); give "
                       "rows as token ids (source_ids, target_ids)",
                       fr_gguf_path(gguf));
    }
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++) {
        if (fr_text_is(name, MODELS[i].name)) {
            draft->model = MODELS[i].model;
            draft->add_bos = MODELS[i].add_bos;
            draft->bos = MODELS[i].default_bos;
            return FR_OK;
        }
    }
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: tokenizer.ggml.model is '%.*s'; supported: gpt2 (byte-level BPE), llama "
        "(SentencePiece BPE), t5 (Unigram), gemma4. Give rows as token ids "
        "(source_ids, target_ids)",
        fr_gguf_path(gguf), shown(name), name.data);
}

/* Old files, and converters that did not know the model, do not name a rule. The rule is clear only for the architectures that
 * it comes from. NULL: it is not clear. */
static const char *unnamed_rule(const fr_gguf *gguf, fr_text pre)
{
    fr_text architecture;
    if ((pre.data != NULL && !fr_text_is(pre, "default")) ||
        !fr_gguf_get_text(gguf, "general.architecture", &architecture)) {
        return NULL;
    }
    return fr_text_is(architecture, "gpt2")      ? "gpt-2"
           : fr_text_is(architecture, "gptneox") ? "olmo"
                                                 : NULL;
}

/* The splitter of a name, and what goes with it. */
static fr_status use_rule(fr_ctx *ctx, fr_text name, fr_token_draft *draft)
{
    static const fr_normal_step COMPOSE = {.kind = FR_NORMAL_NFC};
    FR_TRY(fr_splitter_create_named(ctx, name, &draft->splitter));
    draft->ignore_merges = fr_split_name_ignores_merges(name);
    return fr_split_name_composes(name)
               ? fr_normalizer_create(ctx, draft->path, &COMPOSE, 1, &draft->normalizer)
               : FR_OK;
}

/* A wrong rule would give other ids without an error, so a rule that is not known is refused. */
static fr_status read_rule(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    fr_text pre;
    FR_TRY(fr_gguf_optional_text(ctx, gguf, "tokenizer.ggml.pre", &pre));
    if (pre.data != NULL) {
        FR_TRY(use_rule(ctx, pre, draft));
    }
    if (draft->splitter != NULL) {
        return FR_OK;
    }
    const char *rule = unnamed_rule(gguf, pre);
    if (rule != NULL) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: tokenizer.ggml.pre does not name a splitting rule; %s is used",
               fr_gguf_path(gguf), rule);
        return use_rule(ctx, fr_text_of(rule), draft);
    }
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: the splitting rule '%.*s' (tokenizer.ggml.pre) is not supported; "
        "supported: %s. Give rows as token ids (source_ids, target_ids)",
        fr_gguf_path(gguf), shown(pre), pre.data != NULL ? pre.data : "",
        fr_split_names());
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
    static const char BOS[] = "tokenizer.ggml.bos_token_id";
    fr_text template;
    FR_TRY(fr_gguf_optional_bool(ctx, gguf, "tokenizer.ggml.add_bos_token",
                                 &draft->add_bos));
    /* an id that is not used need not be valid */
    if (draft->add_bos && fr_gguf_find(gguf, BOS) != NULL &&
        !fr_gguf_get_int(gguf, BOS, &draft->bos)) {
        return fail_type(ctx, gguf, BOS, "a token id");
    }
    draft->bos_token = token_name(gguf, BOS, draft);
    draft->eos_token = token_name(gguf, "tokenizer.ggml.eos_token_id", draft);
    FR_TRY(fr_gguf_optional_text(ctx, gguf, "tokenizer.chat_template", &template));
    return template.data == NULL ? FR_OK
                                 : fr_template_copy(ctx, "tokenizer.chat_template",
                                                    template, &draft->chat_template);
}

static fr_status read_draft(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    FR_TRY(read_model(ctx, gguf, draft));
    if (draft->model == FR_MODEL_BYTE_BPE) {
        FR_TRY(read_rule(ctx, gguf, draft));
    }
    FR_TRY(fr_gguf_read_tokens(ctx, gguf, draft));
    if (draft->model == FR_MODEL_BYTE_BPE || draft->model == FR_MODEL_CHAR_BPE) {
        FR_TRY(fr_gguf_read_merges(ctx, gguf, draft));
    }
    if (draft->model != FR_MODEL_BYTE_BPE) {
        FR_TRY(fr_gguf_read_characters(ctx, gguf, draft));
    }
    return read_rest(ctx, gguf, draft);
}

fr_status fr_tokenizer_read_gguf(fr_ctx *ctx, const fr_gguf *gguf, fr_tokenizer **out)
{
    fr_token_draft draft = {.path = fr_gguf_path(gguf), .bos = -1, .unknown = -1};
    *out = NULL;
    fr_status status = read_draft(ctx, gguf, &draft);
    if (status == FR_OK) {
        status = fr_tokenizer_build(ctx, &draft, out);
    }
    fr_token_draft_fini(&draft);
    return status;
}
