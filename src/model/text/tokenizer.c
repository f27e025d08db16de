/* Encoding and decoding with a finished tokenizer.
 *
 * A text is encoded in four steps, each on what the step before left:
 *   1. encode_text: special and added tokens of the first pass are cut out, the leftmost first, the longest of those;
 *   2. encode_late: the same for the tokens of the second pass;
 *   3. encode_plain: the rest is split into pieces (pretokenize.h);
 *   4. encode_piece: the ids of a piece's bytes are appended, then merged in place at the end of the list (bpe.h).
 * A failure takes back all ids of the call. */
#include "model/text/tokenizer.h"

#include "base/mem.h"
#include "model/text/tokenizer_impl.h"
#include "model/text/tokenizer_read.h"

#include <stdlib.h>
#include <string.h>

fr_status fr_ids_add(fr_ctx *ctx, fr_ids *ids, int32_t id)
{
    enum { SMALLEST = 64 }; /* short texts need one allocation */
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

void fr_tokenizer_close(fr_tokenizer **tokenizer)
{
    fr_tokenizer *closed = *tokenizer;
    if (closed != NULL) {
        free(closed->tokens);
        free(closed->arena);
        for (int i = 0; i < FR_N_PASSES * FR_N_PARSED; i++) {
            fr_specials_destroy(&closed->found[i / FR_N_PARSED][i % FR_N_PARSED]);
        }
        free(closed->chat_template);
        fr_chat_frame_fini(&closed->chat);
        fr_splitter_destroy(&closed->splitter);
        fr_bpe_destroy(&closed->bpe);
        free(closed);
        *tokenizer = NULL;
    }
}

int32_t fr_tokenizer_eos(const fr_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

void fr_tokenizer_set_eos(fr_tokenizer *tokenizer, int32_t eos)
{
    tokenizer->eos = eos;
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

size_t fr_tokenizer_token_bytes(const fr_tokenizer *tokenizer, int32_t id)
{
    bool known = id >= 0 && id < tokenizer->n_tokens;
    return known ? (size_t)tokenizer->tokens[id].bytes : 0;
}

bool fr_tokenizer_is_added(const fr_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->n_tokens &&
           tokenizer->tokens[id].kind == FR_TOKEN_ADDED;
}

bool fr_tokenizer_has_text(const fr_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->n_tokens &&
           tokenizer->tokens[id].kind != FR_TOKEN_UNUSED;
}

/* The whole text must be one token, special or added, in either pass. -1: it is not. */
int32_t fr_tokenizer_marker(const fr_tokenizer *tokenizer, const char *text)
{
    fr_text whole = {text, strlen(text)};
    for (int pass = 0; pass < FR_N_PASSES; pass++) {
        int32_t id = fr_specials_longest(tokenizer->found[pass][1], whole);
        if (id >= 0 && (size_t)tokenizer->tokens[id].bytes == whole.bytes) {
            return id;
        }
    }
    return -1;
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
    bool parse_special;
} encoding;

/* Appends the ids of the bytes, then merges them in place. */
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

/* Splits at the tokens of one pass: `found` has the longest token that begins at each byte. `rest` encodes what lies between
 * them. */
static fr_status split_at(encoding *job, fr_text text, const int32_t *found,
                          fr_status (*rest)(encoding *job, fr_text text))
{
    size_t plain = 0; /* start of the text not yet encoded */
    size_t at = 0;
    while (at < text.bytes) {
        int32_t id = found[at];
        if (id < 0) {
            at++;
            continue;
        }
        FR_TRY(rest(job, (fr_text){text.data + plain, at - plain}));
        FR_TRY(fr_ids_add(job->ctx, job->ids, id));
        at += (size_t)job->tokenizer->tokens[id].bytes;
        plain = at;
    }
    return rest(job, (fr_text){text.data + plain, at - plain});
}

/* `found` is 4 bytes for each byte of the text, so it is made only if this pass has tokens to look for. */
static fr_status encode_pass(encoding *job, fr_text text, int pass,
                             fr_status (*rest)(encoding *job, fr_text text))
{
    int32_t *found = NULL;
    const fr_specials *tokens = job->tokenizer->found[pass][job->parse_special ? 1 : 0];
    if (!fr_specials_any(tokens) || text.bytes == 0) {
        return rest(job, text);
    }
    FR_TRY(fr_specials_find(job->ctx, tokens, text, &found));
    fr_status status = split_at(job, text, found, rest);
    free(found);
    return status;
}

/* Two functions, not a loop: what lies between the tokens of one pass is the text of the next step. */
static fr_status encode_late(encoding *job, fr_text text)
{
    return encode_pass(job, text, 1, encode_plain);
}

static fr_status encode_text(encoding *job, fr_text text)
{
    return encode_pass(job, text, 0, encode_late);
}

fr_status fr_tokenizer_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const char *text, size_t bytes, bool parse_special,
                              fr_ids *ids)
{
    encoding job = {ctx, tokenizer, {NULL, NULL, 0}, ids, parse_special};
    int64_t n_before = ids->count;
    fr_status status = encode_text(&job, (fr_text){text, bytes});
    if (status != FR_OK) {
        ids->count = n_before;
    }
    fr_bpe_scratch_fini(&job.scratch);
    return status;
}

/* Whether an id adds to a text. Rows of ids may have one beyond the tokenizer, if the embedding has more rows. */
static bool is_written(const fr_tokenizer *tokenizer, int32_t id, bool skip_special)
{
    return fr_tokenizer_has_text(tokenizer, id) &&
           !(skip_special && fr_tokenizer_is_special(tokenizer, id));
}

/* Bytes of the decoded text, so that it is allocated once. Negative ids are refused before anything is written. */
static fr_status measure(fr_ctx *ctx, const fr_tokenizer *tokenizer, const int32_t *ids,
                         int64_t n, bool skip_special, size_t *bytes)
{
    *bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0) {
            return FR_FAIL(ctx, FR_ERR_ARG,
                           "id %d (number %lld of %lld) is negative; ids begin at 0",
                           (int)ids[i], (long long)i, (long long)n);
        }
        if (is_written(tokenizer, ids[i], skip_special)) {
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
        if (is_written(tokenizer, ids[i], skip_special)) {
            const fr_token *token = &tokenizer->tokens[ids[i]];
            memcpy(next, token->text, (size_t)token->bytes);
            next += token->bytes;
        }
    }
    *out_bytes = bytes;
    return FR_OK;
}
