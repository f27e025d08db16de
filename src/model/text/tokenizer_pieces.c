/* A piece becomes ids in two steps: first symbols (bytes, or characters with what stands for those that have no token), then
 * merges in place at the end of the list. With SPM a third step follows, since merges may leave symbols that are no tokens to
 * be written: characters that occur only within tokens, and unused tokens, which come apart again. Unigram has one step. */
#include "model/text/tokenizer_pieces.h"

#include "base/mem.h"
#include "base/print.h"
#include "model/text/character.h"

#include <stdlib.h>
#include <string.h>

void fr_pieces_destroy(fr_pieces **pieces)
{
    fr_pieces *closed = *pieces;
    if (closed != NULL) {
        for (int i = 0; closed->characters != NULL && i < FR_N_CODES / FR_PAGE_CODES;
             i++) {
            free(closed->characters[i]);
        }
        free(closed->characters);
        free(closed->parts);
        free(closed->halves);
        fr_text_map_fini(&closed->whole);
        free(closed->texts);
        fr_bpe_destroy(&closed->bpe);
        fr_unigram_destroy(&closed->unigram);
        free(closed);
        *pieces = NULL;
    }
}

int32_t fr_pieces_character(const fr_pieces *pieces, uint32_t code)
{
    const int32_t *page = pieces->characters[code / FR_PAGE_CODES];
    return page != NULL ? page[code % FR_PAGE_CODES] - 1 : -1;
}

fr_status fr_pieces_set_character(fr_ctx *ctx, fr_pieces *pieces, uint32_t code,
                                  int32_t id)
{
    int32_t **page = &pieces->characters[code / FR_PAGE_CODES];
    if (*page == NULL) {
        FR_TRY(fr_alloc(ctx, FR_PAGE_CODES, sizeof **page, page));
    }
    (*page)[code % FR_PAGE_CODES] = id + 1;
    return FR_OK;
}

void fr_pieces_scratch_fini(fr_pieces_scratch *scratch)
{
    fr_bpe_scratch_fini(&scratch->bpe);
    fr_unigram_scratch_fini(&scratch->unigram);
}

/* One piece. */
typedef struct encoding {
    fr_ctx *ctx;
    const fr_pieces *pieces;
    fr_ids *ids;
    int64_t first; /* ids before this one are of other pieces */
} encoding;

static fr_status fail_text(const encoding *job, fr_text text)
{
    uint32_t code = 0;
    if (job->pieces->characters == NULL || text.bytes == 1 ||
        fr_utf8_next(text.data, text.bytes, &code) != text.bytes) {
        return FR_FAIL(job->ctx, FR_ERR_DATA,
                       "the byte 0x%02X has no token in this model's vocabulary; "
                       "remove it from the text",
                       (unsigned)(unsigned char)text.data[0]);
    }
    return FR_FAIL(job->ctx, FR_ERR_DATA,
                   "the character U+%04X has no token in this model's vocabulary; "
                   "remove it from the text",
                   (unsigned)code);
}

static bool have_bytes(const fr_pieces *pieces, fr_text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (pieces->bytes[(unsigned char)text.data[i]] < 0) {
            return false;
        }
    }
    return true;
}

/* Appends what stands for a text without a token. */
static fr_status add_unknown(const encoding *job, fr_text text)
{
    const fr_pieces *p = job->pieces;
    const fr_ids *ids = job->ids;
    if (p->byte_fallback && have_bytes(p, text)) {
        for (size_t i = 0; i < text.bytes; i++) {
            FR_TRY(
                fr_ids_add(job->ctx, job->ids, p->bytes[(unsigned char)text.data[i]]));
        }
        return FR_OK;
    }
    if (p->unknown < 0) {
        return fail_text(job, text);
    }
    bool fused = p->fuse_unknown && ids->count > job->first &&
                 ids->data[ids->count - 1] == p->unknown;
    return fused ? FR_OK : fr_ids_add(job->ctx, job->ids, p->unknown);
}

