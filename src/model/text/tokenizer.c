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
        fr_chat_close(&closed->chat);
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
    return fr_chat_text(tokenizer->chat);
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

const fr_chat *fr_tokenizer_chat(const fr_tokenizer *tokenizer)
{
    return tokenizer->chat;
}

/* One call of fr_tokenizer_encode. */
typedef struct encoding {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    fr_pieces_scratch scratch;
    fr_ids *ids;
    bool parse_special;
    size_t base;   /* where the text of the first pass begins in the whole text */
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
    job->is_first = job->base + at == 0;
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

/* ---- with marks --------------------------------------------------------------------------- */

/* One call of fr_tokenizer_encode_marked. Between two special tokens that count lies one part of the text; parts that a token
 * in a plain span would separate stay one. */
typedef struct marking {
    encoding job;
    fr_text text;
    const fr_text_span *plain;
    int64_t n_plain;
    fr_id_mark *marks;
    int64_t n_marks;
    int64_t next;     /* mark whose place is not found yet */
    int64_t n_before; /* ids before this call */
    size_t begin;     /* of the part that is read */
    bool has_part;
    bool has_plain; /* a special token in it is text */
} marking;

/* Ids of a part, or of its beginning, as it stands at `at`. Where special tokens are text, added ones are still found. */
static fr_status encode_at(marking *m, fr_text part, size_t at)
{
    encoding *job = &m->job;
    if (!m->has_plain) {
        return encode_late(job, -1, part, at);
    }
    job->base = at;
    job->parse_special = false;
    fr_status status =
        fr_specials_cut(job->ctx, tokens_of(job, 0), part, encode_late, job);
    job->parse_special = true;
    job->base = 0;
    return status;
}

/* Where the text of the ids `before` ends among the first ids of `whole`, which is the same text and more of it. Where both are not
 * split alike, bytes tell. */
static int64_t find_place(const fr_tokenizer *tokenizer, const fr_ids *before,
                          const int32_t *whole, int64_t n_whole, bool *inside)
{
    int64_t n = 0;
    size_t left = 0;
    while (n < before->count && n < n_whole && before->data[n] == whole[n]) {
        n++;
    }
    for (int64_t i = n; i < before->count; i++) {
        left += fr_tokenizer_token_bytes(tokenizer, before->data[i]);
    }
    while (n < n_whole && left > 0 &&
           fr_tokenizer_token_bytes(tokenizer, whole[n]) <= left) {
        left -= fr_tokenizer_token_bytes(tokenizer, whole[n++]);
    }
    *inside = left > 0;
    return n;
}

/* Finds one mark inside a part whose ids begin at `first`; the part before it is encoded alone. *first and *begin move to the
 * mark if it cuts an id. */
static fr_status place_mark(marking *m, fr_id_mark *mark, size_t end, int64_t *first,
                            size_t *begin)
{
    fr_ids *ids = m->job.ids;
    fr_ids before = {0};
    m->job.ids = &before;
    fr_status status =
        encode_at(m, (fr_text){m->text.data + *begin, mark->at - *begin}, *begin);
    m->job.ids = ids;
    int64_t n = find_place(m->job.tokenizer, &before, ids->data + *first,
                           ids->count - *first, &mark->inside);
    bool is_same =
        n == before.count && (n == 0 || memcmp(before.data, ids->data + *first,
                                               (size_t)n * sizeof *before.data) == 0);
    mark->before = *first + n - m->n_before;
    /* a text that would get a space in front cannot go on behind a cut */
    bool can_cut = mark->cuts && !fr_tokenizer_adds_space(m->job.tokenizer);
    if (status == FR_OK && can_cut && !is_same) {
        ids->count = *first;
        for (int64_t i = 0; status == FR_OK && i < before.count; i++) {
            status = fr_ids_add(m->job.ctx, ids, before.data[i]);
        }
        *first = ids->count;
        *begin = mark->at;
        mark->before = *first - m->n_before;
        mark->inside = false;
        if (status == FR_OK) {
            status =
                encode_at(m, (fr_text){m->text.data + *begin, end - *begin}, *begin);
        }
    }
    fr_ids_fini(&before);
    return status;
}

/* Encodes the part that ends at `end`, with the marks inside it. */
static fr_status end_part(marking *m, size_t end)
{
    int64_t first = m->job.ids->count;
    size_t begin = m->begin;
    if (!m->has_part) {
        return FR_OK;
    }
    FR_TRY(encode_at(m, (fr_text){m->text.data + begin, end - begin}, begin));
    while (m->next < m->n_marks && m->marks[m->next].at < end) {
        fr_id_mark *mark = &m->marks[m->next++];
        if (mark->at <= begin) {
            mark->before = first - m->n_before;
            continue;
        }
        FR_TRY(place_mark(m, mark, end, &first, &begin));
    }
    m->has_part = false;
    m->has_plain = false;
    return FR_OK;
}

/* White space that a token takes may stand in front of it. */
static bool is_plain(const marking *m, size_t at)
{
    while (at < m->text.bytes && strchr(" \t\r\n", m->text.data[at]) != NULL &&
           m->text.data[at] != '\0') {
        at++;
    }
    for (int64_t i = 0; i < m->n_plain; i++) {
        if (m->plain[i].begin <= at && at < m->plain[i].end) {
            return true;
        }
    }
    return false;
}

/* Parts and tokens of the first pass, in order. Marks up to a token have the ids before it. */
static fr_status read_part(void *user, int32_t id, fr_text part, size_t at)
{
    marking *m = user;
    (void)part;
    bool as_text =
        id < 0 || (fr_tokenizer_is_special(m->job.tokenizer, id) && is_plain(m, at));
    if (as_text) {
        m->begin = m->has_part ? m->begin : at;
        m->has_part = true;
        m->has_plain = m->has_plain || id >= 0;
        return FR_OK;
    }
    FR_TRY(end_part(m, at));
    while (m->next < m->n_marks && m->marks[m->next].at <= at) {
        m->marks[m->next++].before = m->job.ids->count - m->n_before;
    }
    return fr_ids_add(m->job.ctx, m->job.ids, id);
}

fr_status fr_tokenizer_encode_marked(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                     fr_text text, const fr_text_span *plain,
                                     int64_t n_plain, fr_id_mark *marks,
                                     int64_t n_marks, fr_ids *ids)
{
    marking m = {
        .job = {.ctx = ctx, .tokenizer = tokenizer, .ids = ids, .parse_special = true},
        .text = text,
        .plain = plain,
        .n_plain = n_plain,
        .marks = marks,
        .n_marks = n_marks,
        .n_before = ids->count};
    for (int64_t i = 0; i < n_marks; i++) {
        marks[i].inside = false;
    }
    fr_status status = fr_specials_cut(ctx, tokens_of(&m.job, 0), text, read_part, &m);
    if (status == FR_OK) {
        status = end_part(&m, text.bytes);
    }
    while (status == FR_OK && m.next < n_marks) {
        marks[m.next++].before = ids->count - m.n_before;
    }
    if (status != FR_OK) {
        ids->count = m.n_before;
    }
    fr_pieces_scratch_fini(&m.job.scratch);
    return status;
}

/* What a search for special tokens has found. */
typedef struct search {
    const fr_tokenizer *tokenizer;
    bool found;
} search;

static fr_status see_part(void *user, int32_t id, fr_text part, size_t at)
{
    search *s = user;
    (void)part;
    (void)at;
    s->found = s->found || (id >= 0 && fr_tokenizer_is_special(s->tokenizer, id));
    return FR_OK;
}

fr_status fr_tokenizer_find_special(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                    fr_text text, bool *found, bool *late)
{
    search first = {tokenizer, false};
    search second = {tokenizer, false};
    FR_TRY(fr_specials_cut(ctx, tokenizer->found[0][1], text, see_part, &first));
    FR_TRY(fr_specials_cut(ctx, tokenizer->found[1][1], text, see_part, &second));
    *found = first.found || second.found;
    *late = second.found;
    return FR_OK;
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

/* What encoding put in front of a text is left out of the first token that has a text. */
fr_text fr_tokenizer_piece(const fr_tokenizer *tokenizer, int32_t id, bool skip_special,
                           bool *is_first)
{
    if (!is_written(tokenizer, id, skip_special)) {
        return fr_text_of("");
    }
    const fr_token *token = &tokenizer->tokens[id];
    size_t lead = *is_first ? lead_bytes(tokenizer, token) : 0;
    *is_first = *is_first && token->bytes == 0;
    return (fr_text){token->text + lead, (size_t)token->bytes - lead};
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
        fr_text piece = fr_tokenizer_piece(tokenizer, ids[i], skip_special, &is_first);
        memcpy(next, piece.data, piece.bytes);
        next += piece.bytes;
    }
    *out_bytes = (size_t)(next - *out);
    return FR_OK;
}
