/* What a GGUF file says of models over characters besides their tokens. SentencePiece writes a space as U+2581 and puts one in
 * front of a text, so that a word has one token wherever it stands; both are steps of a normalizer here. */
#define _GNU_SOURCE /* strcasestr, memmem */
#include "base/mem.h"
#include "model/text/tokenizer_gguf.h"

#include <stdlib.h>
#include <string.h>

#define MARK "\xE2\x96\x81"

static fr_status read_scores(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    int64_t n = 0;
    FR_TRY(fr_gguf_get_reals(ctx, gguf, "tokenizer.ggml.scores", &draft->scores, &n));
    if (n != draft->n_tokens) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tokenizer.ggml.scores has %lld items, but there are %lld "
                       "tokens",
                       fr_gguf_path(gguf), (long long)n, (long long)draft->n_tokens);
    }
    return FR_OK;
}

/* The id that the file names, else the first token of this type. A file may name an id that it does not have. */
static fr_status read_unknown(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    static const char KEY[] = "tokenizer.ggml.unknown_token_id";
    static const char TYPES[] = "tokenizer.ggml.token_type";
    int64_t id = -1;
    int64_t *types = NULL;
    int64_t n = 0;
    if (fr_gguf_get_int(gguf, KEY, &id) && id >= 0 && id < draft->n_tokens) {
        draft->unknown = id;
        return FR_OK;
    }
    if (fr_gguf_find(gguf, TYPES) == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_gguf_get_ints(ctx, gguf, TYPES, &types, &n));
    for (int64_t i = 0; i < n && draft->unknown < 0; i++) {
        draft->unknown = types[i] == FR_GGUF_UNKNOWN ? i : -1;
    }
    free(types);
    return FR_OK;
}

/* The table of characters, as bytes; the caller frees. NULL: the file has none. */
static fr_status read_charsmap(fr_ctx *ctx, const fr_gguf *gguf, char **out,
                               size_t *bytes)
{
    static const char KEY[] = "tokenizer.ggml.precompiled_charsmap";
    int64_t *items = NULL;
    int64_t n = 0;
    *out = NULL;
    *bytes = 0;
    if (fr_gguf_find(gguf, KEY) == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_gguf_get_ints(ctx, gguf, KEY, &items, &n));
    fr_status status = fr_alloc(ctx, n, 1, out);
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        (*out)[i] = (char)items[i];
    }
    *bytes = status == FR_OK ? (size_t)n : 0;
    free(items);
    return status;
}

static fr_normal_step replace(const char *pattern, const char *content, bool is_regex)
{
    return (fr_normal_step){.kind = FR_NORMAL_REPLACE,
                            .pattern = fr_text_of(pattern),
                            .content = fr_text_of(content),
                            .is_regex = is_regex};
}

fr_status fr_spaces_normalizer(fr_ctx *ctx, const fr_spaces *spaces,
                               fr_token_draft *draft)
{
    fr_normal_step steps[8];
    int64_t n = 0;
    if (spaces->charsmap.bytes > 0) {
        steps[n++] =
            (fr_normal_step){.kind = FR_NORMAL_CHARSMAP, .content = spaces->charsmap};
    }
    if (spaces->remove_extra) {
        /* A mark that the text itself has at its end counts as a space there, as in SentencePiece. A run is tried from its
         * beginning only, so that long ones take no more time. */
        steps[n++] = replace("\\A +", "", true);
        steps[n++] = replace(spaces->escape ? "(?<![ \\x{2581}])[ \\x{2581}]+\\z"
                                            : "(?<! ) +\\z",
                             "", true);
        steps[n++] = replace(" {2,}", " ", true);
    }
    if (spaces->escape) {
        steps[n++] = replace(" ", MARK, false);
    }
    if (spaces->add_prefix) {
        steps[n++] =
            (fr_normal_step){.kind = FR_NORMAL_PREPEND,
                             .content = fr_text_of(spaces->escape ? MARK : " ")};
    }
    draft->marks_spaces = spaces->escape;
    draft->lead = spaces->add_prefix ? FR_LEAD_SPACE : FR_LEAD_KEEP;
    return fr_normalizer_create(ctx, draft->path, steps, n, &draft->normalizer);
}

static fr_status read_spaces(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    fr_spaces spaces = {.add_prefix = draft->model != FR_MODEL_CHAR_BPE,
                        .escape = true};
    bool suffix = false;
    char *charsmap = NULL;
    FR_TRY(fr_gguf_optional_bool(ctx, gguf, "tokenizer.ggml.add_space_prefix",
                                 &spaces.add_prefix));
    FR_TRY(fr_gguf_optional_bool(ctx, gguf, "tokenizer.ggml.remove_extra_whitespaces",
                                 &spaces.remove_extra));
    FR_TRY(fr_gguf_optional_bool(ctx, gguf, "tokenizer.ggml.escape_whitespaces",
                                 &spaces.escape));
    FR_TRY(fr_gguf_optional_bool(ctx, gguf, "tokenizer.ggml.treat_whitespace_as_suffix",
                                 &suffix));
    if (suffix) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: tokenizer.ggml.treat_whitespace_as_suffix is true; only "
                       "false is supported. Give rows as token ids (source_ids, "
                       "target_ids)",
                       fr_gguf_path(gguf));
    }
    FR_TRY(read_charsmap(ctx, gguf, &charsmap, &spaces.charsmap.bytes));
    spaces.charsmap.data = charsmap;
    fr_status status = fr_spaces_normalizer(ctx, &spaces, draft);
    free(charsmap);
    return status;
}

/* Phi-3's special tokens take the white space behind them. GGUF has no key for this, so the model's name tells, as in
 * llama.cpp. */
static fr_status read_phi3(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    static const char *const PLAIN[] = {"<unk>", "<s>", "<|endoftext|>"};
    fr_text name = {NULL, 0};
    (void)fr_gguf_get_text(gguf, "general.name", &name);
    char shown[64] = "";
    size_t n = name.bytes < sizeof shown - 1 ? name.bytes : sizeof shown - 1;
    if (name.data != NULL) {
        memcpy(shown, name.data, n);
    }
    if (strcasestr(shown, "phi-3") == NULL && strcasestr(shown, "phi3") == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, draft->n_tokens, 1, &draft->how));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        bool strips =
            draft->kinds[i] == FR_TOKEN_SPECIAL || draft->kinds[i] == FR_TOKEN_ADDED;
        for (size_t p = 0; p < sizeof PLAIN / sizeof *PLAIN; p++) {
            strips = strips && !fr_text_is(draft->texts[i], PLAIN[p]);
        }
        draft->how[i] = strips ? FR_SPECIAL_RSTRIP : 0;
    }
    return FR_OK;
}

fr_status fr_gguf_read_characters(fr_ctx *ctx, const fr_gguf *gguf,
                                  fr_token_draft *draft)
{
    draft->byte_fallback = true;
    draft->fuse_unknown = true;
    if (draft->model != FR_MODEL_CHAR_BPE) {
        FR_TRY(read_scores(ctx, gguf, draft));
    }
    FR_TRY(read_unknown(ctx, gguf, draft));
    FR_TRY(read_phi3(ctx, gguf, draft));
    return read_spaces(ctx, gguf, draft);
}
