#include "train/exchange/llama_tokens.h"

#include "model/text/vocabulary.h"

static bool ends_text(const fr_ends *ends, int32_t id)
{
    bool ends_it = id == ends->eos;
    for (int32_t i = 0; i < ends->n_stop; i++) {
        ends_it = ends_it || id == ends->stop[i];
    }
    return ends_it;
}

/* The last one: models keep spare special tokens at the end, while the first ones have a meaning. */
static int32_t choose_marker(const fr_llama_tokens *base, int32_t bos)
{
    const fr_tokenizer *tokenizer = base->tokens->tokenizer;
    for (int64_t i = base->vocab_size - 1; i >= 0; i--) {
        int32_t id = (int32_t)i;
        if (fr_tokenizer_is_special(tokenizer, id) &&
            fr_tokenizer_has_text(tokenizer, id) && id != bos &&
            !ends_text(&base->tokens->ends, id)) {
            return id;
        }
    }
    return bos;
}

fr_status fr_llama_tokens_fill(fr_ctx *ctx, const fr_llama_tokens *base, int32_t *ids,
                               int64_t n, int32_t *marker)
{
    const fr_tokenizer *tokenizer = base->tokens->tokenizer;
    int32_t bos = tokenizer != NULL ? fr_tokenizer_leading_bos(tokenizer) : -1;
    *marker = (int32_t)base->marker;
    if (base->marker >= 0) {
        FR_TRY(fr_vocabulary_check_id(ctx, (fr_place){"--marker", 0}, base->marker,
                                      base->vocab_size));
    } else if (tokenizer == NULL) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "no token can be chosen to stand for the slots: %s; or name one "
                       "with --marker ID",
                       base->tokens->no_tokenizer);
    } else {
        *marker = choose_marker(base, bos);
    }
    if (*marker < 0) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "the model has no special token besides those that end a text, "
                       "so none is chosen to stand for the slots; name one with "
                       "--marker ID");
    }
    for (int64_t i = 0; i < n; i++) {
        ids[i] = i == 0 && bos >= 0 ? bos : *marker;
    }
    return FR_OK;
}
