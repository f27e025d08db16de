/* The merges of SentencePiece's BPE, which its files do not list: two neighbours merge if their texts joined are a token, and
 * the token with the highest score comes first, the leftmost of equals.
 *
 * So each token is cut at each of its characters. Where both sides are tokens, or single characters, that is a merge; its rank is
 * that of the token's score. Then encoding needs no texts, and costs the same as with listed merges. */
#include "base/mem.h"
#include "base/print.h"
#include "model/text/tokenizer_pieces.h"

#include <stdlib.h>
#include <string.h>

bool fr_pieces_is_spm_token(const fr_token_draft *draft, int64_t id)
{
    return draft->texts[id].bytes > 0 &&
           (draft->kinds[id] == FR_TOKEN_NORMAL || draft->kinds[id] == FR_TOKEN_UNUSED);
}

/* What the merges are being made from. */
typedef struct making {
    fr_ctx *ctx;
    const fr_token_draft *draft;
    const fr_text_map *map;
    fr_pieces *made;
    int32_t *rank_of; /* [n_tokens] */
    fr_merge *merges; /* [capacity] */
    int32_t *ranks;
    int64_t n_merges;
} making;

/* Length of the character at `at`; malformed bytes are alone. */
static size_t next_character(fr_text text, size_t at, uint32_t *code)
{
    size_t length = fr_utf8_next(text.data + at, text.bytes - at, code);
    return length > 0 ? length : 1;
}

/* Gives an id to each character that occurs within tokens and is none itself, in the order of the tokens; and counts the
 * places where tokens can be cut. */
static fr_status add_parts(making *m, int64_t *n_cuts)
{
    const fr_token_draft *draft = m->draft;
    int64_t capacity = 0;
    *n_cuts = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < draft->n_tokens; i++) {
            fr_text text = draft->texts[i];
            if (!fr_pieces_is_spm_token(draft, i)) {
                continue;
            }
            for (size_t at = 0; at < text.bytes;) {
                uint32_t code = FR_N_CODES;
                at += next_character(text, at, &code);
                *n_cuts += pass == 0 && at < text.bytes;
                if (code == FR_N_CODES || fr_pieces_character(m->made, code) >= 0) {
                    continue;
                }
                if (pass == 0) {
                    capacity++;
                } else {
                    int32_t part = m->made->n_parts++;
                    m->made->parts[part] = code;
                    FR_TRY(fr_pieces_set_character(m->ctx, m->made, code,
                                                   m->made->n_tokens + part));
                }
            }
        }
        if (pass == 0) {
            capacity = capacity < FR_N_CODES ? capacity : FR_N_CODES;
            FR_TRY(fr_alloc(m->ctx, capacity, sizeof *m->made->parts, &m->made->parts));
        }
    }
    return FR_OK;
}

typedef struct scored {
    double score;
    int32_t id;
} scored;

/* Highest score first; the id keeps the order the same everywhere. */
static int compare_scored(const void *a, const void *b)
{
    const scored *left = a;
    const scored *right = b;
    if (left->score != right->score) {
        return left->score > right->score ? -1 : 1;
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

/* Equal scores have equal ranks. */
static fr_status rank_tokens(making *m)
{
    int64_t n = m->draft->n_tokens;
    scored *order = NULL;
    FR_TRY(fr_alloc(m->ctx, n, sizeof *m->rank_of, &m->rank_of));
    FR_TRY(fr_alloc(m->ctx, n, sizeof *order, &order));
    for (int64_t i = 0; i < n; i++) {
        order[i] = (scored){m->draft->scores[i], (int32_t)i};
    }
    qsort(order, (size_t)n, sizeof *order, compare_scored);
    int32_t rank = 0;
    for (int64_t i = 0; i < n; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        m->rank_of[order[i].id] = rank;
    }
    free(order);
    return FR_OK;
}

/* The symbol that a text is: a token, or a single character. -1: neither. */
static int32_t symbol_of(const making *m, fr_text text)
{
    uint32_t code = 0;
    if (fr_utf8_next(text.data, text.bytes, &code) == text.bytes) {
        return fr_pieces_character(m->made, code);
    }
    int32_t id = fr_text_map_find(m->map, text);
    return id >= 0 && fr_pieces_is_spm_token(m->draft, id) ? id : -1;
}

/* An unused token must come apart in one way only: SentencePiece takes the way that it met last in the text. */
static fr_status note_halves(making *m, int32_t id, int32_t left, int32_t right)
{
    fr_halves **halves = &m->made->halves;
    if (*halves == NULL) {
        FR_TRY(fr_alloc(m->ctx, m->draft->n_tokens, sizeof **halves, halves));
        for (int64_t i = 0; i < m->draft->n_tokens; i++) {
            (*halves)[i] = (fr_halves){-1, -1};
        }
    }
    if ((*halves)[id].left >= 0) {
        return FR_FAIL(m->ctx, FR_ERR_UNSUPPORTED,
                       "%s: the unused token %d can be merged from other tokens in "
                       "two ways; one way is supported. Give rows as token ids "
                       "(source_ids, target_ids)",
                       m->draft->path, (int)id);
    }
    (*halves)[id] = (fr_halves){left, right};
    return FR_OK;
}

static fr_status cut_token(making *m, int32_t id)
{
    fr_text text = m->draft->texts[id];
    uint32_t code = 0;
    for (size_t at = next_character(text, 0, &code); at < text.bytes;
         at += next_character(text, at, &code)) {
        int32_t left = symbol_of(m, (fr_text){text.data, at});
        int32_t right = symbol_of(m, (fr_text){text.data + at, text.bytes - at});
        if (left < 0 || right < 0) {
            continue;
        }
        m->merges[m->n_merges] = (fr_merge){left, right, id};
        m->ranks[m->n_merges++] = m->rank_of[id];
        if (m->draft->kinds[id] == FR_TOKEN_UNUSED) {
            FR_TRY(note_halves(m, id, left, right));
        }
    }
    return FR_OK;
}

static fr_status make(making *m)
{
    int64_t n_cuts = 0;
    FR_TRY(add_parts(m, &n_cuts));
    FR_TRY(rank_tokens(m));
    FR_TRY(fr_alloc(m->ctx, n_cuts, sizeof *m->merges, &m->merges));
    FR_TRY(fr_alloc(m->ctx, n_cuts, sizeof *m->ranks, &m->ranks));
    for (int64_t i = 0; i < m->draft->n_tokens; i++) {
        if (fr_pieces_is_spm_token(m->draft, i) &&
            fr_text_map_find(m->map, m->draft->texts[i]) == i) {
            FR_TRY(cut_token(m, (int32_t)i));
        }
    }
    return fr_bpe_create(m->ctx, m->draft->path, m->merges, m->ranks, m->n_merges,
                         &m->made->bpe);
}

fr_status fr_pieces_create_spm(fr_ctx *ctx, const fr_token_draft *draft,
                               const fr_text_map *map, fr_pieces *made)
{
    making m = {.ctx = ctx, .draft = draft, .map = map, .made = made};
    fr_status status = make(&m);
    free(m.rank_of);
    free(m.merges);
    free(m.ranks);
    return status;
}
