#include "model/text/vocabulary.h"

#include <stdio.h>

fr_status fr_vocabulary_check_id(fr_ctx *ctx, fr_place place, int64_t id,
                                 int64_t vocab_size)
{
    enum { LINE_BYTES = 24 };
    char line[LINE_BYTES] = "";
    if (id >= 0 && id < vocab_size) {
        return FR_OK;
    }
    if (place.line > 0) {
        (void)snprintf(line, sizeof line, ":%lld", (long long)place.line);
    }
    return FR_FAIL(
        ctx, FR_ERR_DATA,
        "%s%s: the id %lld is outside the model's vocabulary, 0 to %lld; use the "
        "tokenizer that belongs to these weights (one with added tokens needs an "
        "embedding that was resized for them)",
        place.name, line, (long long)id, (long long)vocab_size - 1);
}

fr_status fr_vocabulary_check(fr_ctx *ctx, fr_place place, const int32_t *ids,
                              int64_t n, int64_t vocab_size)
{
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(fr_vocabulary_check_id(ctx, place, ids[i], vocab_size));
    }
    return FR_OK;
}
