/* Opens a model's tokenizer and its ends. A tokenizer that is missing or not supported becomes a reason (keep_reason), except
 * in fr_tokenizer_open, which needs one. */
#include "model/text/tokens.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/files/foreign.h"
#include "model/text/tokenizer_read.h"
#include "model/text/tokens_ends.h"

#include <stdlib.h>

/* Turns a missing or unsupported tokenizer into a reason; any other status stays. */
static fr_status keep_reason(fr_ctx *ctx, bool strict, fr_status status, char **out)
{
    if (strict || (status != FR_ERR_DATA && status != FR_ERR_UNSUPPORTED)) {
        return status;
    }
    FR_TRY(fr_copy_string(ctx, fr_ctx_error(ctx), out));
    fr_ctx_clear_error(ctx);
    return FR_OK;
}

/* The ends are read even if the tokenizer became a reason, while the parsed files are still there. */
static fr_status open_folder(fr_ctx *ctx, const char *folder, bool strict,
                             fr_tokens *out)
{
    fr_token_files files = {0};
    fr_status status = fr_token_files_open(ctx, folder, &files);
    if (status == FR_OK) {
        status =
            keep_reason(ctx, strict, fr_tokenizer_read_hf(ctx, &files, &out->tokenizer),
                        &out->no_tokenizer);
    }
    if (status == FR_OK) {
        status = fr_ends_read_folder(ctx, &files, out->tokenizer, &out->ends);
    }
    fr_token_files_close(&files);
    return status;
}

static fr_status open_gguf(fr_ctx *ctx, const char *path, bool strict, fr_tokens *out)
{
    fr_gguf *gguf = NULL;
    FR_TRY(fr_gguf_open(ctx, path, &gguf));
    fr_status status =
        keep_reason(ctx, strict, fr_tokenizer_read_gguf(ctx, gguf, &out->tokenizer),
                    &out->no_tokenizer);
    if (status == FR_OK) {
        status = fr_ends_read_gguf(ctx, gguf, out->tokenizer, &out->ends);
    }
    fr_gguf_close(&gguf);
    return status;
}

static fr_status open_tokens(fr_ctx *ctx, const char *path, bool strict, fr_tokens *out)
{
    *out = (fr_tokens){.ends = FR_NO_ENDS};
    fr_status status = fr_is_folder(path) ? open_folder(ctx, path, strict, out)
                                          : open_gguf(ctx, path, strict, out);
    if (status == FR_OK && out->tokenizer != NULL) {
        fr_tokenizer_set_eos(out->tokenizer, out->ends.eos);
    }
    if (status != FR_OK) {
        fr_tokens_close(out);
    }
    return status;
}

fr_status fr_tokens_open(fr_ctx *ctx, const char *model_path, fr_tokens *out)
{
    return open_tokens(ctx, model_path, false, out);
}

void fr_tokens_close(fr_tokens *tokens)
{
    fr_tokenizer_close(&tokens->tokenizer);
    free(tokens->no_tokenizer);
    tokens->no_tokenizer = NULL;
}

fr_status fr_tokenizer_open(fr_ctx *ctx, const char *model_path, fr_tokenizer **out)
{
    fr_tokens tokens;
    *out = NULL;
    FR_TRY(fr_foreign_path(ctx, model_path));
    FR_TRY(open_tokens(ctx, model_path, true, &tokens));
    *out = tokens.tokenizer;
    return FR_OK;
}

/* Ids without a text are kept out of sampling, since nothing could be written for them; ids that end a text are not
 * written and stay allowed. If all or none would be kept out, a mask makes no sense and *never_V stays NULL. */
fr_status fr_tokens_textless(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                             const fr_ends *ends, int64_t vocab_size, uint8_t **never_V)
{
    uint8_t *never = NULL;
    int64_t n_never = 0;
    *never_V = NULL;
    if (tokenizer == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, vocab_size, 1, &never));
    for (int64_t id = 0; id < vocab_size; id++) {
        never[id] = id > INT32_MAX || !fr_tokenizer_has_text(tokenizer, (int32_t)id);
    }
    for (int32_t i = 0; i < ends->n_stop; i++) {
        if (ends->stop[i] < vocab_size) {
            never[ends->stop[i]] = 0;
        }
    }
    for (int64_t id = 0; id < vocab_size; id++) {
        n_never += never[id];
    }
    if (n_never == 0 || n_never == vocab_size) {
        free(never);
        never = NULL;
    }
    *never_V = never;
    return FR_OK;
}
