/* Of characters beyond ASCII only two have a letter of ASCII in their small form: U+0130 becomes an i and a mark, U+212A a k.
 * All others separate words, as everything does that is neither a letter nor a digit of ASCII: in texts in other scripts ROUGE-L
 * finds no words.
 *
 * The longest common subsequence takes 64 columns of its table at a time (H. Hyyrö, Bit-parallel LCS-length computation
 * revisited, 2004): bit i of V is 0 where the length grows at column i. For each symbol y of b, with M the places of y in a:
 * U = V & M, V = (V + U) | (V - U).
 *
 * M is kept for symbols that a holds more often than V has words of 64 bits, at most 64 of them. For the others it is made from their
 * places each time, which costs no more than a pass over V. So memory grows with a's length, not with its square.
 */
#include "train/scores/rouge.h"

#include "base/integer.h"
#include "base/mem.h"
#include "train/scores/words.h"

#include <stdlib.h>
#include <string.h>

enum { BITS = 64, DOTTED_I = 0x130, KELVIN = 0x212A };

/* ---- words -------------------------------------------------------------------------------------- */

/* The letter or digit that a character is, in its small form; 0: it separates words. *ends: it also ends the word. */
static char small_form(uint32_t code, bool *ends)
{
    *ends = code == DOTTED_I;
    if (code >= 'A' && code <= 'Z') {
        return (char)(code - 'A' + 'a');
    }
    if ((code >= 'a' && code <= 'z') || (code >= '0' && code <= '9')) {
        return (char)code;
    }
    return code == DOTTED_I ? 'i' : code == KELVIN ? 'k' : '\0';
}

/* No character has more bytes afterwards: the two above have two and three. */
static fr_status add_text(fr_ctx *ctx, fr_words *words, fr_text text)
{
    char *buffer = NULL;
    size_t n = 0;
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes, 1, &buffer));
    for (size_t at = 0; at < text.bytes;) {
        uint32_t code = 0;
        bool ends = false;
        at += fr_next_character((fr_text){text.data + at, text.bytes - at}, &code);
        char letter = small_form(code, &ends);
        buffer[n++] = letter != '\0' ? letter : ' ';
        if (ends) {
            buffer[n++] = ' ';
        }
    }
    return fr_words_add(ctx, words, buffer, n);
}

/* ---- the longest common subsequence ---------------------------------------------------------------- */

/* Places of symbols in `a`, and rows of bits. */
typedef struct columns {
    int64_t n_words; /* of BITS bits, of a row */
    int64_t *begins; /* [n_numbers + 1] of each symbol in `places` */
    int64_t *places; /* [n_a] */
    int64_t *kept;   /* [n_numbers] its row in `rows`, from 1; 0: none */
    uint64_t *rows;
    uint64_t *row; /* of a symbol that has none; zeros between */
    uint64_t *v;
} columns;

static void columns_fini(columns *c)
{
    free(c->begins);
    free(c->places);
    free(c->kept);
    free(c->rows);
    free(c->row);
    free(c->v);
}

static void set_bits(const columns *c, uint32_t symbol, uint64_t *row)
{
    for (int64_t i = c->begins[symbol]; i < c->begins[symbol + 1]; i++) {
        row[c->places[i] / BITS] |= (uint64_t)1 << (c->places[i] % BITS);
    }
}

static void clear_bits(const columns *c, uint32_t symbol, uint64_t *row)
{
    for (int64_t i = c->begins[symbol]; i < c->begins[symbol + 1]; i++) {
        row[c->places[i] / BITS] = 0;
    }
}

/* Each symbol's places, in order: counted, summed, dealt out. */
static fr_status find_places(fr_ctx *ctx, columns *c, const uint32_t *a, int64_t n_a,
                             int64_t n_numbers)
{
    FR_TRY(fr_alloc(ctx, n_numbers + 1, sizeof *c->begins, &c->begins));
    FR_TRY(fr_alloc(ctx, n_a, sizeof *c->places, &c->places));
    for (int64_t i = 0; i < n_a; i++) {
        c->begins[a[i] + 1]++;
    }
    for (int64_t s = 0; s < n_numbers; s++) {
        c->begins[s + 1] += c->begins[s];
    }
    for (int64_t i = n_a - 1; i >= 0; i--) {
        c->places[--c->begins[a[i] + 1]] = i;
    }
    /* now begins[s + 1] is where s begins */
    memmove(c->begins, c->begins + 1, (size_t)n_numbers * sizeof *c->begins);
    c->begins[n_numbers] = n_a;
    return FR_OK;
}