static fr_status add_bytes(const encoding *job, fr_text piece)
{
    for (size_t i = 0; i < piece.bytes; i++) {
        int32_t id = job->pieces->bytes[(unsigned char)piece.data[i]];
        FR_TRY(id >= 0 ? fr_ids_add(job->ctx, job->ids, id)
                       : add_unknown(job, (fr_text){piece.data + i, 1}));
    }
    return FR_OK;
}

static fr_status add_characters(const encoding *job, fr_text piece)
{
    size_t at = 0;
    while (at < piece.bytes) {
        uint32_t code = 0;
        size_t length = fr_utf8_next(piece.data + at, piece.bytes - at, &code);
        int32_t id = length > 0 ? fr_pieces_character(job->pieces, code) : -1;
        length = length > 0 ? length : 1;
        FR_TRY(id >= 0 ? fr_ids_add(job->ctx, job->ids, id)
                       : add_unknown(job, (fr_text){piece.data + at, length}));
        at += length;
    }
    return FR_OK;
}

/* Appends a symbol that merging left. Parts of an unused token are shorter than the token, so the stack is never deeper than
 * the longest token has bytes. */
static fr_status add_symbol(const encoding *job, int32_t symbol)
{
    int32_t stack[FR_MAX_CHARACTER_TOKEN];
    int depth = 0;
    const fr_pieces *p = job->pieces;
    stack[depth++] = symbol;
    while (depth > 0) {
        int32_t id = stack[--depth];
        if (id >= p->n_tokens) {
            char text[FR_UTF8_BYTES];
            size_t length = fr_utf8_encode(p->parts[id - p->n_tokens], text);
            FR_TRY(add_unknown(job, (fr_text){text, length}));
        } else if (p->halves != NULL && p->halves[id].left >= 0) {
            stack[depth++] = p->halves[id].right;
            stack[depth++] = p->halves[id].left;
        } else if (id != p->unknown || !p->fuse_unknown ||
                   job->ids->count == job->first ||
                   job->ids->data[job->ids->count - 1] != id) {
            FR_TRY(fr_ids_add(job->ctx, job->ids, id));
        }
    }
    return FR_OK;
}

/* Replaces the symbols that are no tokens; most pieces have none. */
static fr_status finish_spm(const encoding *job)
{
    const fr_pieces *p = job->pieces;
    int64_t n = job->ids->count - job->first;
    int32_t *symbols = NULL;
    bool done = true;
    for (int64_t i = job->first; i < job->ids->count && done; i++) {
        int32_t id = job->ids->data[i];
        done = id < p->n_tokens && (p->halves == NULL || p->halves[id].left < 0);
    }
    if (done) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(job->ctx, n, sizeof *symbols, &symbols));
    memcpy(symbols, job->ids->data + job->first, (size_t)n * sizeof *symbols);
    job->ids->count = job->first;
    fr_status status = FR_OK;
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        status = add_symbol(job, symbols[i]);
    }
    free(symbols);
    return status;
}

static fr_status visit_unigram(void *user, int32_t id, fr_text text)
{
    const encoding *job = user;
    return id >= 0 ? fr_ids_add(job->ctx, job->ids, id) : add_unknown(job, text);
}

fr_status fr_pieces_encode(fr_ctx *ctx, const fr_pieces *pieces,
                           fr_pieces_scratch *scratch, fr_text piece, fr_ids *ids)
{
    encoding job = {ctx, pieces, ids, ids->count};
    if (pieces->model == FR_MODEL_UNIGRAM) {
        return fr_unigram_run(ctx, pieces->unigram, &scratch->unigram, piece,
                              visit_unigram, &job);
    }
    if (pieces->ignore_merges) {
        int32_t id = fr_text_map_find(&pieces->whole, piece);
        if (id >= 0) {
            return fr_ids_add(ctx, ids, id);
        }
    }
    FR_TRY(pieces->model == FR_MODEL_BYTE_BPE ? add_bytes(&job, piece)
                                              : add_characters(&job, piece));
    int64_t n = 0;
    FR_TRY(fr_bpe_merge(ctx, pieces->bpe, &scratch->bpe, ids->data + job.first,
                        ids->count - job.first, &n));
    ids->count = job.first + n;
    return pieces->model == FR_MODEL_SPM ? finish_spm(&job) : FR_OK;
}
