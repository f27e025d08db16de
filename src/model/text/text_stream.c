/* The text of ids as they come.
 *
 * An id's bytes pass two places in which they may wait. `open` holds the bytes of a character that is not complete: three at
 * most. What leaves it is valid UTF-8 and goes to `held`, whose last bytes may be the beginning of a stop text; the rest is the next
 * piece.
 *
 * Each stop text has a table of Knuth, Morris and Pratt: for each of its beginnings the longest shorter beginning with which
 * that one ends. The texts' bytes go through all tables one by one, so that the stop is the one that is complete first (of
 * several at one place the longest), wherever ids end. As stop texts are valid UTF-8, what is held begins with a whole character.
 */
#include "model/text/text_stream.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "model/text/bytes.h"

#include <stdlib.h>
#include <string.h>

/* `matched`: how many of its bytes the text ends with. */
typedef struct stop {
    char *text;
    size_t bytes;
    size_t *shorter; /* [bytes + 1] */
    size_t matched;
} stop;

struct fr_text_stream {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    stop *stops;
    int64_t n_stops;
    bool is_first; /* as in fr_tokenizer_piece */
    bool has_stopped;
    fr_bytes open;
    fr_bytes held;
    fr_bytes piece;
};

/* ---- stop texts ------------------------------------------------------------------------------------ */

/* The longest beginning of `s` that ends with `byte`, if the text before ended with its first `matched` bytes. */
static size_t advance(const stop *s, size_t matched, char byte)
{
    while (matched > 0 && (matched == s->bytes || s->text[matched] != byte)) {
        matched = s->shorter[matched];
    }
    return s->text[matched] == byte ? matched + 1 : matched;
}

static fr_status open_stop(fr_ctx *ctx, const char *text, stop *out)
{
    out->bytes = strlen(text);
    if (out->bytes == 0 || out->bytes > FR_MAX_STOP_BYTES) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "a stop text has %zu bytes; it must have 1 to %d", out->bytes,
                       (int)FR_MAX_STOP_BYTES);
    }
    char *repaired = NULL;
    size_t bytes = out->bytes;
    int64_t n_broken = 0;
    FR_TRY(fr_copy_string(ctx, text, &out->text));
    FR_TRY(fr_copy_string(ctx, text, &repaired));
    fr_status status = fr_utf8_repair(ctx, &repaired, &bytes, &n_broken);
    free(repaired);
    FR_TRY(status);
    if (n_broken > 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "a stop text must be UTF-8: %s", text);
    }
    FR_TRY(fr_alloc(ctx, (int64_t)out->bytes + 1, sizeof *out->shorter, &out->shorter));
    for (size_t i = 1; i < out->bytes; i++) {
        out->shorter[i + 1] = advance(out, out->shorter[i], text[i]);
    }
    return FR_OK;
}

