/*
 * A template and data become one list of ids. The difficulty: the tokenizer must see template and data as one string, as
 * it would in a prompt, but special tokens count in the template only.
 *
 * So text is collected until the template holds a special token; then the collected text is tokenised without special
 * tokens, and the special token's id follows. To find special tokens, a piece of the template is tokenised alone with
 * special tokens, and the ids that are special are looked up in its text. With `special` all of it is one string.
 *
 * `own` flags follow the bytes: each byte of the collected text knows whether it is data, and an id is the row's own if
 * all bytes that it stands for are. A tokenizer may normalize a text; then the ids decode to another text. What both texts have
 * in common at their beginning and at their end is the same bytes, and an id within the rest stands for all of the rest.
 */
#define _GNU_SOURCE /* memmem */
#include "train/data/text.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Text collected since the last special token. */
typedef struct collector {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    fr_ids *ids;
    fr_ids *own;  /* NULL: no flags wanted */
    bool special; /* recognise special tokens in the collected text */
    char *text;
    bool *is_own; /* of each byte of it */
    size_t bytes;
} collector;

static void collect(collector *c, const char *text, size_t bytes, bool is_own)
{
    memcpy(c->text + c->bytes, text, bytes);
    memset(c->is_own + c->bytes, is_own, bytes);
    c->bytes += bytes;
}

/* What the ids from `first` on decode to, beside the collected text. */
typedef struct alignment {
    fr_text decoded;
    size_t bytes;    /* of the collected text */
    size_t before;   /* bytes that are the same at the beginning */
    size_t behind;   /* and at the end */
    size_t left_out; /* of the first id: a space that decoding leaves out */
} alignment;

static alignment align(const collector *c, int64_t first, size_t bytes, fr_text decoded)
{
    alignment a = {.decoded = decoded, .bytes = bytes};
    size_t least = bytes < decoded.bytes ? bytes : decoded.bytes;
    while (a.before < least && decoded.data[a.before] == c->text[a.before]) {
        a.before++;
    }
    while (a.behind < least - a.before && decoded.data[decoded.bytes - 1 - a.behind] ==
                                              c->text[bytes - 1 - a.behind]) {
        a.behind++;
    }
    for (int64_t i = first; i < c->ids->count; i++) {
        a.left_out += fr_tokenizer_token_bytes(c->tokenizer, c->ids->data[i]);
    }
    a.left_out -= decoded.bytes;
    return a;
}

/* Whether the bytes `at` to `end` of the decoded text stand for data alone. */
static bool is_own(const collector *c, const alignment *a, size_t at, size_t end)
{
    size_t behind = a->decoded.bytes - a->behind;
    size_t from = at < a->before ? at
                  : at < behind  ? a->before
                                 : at - behind + a->bytes - a->behind;
    size_t to = end <= a->before ? end
                : end <= behind  ? a->bytes - a->behind
                                 : end - behind + a->bytes - a->behind;
    bool own = to > from;
    for (size_t i = from; i < to && own; i++) {
        own = c->is_own[i];
    }
    return own;
}

/* Flag the ids from `first` on. They stand for the bytes of the text in order. */
static fr_status flag_tokens(const collector *c, int64_t first, size_t bytes)
{
    char *decoded = NULL;
    size_t decoded_bytes = 0;
    if (c->own == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_tokenizer_decode(c->ctx, c->tokenizer, c->ids->data + first,
                               c->ids->count - first, false, &decoded, &decoded_bytes));
    alignment a = align(c, first, bytes, (fr_text){decoded, decoded_bytes});
    fr_status status = FR_OK;
    size_t at = 0;
    for (int64_t i = first; i < c->ids->count && status == FR_OK; i++) {
        size_t length = fr_tokenizer_token_bytes(c->tokenizer, c->ids->data[i]);
        size_t left_out = length < a.left_out ? length : a.left_out;
        a.left_out -= left_out;
        size_t end = at + length - left_out;
        status = fr_ids_add(c->ctx, c->own, is_own(c, &a, at, end) ? 1 : 0);
        at = end;
    }
    free(decoded);
    return status;
}

/* Tokenise the collected text and begin a new one. Failures leave ids behind, which fr_text_encode takes back. */
static fr_status flush(collector *c)
{
    size_t bytes = c->bytes;
    int64_t first = c->ids->count;
    c->bytes = 0;
    if (bytes == 0) {
        return FR_OK;
    }
    FR_TRY(
        fr_tokenizer_encode(c->ctx, c->tokenizer, c->text, bytes, c->special, c->ids));
    return flag_tokens(c, first, bytes);
}

