/* The lists of a GGUF file's tokenizer: tokens with their types, and merges. */
#include "base/mem.h"
#include "model/text/tokenizer_gguf.h"
#include "model/text/tokenizer_pieces.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* FR_TOKEN_MISSING: not a type. */
static fr_token_kind kind_of(int64_t type)
{
    switch (type) {
    case FR_GGUF_NORMAL:
        return FR_TOKEN_NORMAL;
    case FR_GGUF_UNKNOWN:
    case FR_GGUF_CONTROL:
        return FR_TOKEN_SPECIAL;
    case FR_GGUF_USER_DEFINED:
        return FR_TOKEN_ADDED;
    case FR_GGUF_UNUSED:
        return FR_TOKEN_UNUSED;
    case FR_GGUF_BYTE:
        return FR_TOKEN_BYTE;
    default:
        return FR_TOKEN_MISSING;
    }
}

static fr_status set_kinds(fr_ctx *ctx, const fr_gguf *gguf, const int64_t *types,
                           int64_t n, fr_token_draft *draft)
{
    int64_t last = draft->model == FR_MODEL_BYTE_BPE ? FR_GGUF_UNUSED : FR_GGUF_BYTE;
    if (n != draft->n_tokens) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tokenizer.ggml.token_type has %" PRId64 " items, but there "
                       "are %" PRId64 " tokens",
                       fr_gguf_path(gguf), n, draft->n_tokens);
    }
    for (int64_t i = 0; i < n; i++) {
        if (kind_of(types[i]) == FR_TOKEN_MISSING || types[i] > last) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: tokenizer.ggml.token_type[%" PRId64 "] is %" PRId64
                           "; this tokenizer has the types 1 to %" PRId64,
                           fr_gguf_path(gguf), i, types[i], last);
        }
        draft->kinds[i] = (uint8_t)kind_of(types[i]);
    }
    return FR_OK;
}

/* Without the list of types all tokens are normal, but for those that are written as bytes. */
static void guess_kinds(fr_token_draft *draft)
{
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        bool is_byte =
            draft->model != FR_MODEL_BYTE_BPE && fr_byte_token(draft->texts[i]) >= 0;
        draft->kinds[i] = is_byte ? FR_TOKEN_BYTE : FR_TOKEN_NORMAL;
    }
}

fr_status fr_gguf_read_tokens(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    static const char TYPES[] = "tokenizer.ggml.token_type";
    int64_t *types = NULL;
    int64_t n_types = 0;
    FR_TRY(fr_gguf_get_texts(ctx, gguf, "tokenizer.ggml.tokens", &draft->texts,
                             &draft->n_tokens));
    FR_TRY(fr_alloc(ctx, draft->n_tokens, 1, &draft->kinds));
    if (fr_gguf_find(gguf, TYPES) == NULL) {
        guess_kinds(draft);
        return FR_OK;
    }
    FR_TRY(fr_gguf_get_ints(ctx, gguf, TYPES, &types, &n_types));
    fr_status status = set_kinds(ctx, gguf, types, n_types, draft);
    free(types);
    return status;
}

/* "left right", with exactly one space: the tokens of merges do not contain spaces. */
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
fr_status fr_gguf_read_merges(fr_ctx *ctx, const fr_gguf *gguf, fr_token_draft *draft)
{
    enum { SHOWN = 60 };
    fr_text *texts = NULL;
    int64_t n = 0;
    FR_TRY(fr_gguf_get_texts(ctx, gguf, "tokenizer.ggml.merges", &texts, &n));
    fr_status status = fr_alloc(ctx, n, sizeof *draft->merges, &draft->merges);
    draft->n_merges = status == FR_OK ? n : 0;
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        if (!split_merge(texts[i], &draft->merges[i])) {
            int shown = texts[i].bytes < SHOWN ? (int)texts[i].bytes : SHOWN;
            status =
                FR_FAIL(ctx, FR_ERR_FORMAT,
                        "%s: tokenizer.ggml.merges[%" PRId64 "] is '%.*s'; a merge "
                        "is two tokens with one space between",
                        fr_gguf_path(gguf), i, shown, texts[i].data);
        }
    }
    free(texts);
    return status;
}
