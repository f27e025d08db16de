/* Encoding and decoding with a finished tokenizer.
 *
 * A text is encoded in four steps, each on what the step before left:
 *   1. special and added tokens of the first pass are cut out, the leftmost first, the longest of those (special_tokens.h);
 *   2. encode_late: what lies between is normalized, and the tokens of the second pass are cut out of the result;
 *   3. encode_plain: the rest is split into pieces (pretokenize.h);
 *   4. encode_piece: a piece becomes ids at the end of the list (tokenizer_pieces.h).
 * A failure takes back all ids of the call. */
#include "model/text/tokenizer.h"

#include "base/mem.h"
#include "model/text/tokenizer_pieces.h"
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
        fr_normalizer_destroy(&closed->normalizer);
        fr_pieces_destroy(&closed->pieces);
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

void fr_tokenizer_vocabulary_digest(const fr_tokenizer *tokenizer,
                                    uint8_t out[FR_DIGEST_BYTES])
{
    memcpy(out, tokenizer->vocabulary_digest, FR_DIGEST_BYTES);
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

bool fr_tokenizer_adds_space(const fr_tokenizer *tokenizer)
{
    return tokenizer->lead != FR_LEAD_KEEP;
}

/* The whole text must be one token, special or added, in either pass. -1: it is not. */
int32_t fr_tokenizer_marker(const fr_tokenizer *tokenizer, const char *text)
{
    fr_text whole = {text, strlen(text)};
    for (int pass = 0; pass < FR_N_PASSES; pass++) {
        int32_t id = fr_specials_whole(tokenizer->found[pass][1], whole);
        if (id >= 0) {
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
    fr_pieces_scratch scratch;
    fr_ids *ids;
    bool parse_special;
    bool is_first; /* the text of the second pass begins the whole text */
} encoding;

static fr_status encode_piece(void *user, const char *piece, size_t bytes)
{
    encoding *job = user;
    return fr_pieces_encode(job->ctx, job->tokenizer->pieces, &job->scratch,
                            (fr_text){piece, bytes}, job->ids);
}

/* A part between tokens: -1 for `id` only. `at` is where it begins. */
static fr_status encode_plain(void *user, int32_t id, fr_text text, size_t at)
{
    encoding *job = user;
    if (id >= 0) {
        return fr_ids_add(job->ctx, job->ids, id);
    }
    if (job->tokenizer->splitter == NULL) {
        return text.bytes > 0 ? encode_piece(job, text.data, text.bytes) : FR_OK;
    }
    return fr_splitter_run(job->ctx, job->tokenizer->splitter, text,
                           job->is_first && at == 0, encode_piece, job);
}

static const fr_specials *tokens_of(const encoding *job, int pass)
{
    return job->tokenizer->found[pass][job->parse_special ? 1 : 0];
}

/* What lies between the tokens of the first pass is normalized; those of the second are cut out of the result. */
static fr_status encode_late(void *user, int32_t id, fr_text text, size_t at)
{
    encoding *job = user;
    char *normal = NULL;
    if (id >= 0) {
        return fr_ids_add(job->ctx, job->ids, id);
    }
    job->is_first = at == 0;
    if (fr_normalizer_any(job->tokenizer->normalizer)) {
        FR_TRY(fr_normalizer_run(job->ctx, job->tokenizer->normalizer, text, &normal,
                                 &text.bytes));
        text.data = normal;
    }
    fr_status status =
        fr_specials_cut(job->ctx, tokens_of(job, 1), text, encode_plain, job);
    free(normal);
    return status;
}

fr_status fr_tokenizer_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const char *text, size_t bytes, bool parse_special,
                              fr_ids *ids)
{
    encoding job = {
        .ctx = ctx, .tokenizer = tokenizer, .ids = ids, .parse_special = parse_special};
    int64_t n_before = ids->count;
    fr_status status = fr_specials_cut(ctx, tokens_of(&job, 0), (fr_text){text, bytes},
                                       encode_late, &job);
    if (status != FR_OK) {
        ids->count = n_before;
    }
    fr_pieces_scratch_fini(&job.scratch);
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

/* How much of the decoded text's beginning encoding put there: `first` is its first token. */
static size_t lead_bytes(const fr_tokenizer *tokenizer, const fr_token *first)
{
    bool is_text = first->kind == FR_TOKEN_NORMAL || first->kind == FR_TOKEN_ADDED;
    size_t most = tokenizer->lead == FR_LEAD_TOKEN   ? (size_t)first->bytes
                  : tokenizer->lead == FR_LEAD_SPACE ? 1
                                                     : 0;
    size_t n = 0;
    while (is_text && n < most && n < (size_t)first->bytes && first->text[n] == ' ') {
        n++;
    }
    return n;
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
    bool is_first = true;
    for (int64_t i = 0; i < n; i++) {
        if (is_written(tokenizer, ids[i], skip_special)) {
            const fr_token *token = &tokenizer->tokens[ids[i]];
            size_t lead = is_first ? lead_bytes(tokenizer, token) : 0;
            is_first = is_first && token->bytes == 0;
            memcpy(next, token->text + lead, (size_t)token->bytes - lead);
            next += (size_t)token->bytes - lead;
        }
    }
    *out_bytes = (size_t)(next - *out);
    return FR_OK;
}