fr_status fr_text_stream_open(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const char *const *stops, int64_t n_stops,
                              fr_text_stream **out)
{
    fr_text_stream *s = NULL;
    *out = NULL;
    if (n_stops > FR_MAX_STOPS) {
        return FR_FAIL(ctx, FR_ERR_ARG, "%lld stop texts are given; at most %d may be",
                       (long long)n_stops, (int)FR_MAX_STOPS);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->tokenizer = tokenizer;
    s->is_first = true;
    fr_status status = fr_alloc(ctx, n_stops, sizeof *s->stops, &s->stops);
    for (int64_t i = 0; i < n_stops && status == FR_OK; i++) {
        s->n_stops = i + 1; /* so that closing releases this one too */
        status = open_stop(ctx, stops[i], &s->stops[i]);
    }
    if (status != FR_OK) {
        fr_text_stream_close(&s);
    }
    *out = s;
    return status;
}

void fr_text_stream_close(fr_text_stream **stream)
{
    fr_text_stream *s = *stream;
    *stream = NULL;
    if (s == NULL) {
        return;
    }
    for (int64_t i = 0; i < s->n_stops; i++) {
        free(s->stops[i].text);
        free(s->stops[i].shorter);
    }
    free(s->stops);
    fr_bytes_fini(&s->open);
    fr_bytes_fini(&s->held);
    fr_bytes_fini(&s->piece);
    free(s);
}

/* ---- bytes on their way ------------------------------------------------------------------------------ */

static void remove_first(fr_bytes *bytes, size_t n)
{
    bytes->count -= n;
    if (n > 0 && bytes->count > 0) {
        memmove(bytes->data, bytes->data + n, bytes->count);
    }
}

/* Moves whole characters, or with `all` everything, from `open` to `held`, broken ones repaired. */
static fr_status move_characters(fr_text_stream *s, bool all)
{
    fr_text waiting = fr_bytes_text(&s->open);
    size_t n = waiting.bytes;
    if (!all) {
        n -= fr_utf8_open_bytes(waiting.data, waiting.bytes);
    }
    if (n == 0) {
        return FR_OK;
    }
    char *text = NULL;
    size_t bytes = n;
    FR_TRY(fr_alloc(s->ctx, (int64_t)n + 1, 1, &text));
    memcpy(text, waiting.data, n);
    fr_status status = fr_utf8_repair(s->ctx, &text, &bytes, NULL);
    if (status == FR_OK) {
        status = fr_bytes_add(s->ctx, &s->held, text, bytes);
    }
    free(text);
    remove_first(&s->open, n);
    return status;
}

/* Lets the bytes of `held` from `from` on go through the stops. *free: how many bytes are sure not to belong to one. */
static void look_for_stops(fr_text_stream *s, size_t from, size_t *sure)
{
    size_t longest = 0; /* of what the text ends with */
    for (int64_t k = 0; k < s->n_stops; k++) {
        longest = s->stops[k].matched > longest ? s->stops[k].matched : longest;
    }
    for (size_t i = from; i < s->held.count && !s->has_stopped; i++) {
        size_t whole = 0;
        longest = 0;
        for (int64_t k = 0; k < s->n_stops; k++) {
            stop *one = &s->stops[k];
            one->matched = advance(one, one->matched, s->held.data[i]);
            longest = one->matched > longest ? one->matched : longest;
            if (one->matched == one->bytes && one->bytes > whole) {
                whole = one->bytes;
            }
        }
        if (whole > 0) {
            s->has_stopped = true;
            *sure = i + 1 - whole;
            return;
        }
    }
    *sure = s->held.count - longest;
}

/* The next piece: what `held` has, but for what may begin a stop text; with `all` that as well. */
static fr_status make_piece(fr_text_stream *s, size_t from, bool all, fr_text *piece)
{
    size_t sure = 0;
    look_for_stops(s, from, &sure);
    if (all && !s->has_stopped) {
        sure = s->held.count;
    }
    s->piece.count = 0;
    FR_TRY(fr_bytes_add(s->ctx, &s->piece, fr_bytes_text(&s->held).data, sure));
    FR_TRY(fr_bytes_add(s->ctx, &s->piece, "", 1));
    remove_first(&s->held, s->has_stopped ? s->held.count : sure);
    *piece = (fr_text){s->piece.data, sure};
    return FR_OK;
}

fr_status fr_text_stream_add(fr_text_stream *stream, int32_t id, fr_text *piece,
                             bool *stopped)
{
    fr_text_stream *s = stream;
    *piece = fr_text_of("");
    *stopped = s->has_stopped;
    if (id < 0) {
        return FR_FAIL(s->ctx, FR_ERR_ARG, "id %d is negative; ids begin at 0",
                       (int)id);
    }
    if (s->has_stopped) {
        return FR_OK;
    }
    fr_text text = fr_tokenizer_piece(s->tokenizer, id, true, &s->is_first);
    size_t before = s->held.count;
    FR_TRY(fr_bytes_add(s->ctx, &s->open, text.data, text.bytes));
    FR_TRY(move_characters(s, false));
    FR_TRY(make_piece(s, before, false, piece));
    *stopped = s->has_stopped;
    return FR_OK;
}

fr_status fr_text_stream_end(fr_text_stream *stream, fr_text *piece)
{
    fr_text_stream *s = stream;
    *piece = fr_text_of("");
    if (s->has_stopped) {
        return FR_OK;
    }
    size_t before = s->held.count;
    FR_TRY(move_characters(s, true));
    return make_piece(s, before, true, piece);
}
