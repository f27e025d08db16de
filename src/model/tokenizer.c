#include "model/tokenizer.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/foreign.h"
#include "model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

fr_status fr_ids_add(fr_ctx *ctx, fr_ids *ids, int32_t id)
{
    enum { SMALLEST = 64 };
    if (ids->count == ids->capacity) {
        int64_t capacity = ids->capacity > 0 ? 2 * ids->capacity : SMALLEST;
        size_t bytes = (size_t)capacity * sizeof *ids->data;
        int32_t *grown = realloc(ids->data, bytes);
        if (grown == NULL) {
            return fr_check_memory(ctx, false, bytes);
        }
        ids->data = grown;
        ids->capacity = capacity;
    }
    ids->data[ids->count++] = id;
    return FR_OK;
}

void fr_ids_fini(fr_ids *ids)
{
    free(ids->data);
    *ids = (fr_ids){NULL, 0, 0};
}

fr_status fr_tokenizer_open(fr_ctx *ctx, const char *model_path, fr_tokenizer **out)
{
    *out = NULL;
    FR_TRY(fr_foreign_path(ctx, model_path));
    return fr_is_folder(model_path) ? fr_tokenizer_open_hf(ctx, model_path, out)
                                    : fr_tokenizer_open_gguf(ctx, model_path, out);
}

void fr_tokenizer_close(fr_tokenizer **tokenizer)
{
    fr_tokenizer *closed = *tokenizer;
    if (closed != NULL) {
        free(closed->tokens);
        free(closed->arena);
        fr_specials_destroy(&closed->specials);
        free(closed->chat_template);
        free(closed->chat.default_system);
        fr_splitter_destroy(&closed->splitter);
        fr_bpe_destroy(&closed->bpe);
        free(closed);
        *tokenizer = NULL;
    }
}

int64_t fr_tokenizer_vocab_size(const fr_tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

int32_t fr_tokenizer_eos(const fr_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int32_t fr_tokenizer_leading_bos(const fr_tokenizer *tokenizer)
{
    return tokenizer->leading_bos;
}

const char *fr_tokenizer_chat_template(const fr_tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

void fr_tokenizer_digest(const fr_tokenizer *tokenizer, uint8_t out[FR_DIGEST_BYTES])
{
    memcpy(out, tokenizer->digest, FR_DIGEST_BYTES);
}

bool fr_tokenizer_is_special(const fr_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->n_tokens &&
           tokenizer->tokens[id].kind == FR_TOKEN_SPECIAL;
}

int32_t fr_tokenizer_special(const fr_tokenizer *tokenizer, const char *text)
{
    fr_text whole = {text, strlen(text)};
    int32_t id = fr_specials_longest(tokenizer->specials, whole);
    return id >= 0 && (size_t)tokenizer->tokens[id].bytes == whole.bytes ? id : -1;
}

const fr_chat_frame *fr_tokenizer_chat_frame(const fr_tokenizer *tokenizer)
{
    return &tokenizer->chat;
}

/* One call of fr_tokenizer_encode. */
typedef struct encoding {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    fr_bpe_scratch scratch;
    fr_ids *ids;
} encoding;

/* Append the bytes' own tokens, then merge them where they stand. */
static fr_status encode_piece(void *user, const char *piece, size_t bytes)
{
    encoding *job = user;
    int64_t first = job->ids->count;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)piece[i];
        int32_t id = job->tokenizer->byte_ids[byte];
        if (id < 0) {
            return FR_FAIL(job->ctx, FR_ERR_DATA,
                           "the byte 0x%02X has no token in this model's vocabulary; "
                           "remove it from the text",
                           (unsigned)byte);
        }
        FR_TRY(fr_ids_add(job->ctx, job->ids, id));
    }
    int64_t n = 0;
    FR_TRY(fr_bpe_merge(job->ctx, job->tokenizer->bpe, &job->scratch,
                        job->ids->data + first, job->ids->count - first, &n));
    job->ids->count = first + n;
    return FR_OK;
}

static fr_status encode_plain(encoding *job, fr_text text)
{
    return fr_splitter_run(job->ctx, job->tokenizer->splitter, text.data, text.bytes,
                           encode_piece, job);
}

/* Split at the special tokens found: `found` has the longest one that begins at each byte, the leftmost counts. */
static fr_status split_at(encoding *job, fr_text text, const int32_t *found)
{
    size_t plain = 0; /* start of the text not yet encoded */
    size_t at = 0;
    while (at < text.bytes) {
        int32_t id = found[at];
        if (id < 0) {
            at++;
            continue;
        }
        FR_TRY(encode_plain(job, (fr_text){text.data + plain, at - plain}));
        FR_TRY(fr_ids_add(job->ctx, job->ids, id));
        at += (size_t)job->tokenizer->tokens[id].bytes;
        plain = at;
    }
    return encode_plain(job, (fr_text){text.data + plain, at - plain});
}

static fr_status encode_special(encoding *job, fr_text text)
{
    int32_t *found = NULL;
    if (!fr_specials_any(job->tokenizer->specials)) {
        return encode_plain(job, text);
    }
    FR_TRY(fr_specials_find(job->ctx, job->tokenizer->specials, text, &found));
    fr_status status = split_at(job, text, found);
    free(found);
    return status;
}

fr_status fr_tokenizer_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const char *text, size_t bytes, bool parse_special,
                              fr_ids *ids)
{
    encoding job = {ctx, tokenizer, {NULL, NULL, 0}, ids};
    fr_text whole = {text, bytes};
    int64_t n_before = ids->count;
    fr_status status =
        parse_special ? encode_special(&job, whole) : encode_plain(&job, whole);
    if (status != FR_OK) {
        ids->count = n_before;
    }
    fr_bpe_scratch_fini(&job.scratch);
    return status;
}

static fr_status measure(fr_ctx *ctx, const fr_tokenizer *tokenizer, const int32_t *ids,
                         int64_t n, bool skip_special, size_t *bytes)
{
    *bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tokenizer->n_tokens) {
            return FR_FAIL(
                ctx, FR_ERR_ARG,
                "id %d (number %lld of %lld) is out of range; the vocabulary "
                "has the ids 0 to %lld",
                (int)ids[i], (long long)i, (long long)n,
                (long long)tokenizer->n_tokens - 1);
        }
        if (!skip_special || !fr_tokenizer_is_special(tokenizer, ids[i])) {
            *bytes += (size_t)tokenizer->tokens[ids[i]].bytes;
        }
    }
    return FR_OK;
}

fr_status fr_tokenizer_decode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const int32_t *ids, int64_t n, bool skip_special,
                              char **out, size_t *out_bytes)
{
    size_t bytes = 0;
    *out = NULL;
    *out_bytes = 0;
    FR_TRY(measure(ctx, tokenizer, ids, n, skip_special, &bytes));
    FR_TRY(fr_alloc(ctx, (int64_t)bytes + 1, 1, out));
    char *next = *out;
    for (int64_t i = 0; i < n; i++) {
        const fr_token *token = &tokenizer->tokens[ids[i]];
        if (!skip_special || token->kind != FR_TOKEN_SPECIAL) {
            memcpy(next, token->text, (size_t)token->bytes);
            next += token->bytes;
        }
    }
    *out_bytes = bytes;
    return FR_OK;
}