static fr_status keep_rows(fr_ctx *ctx, columns *c, int64_t n_numbers)
{
    int64_t n_kept = 0;
    FR_TRY(fr_alloc(ctx, n_numbers, sizeof *c->kept, &c->kept));
    for (int64_t s = 0; s < n_numbers; s++) {
        c->kept[s] = c->begins[s + 1] - c->begins[s] > c->n_words ? ++n_kept : 0;
    }
    FR_TRY(fr_alloc(ctx, n_kept * c->n_words, sizeof *c->rows, &c->rows));
    for (int64_t s = 0; s < n_numbers; s++) {
        if (c->kept[s] > 0) {
            set_bits(c, (uint32_t)s, c->rows + (c->kept[s] - 1) * c->n_words);
        }
    }
    return FR_OK;
}

/* The sum over all words with its carries. */
static void pass(uint64_t *v, const uint64_t *row, int64_t n_words)
{
    uint64_t carry = 0;
    for (int64_t i = 0; i < n_words; i++) {
        uint64_t u = v[i] & row[i];
        uint64_t sum = v[i] + u;
        uint64_t total = sum + carry;
        carry = (uint64_t)(sum < u) | (uint64_t)(total < sum);
        v[i] = total | (v[i] - u);
    }
}

static void walk(columns *c, const uint32_t *b, int64_t n_b)
{
    memset(c->v, 0xFF, (size_t)c->n_words * sizeof *c->v);
    for (int64_t j = 0; j < n_b; j++) {
        if (c->kept[b[j]] > 0) {
            pass(c->v, c->rows + (c->kept[b[j]] - 1) * c->n_words, c->n_words);
        } else if (c->begins[b[j]] < c->begins[b[j] + 1]) {
            set_bits(c, b[j], c->row);
            pass(c->v, c->row, c->n_words);
            clear_bits(c, b[j], c->row);
        }
    }
}

fr_status fr_common_subsequence(fr_ctx *ctx, const uint32_t *a, int64_t n_a,
                                const uint32_t *b, int64_t n_b, int64_t n_numbers,
                                int64_t *out)
{
    columns c = {.n_words = fr_ceil_div(n_a, BITS)};
    fr_status status = find_places(ctx, &c, a, n_a, n_numbers);
    *out = 0;
    if (status == FR_OK) {
        status = keep_rows(ctx, &c, n_numbers);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, c.n_words, sizeof *c.row, &c.row);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, c.n_words, sizeof *c.v, &c.v);
    }
    if (status == FR_OK) {
        walk(&c, b, n_b);
        for (int64_t i = 0; i < n_a; i++) {
            *out += (int64_t)(~c.v[i / BITS] >> (i % BITS) & 1);
        }
    }
    columns_fini(&c);
    return status;
}

/* ---- the score ---------------------------------------------------------------------------------- */

static double f_measure(int64_t common, int64_t n_answer, int64_t n_reference)
{
    if (common == 0) {
        return 0.0;
    }
    double precision = (double)common / (double)n_answer;
    double recall = (double)common / (double)n_reference;
    return 2.0 * precision * recall / (precision + recall);
}

static fr_status score(fr_ctx *ctx, const fr_words *words, const fr_symbols *s,
                       double *out)
{
    int64_t n_answer = fr_symbols_count(s, 0);
    *out = 0.0;
    for (int64_t t = 1; t < s->n_texts; t++) {
        int64_t common = 0;
        int64_t n_reference = fr_symbols_count(s, t);
        FR_TRY(fr_common_subsequence(ctx, fr_symbols_of(s, 0), n_answer,
                                     fr_symbols_of(s, t), n_reference, words->n_numbers,
                                     &common));
        double f = f_measure(common, n_answer, n_reference);
        *out = f > *out ? f : *out;
    }
    return FR_OK;
}

fr_status fr_rouge_l(fr_ctx *ctx, fr_text answer, const fr_text *references, int64_t n,
                     double *out)
{
    fr_words words = {0};
    fr_symbols symbols;
    fr_status status =
        fr_words_of(ctx, add_text, answer, references, n, &words, &symbols);
    if (status == FR_OK) {
        status = score(ctx, &words, &symbols, out);
    }
    fr_words_fini(&words);
    return status;
}