static fr_status add_special(const collector *c, int32_t id)
{
    FR_TRY(fr_ids_add(c->ctx, c->ids, id));
    return c->own != NULL ? fr_ids_add(c->ctx, c->own, 0) : FR_OK;
}

/* Cut `piece` at the text of special token `id`, which it contains, and move its start behind the token. */
static fr_status take_special(collector *c, int32_t id, fr_piece *piece)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(c->ctx, c->tokenizer, &id, 1, false, &text, &bytes));
    const char *at = memmem(piece->text, piece->bytes, text, bytes);
    fr_status status = FR_OK;
    if (at != NULL) {
        size_t before = (size_t)(at - piece->text);
        collect(c, piece->text, before, false);
        piece->text += before + bytes;
        piece->bytes -= before + bytes;
        status = flush(c);
        if (status == FR_OK) {
            status = add_special(c, id);
        }
    }
    free(text);
    return status;
}

/* Collect `piece` up to the end of added token `id`, which it contains, so that later searches do not look inside it. */
static fr_status pass_added(collector *c, int32_t id, fr_piece *piece)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(c->ctx, c->tokenizer, &id, 1, false, &text, &bytes));
    const char *at = memmem(piece->text, piece->bytes, text, bytes);
    size_t passed = at != NULL ? (size_t)(at - piece->text) + bytes : 0;
    collect(c, piece->text, passed, false);
    piece->text += passed;
    piece->bytes -= passed;
    free(text);
    return FR_OK;
}

/* The ids of the template alone are used only to find its special tokens: the rest of its text is collected and
 * tokenised again together with the data beside it. Added tokens that are not special are text. */
static fr_status add_template(collector *c, fr_piece piece)
{
    fr_ids ids = {0};
    fr_status status =
        fr_tokenizer_encode(c->ctx, c->tokenizer, piece.text, piece.bytes, true, &ids);
    for (int64_t i = 0; status == FR_OK && i < ids.count; i++) {
        int32_t id = ids.data[i];
        if (fr_tokenizer_is_special(c->tokenizer, id)) {
            status = take_special(c, id, &piece);
        } else if (fr_tokenizer_is_added(c->tokenizer, id)) {
            status = pass_added(c, id, &piece);
        }
    }
    collect(c, piece.text, piece.bytes, false);
    fr_ids_fini(&ids);
    return status;
}

static fr_status add_pieces(collector *c, const fr_piece *pieces, int n_pieces)
{
    for (int i = 0; i < n_pieces; i++) {
        if (pieces[i].is_template && !c->special) {
            FR_TRY(add_template(c, pieces[i]));
        } else {
            collect(c, pieces[i].text, pieces[i].bytes, !pieces[i].is_template);
        }
    }
    return flush(c);
}

/* Collected text is never longer than all pieces together, so one allocation serves the whole call. */
fr_status fr_text_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                         const fr_piece *pieces, int n_pieces, bool special,
                         fr_ids *ids, fr_ids *own)
{
    assert(own == NULL || own->count == ids->count);
    int64_t n_before = ids->count;
    collector c = {
        .ctx = ctx, .tokenizer = tokenizer, .ids = ids, .own = own, .special = special};
    size_t total = 1;
    for (int i = 0; i < n_pieces; i++) {
        total += pieces[i].bytes;
    }
    FR_TRY(fr_alloc(ctx, (int64_t)total, 1, &c.text));
    fr_status status = fr_alloc(ctx, (int64_t)total, sizeof *c.is_own, &c.is_own);
    if (status == FR_OK) {
        status = add_pieces(&c, pieces, n_pieces);
    }
    if (status != FR_OK) {
        ids->count = n_before;
    }
    if (status != FR_OK && own != NULL) {
        own->count = n_before;
    }
    free(c.is_own);
    free(c.text);
    return status;
}

fr_status fr_text_encode_source(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                const fr_template *t, fr_text source, bool special,
                                fr_ids *ids, fr_ids *own)
{
    const fr_piece pieces[] = {{t->before, t->before_bytes, true},
                               {source.data, t->has_source ? source.bytes : 0, false},
                               {t->between, t->between_bytes, true}};
    return fr_text_encode(ctx, tokenizer, pieces, 3, special, ids, own);
}

fr_status fr_text_encode_target(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                const fr_template *t, fr_text target, bool special,
                                fr_ids *ids, fr_ids *own)
{
    const fr_piece pieces[] = {{target.data, target.bytes, false},
                               {t->after, t->after_bytes, true}};
    return fr_text_encode(ctx, tokenizer, pieces, 2, special, ids, own);
}
