/* Tokenizer 13a replaces some texts and then puts spaces around signs by four regular expressions, one after another. All that
 * they name are characters of ASCII, so bytes are looked at: those of longer characters are never digits nor signs. Matches do not
 * overlap, and the characters that one takes are not looked at again by the same expression; the walks below do likewise.
 *
 * Not part of it are the warnings that sacrebleu writes about texts that look tokenized already.
 */
#include "train/scores/bleu.h"

#include "base/elementary.h"
#include "base/integer.h"
#include "base/mem.h"
#include "train/scores/ngrams.h"

#include <stdlib.h>
#include <string.h>

/* ---- tokenizer 13a -------------------------------------------------------------------------------- */

/* Each occurrence of `from`, from left to right, becomes `to`, which is not longer. Returns the new length. */
static size_t replace(char *text, size_t bytes, const char *from, const char *to)
{
    size_t n_from = strlen(from);
    size_t n_to = strlen(to);
    size_t n = 0;
    for (size_t at = 0; at < bytes;) {
        if (bytes - at >= n_from && memcmp(text + at, from, n_from) == 0) {
            memcpy(text + n, to, n_to);
            n += n_to;
            at += n_from;
        } else {
            text[n++] = text[at++];
        }
    }
    return n;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_point(char c)
{
    return c == '.' || c == ',';
}

/* {-~ [-` space-& (-+ :-@ / */
static bool is_sign(char c)
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* The four expressions. SIGNS takes one character, the others two. */
typedef enum rule {
    SIGNS,                 /* spaces around each */
    POINT_AFTER_NO_DIGIT,  /* spaces around the point */
    POINT_BEFORE_NO_DIGIT, /* spaces around the point */
    HYPHEN_AFTER_DIGIT,    /* spaces around the hyphen */
    N_RULES
} rule;

static bool matches(rule which, const char *at, size_t left)
{
    if (which == SIGNS) {
        return is_sign(at[0]);
    }
    if (left < 2) {
        return false;
    }
    return which == POINT_AFTER_NO_DIGIT    ? !is_digit(at[0]) && is_point(at[1])
           : which == POINT_BEFORE_NO_DIGIT ? is_point(at[0]) && !is_digit(at[1])
                                            : is_digit(at[0]) && at[1] == '-';
}

/* What a match becomes; returns its length. */
static size_t write_match(rule which, const char *at, char *out)
{
    size_t n = 0;
    if (which == SIGNS || which == POINT_BEFORE_NO_DIGIT) {
        out[n++] = ' ';
    }
    out[n++] = at[0];
    out[n++] = ' ';
    if (which != SIGNS) {
        out[n++] = at[1];
    }
    if (which == POINT_AFTER_NO_DIGIT || which == HYPHEN_AFTER_DIGIT) {
        out[n++] = ' ';
    }
    return n;
}

/* *text is replaced. A match has at most three times as many bytes afterwards. */
static fr_status apply(fr_ctx *ctx, rule which, char **text, size_t *bytes)
{
    enum { MOST = 3 };
    char *out = NULL;
    size_t n = 0;
    FR_TRY(fr_alloc(ctx, (int64_t)*bytes, MOST, &out));
    for (size_t at = 0; at < *bytes;) {
        if (matches(which, *text + at, *bytes - at)) {
            n += write_match(which, *text + at, out + n);
            at += which == SIGNS ? 1 : 2;
        } else {
            out[n++] = (*text)[at++];
        }
    }
    free(*text);
    *text = out;
    *bytes = n;
    return FR_OK;
}

static size_t trimmed_end(fr_text text)
{
    fr_text inner = fr_text_strip(text);
    return inner.bytes > 0 ? (size_t)(inner.data - text.data) + inner.bytes : 0;
}

/* The order of the replacements decides what "&amp;lt;" becomes. */
fr_status fr_tokenize_13a(fr_ctx *ctx, fr_text text, char **out, size_t *bytes)
{
    char *buffer = NULL;
    size_t n = trimmed_end(text);
    *out = NULL;
    FR_TRY(fr_alloc(ctx, (int64_t)n + 2, 1, &buffer));
    buffer[0] = ' ';
    if (n > 0) {
        memcpy(buffer + 1, text.data, n);
    }
    n = replace(buffer + 1, n, "<skipped>", "");
    n = replace(buffer + 1, n, "-\n", "");
    n = replace(buffer + 1, n, "\n", " ");
    n = replace(buffer + 1, n, "&quot;", "\"");
    n = replace(buffer + 1, n, "&amp;", "&");
    n = replace(buffer + 1, n, "&lt;", "<");
    n = replace(buffer + 1, n, "&gt;", ">");
    buffer[n + 1] = ' ';
    *bytes = n + 2;
    for (rule which = SIGNS; which < N_RULES; which++) {
        fr_status status = apply(ctx, which, &buffer, bytes);
        if (status != FR_OK) {
            free(buffer);
            return status;
        }
    }
    *out = buffer;
    return FR_OK;
}

/* ---- counts ------------------------------------------------------------------------------------- */

static fr_status add_text(fr_ctx *ctx, fr_words *words, fr_text text)
{
    char *tokens = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenize_13a(ctx, text, &tokens, &bytes));
    return fr_words_add(ctx, words, tokens, bytes);
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

static int64_t nearest_length(const fr_symbols *s)
{
    int64_t answer = fr_symbols_count(s, 0);
    int64_t nearest = fr_symbols_count(s, 1);
    for (int64_t t = 2; t < s->n_texts; t++) {
        int64_t length = fr_symbols_count(s, t);
        int64_t more = distance(length, answer) - distance(nearest, answer);
        if (more < 0 || (more == 0 && length < nearest)) {
            nearest = length;
        }
    }
    return nearest;
}

static fr_status add_counts(fr_ctx *ctx, const fr_symbols *s, fr_bleu_counts *counts)
{
    int64_t *matches_OT = NULL;
    int64_t answer = fr_symbols_count(s, 0);
    FR_TRY(fr_alloc(ctx, FR_BLEU_ORDERS * s->n_texts, sizeof *matches_OT, &matches_OT));
    fr_status status = fr_ngram_matches(ctx, s, FR_BLEU_ORDERS, matches_OT);
    if (status == FR_OK) {
        counts->answer_tokens += answer;
        counts->reference_tokens += nearest_length(s);
        for (int n = 1; n <= FR_BLEU_ORDERS; n++) {
            counts->matches[n - 1] += matches_OT[(n - 1) * s->n_texts];
            counts->totals[n - 1] += fr_ngram_count(answer, n);
        }
    }
    free(matches_OT);
    return status;
}

fr_status fr_bleu_add(fr_ctx *ctx, fr_text answer, const fr_text *references, int64_t n,
                      fr_bleu_counts *counts)
{
    fr_words words = {0};
    fr_symbols symbols;
    fr_status status =
        fr_words_of(ctx, add_text, answer, references, n, &words, &symbols);
    if (status == FR_OK) {
        status = add_counts(ctx, &symbols, counts);
    }
    fr_words_fini(&words);
    return status;
}

/* ---- the score ---------------------------------------------------------------------------------- */

static double brevity(const fr_bleu_counts *c)
{
    if (c->answer_tokens >= c->reference_tokens) {
        return 1.0;
    }
    return c->answer_tokens > 0
               ? fr_exp(1.0 - (double)c->reference_tokens / (double)c->answer_tokens)
               : 0.0;
}

/* The first order without matches counts as half a match, the next as a quarter, and so on. An order without n-grams makes the
 * score 0. */
double fr_bleu_of(const fr_bleu_counts *counts)
{
    static const double PERCENT = 100.0;
    double share = 1.0;
    double sum = 0.0;
    bool none = true;
    bool no_grams = false;
    for (int i = 0; i < FR_BLEU_ORDERS; i++) {
        double total = (double)counts->totals[i];
        double matched = (double)counts->matches[i];
        none = none && counts->matches[i] == 0;
        no_grams = no_grams || counts->totals[i] == 0;
        if (counts->matches[i] == 0) {
            share *= 2.0;
        }
        if (!no_grams) {
            sum += fr_ln(counts->matches[i] == 0 ? PERCENT / (share * total)
                                                 : PERCENT * matched / total);
        }
    }
    return none || no_grams ? 0.0 : brevity(counts) * fr_exp(sum / FR_BLEU_ORDERS);
}
