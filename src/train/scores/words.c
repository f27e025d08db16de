/* Words are compared by their bytes and numbered in that order, by sorting: no text can make that slow. */
#include "train/scores/words.h"

#include "base/integer.h"
#include "base/mem.h"
#include "base/print.h"

#include <stdlib.h>
#include <string.h>

enum { REPLACEMENT = 0xFFFD };

/* ---- white space -------------------------------------------------------------------------------- */

size_t fr_next_character(fr_text text, uint32_t *code)
{
    size_t n = fr_utf8_next(text.data, text.bytes, code);
    if (n == 0) {
        *code = REPLACEMENT;
    }
    return n > 0 ? n : 1;
}

bool fr_is_white_in_python(uint32_t code)
{
    static const uint32_t RANGES[][2] = {
        {0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
        {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
        {0x205F, 0x205F}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof RANGES / sizeof RANGES[0]; i++) {
        if (code >= RANGES[i][0] && code <= RANGES[i][1]) {
            return true;
        }
    }
    return false;
}

fr_text fr_text_strip(fr_text text)
{
    size_t begin = text.bytes;
    size_t end = 0;
    for (size_t at = 0; at < text.bytes;) {
        uint32_t code = 0;
        size_t n = fr_next_character((fr_text){text.data + at, text.bytes - at}, &code);
        if (!fr_is_white_in_python(code)) {
            begin = at < begin ? at : begin;
            end = at + n;
        }
        at += n;
    }
    return end > begin ? (fr_text){text.data + begin, end - begin}
                       : (fr_text){text.data, 0};
}

/* ---- words -------------------------------------------------------------------------------------- */

void fr_words_fini(fr_words *words)
{
    for (int64_t i = 0; i < words->n_texts; i++) {
        free(words->buffers[i]);
    }
    free(words->buffers);
    free(words->words);
    free(words->ends);
    free(words->numbers);
    *words = (fr_words){0};
}

static fr_status begin(fr_ctx *ctx, fr_words *words, int64_t n_texts)
{
    words->texts_capacity = n_texts;
    FR_TRY(fr_alloc(ctx, n_texts, sizeof *words->ends, &words->ends));
    return fr_alloc(ctx, n_texts, sizeof *words->buffers, &words->buffers);
}

static fr_status add_word(fr_ctx *ctx, fr_words *words, fr_text word)
{
    enum { FIRST = 64 };
    if (words->n == words->capacity) {
        fr_text *more = NULL;
        int64_t capacity = fr_max(FIRST, 2 * words->capacity);
        FR_TRY(fr_alloc(ctx, capacity, sizeof *more, &more));
        if (words->n > 0) {
            memcpy(more, words->words, (size_t)words->n * sizeof *more);
        }
        free(words->words);
        words->words = more;
        words->capacity = capacity;
    }
    words->words[words->n++] = word;
    return FR_OK;
}

fr_status fr_words_add(fr_ctx *ctx, fr_words *words, char *buffer, size_t bytes)
{
    size_t began = 0;
    words->buffers[words->n_texts] = buffer;
    int64_t *end = &words->ends[words->n_texts++];
    for (size_t at = 0; at < bytes;) {
        uint32_t code = 0;
        size_t n = fr_next_character((fr_text){buffer + at, bytes - at}, &code);
        if (fr_is_white_in_python(code)) {
            if (at > began) {
                FR_TRY(add_word(ctx, words, (fr_text){buffer + began, at - began}));
            }
            began = at + n;
        }
        at += n;
    }
    if (bytes > began) {
        FR_TRY(add_word(ctx, words, (fr_text){buffer + began, bytes - began}));
    }
    *end = words->n;
    return FR_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const fr_text *x = *(const fr_text *const *)a;
    const fr_text *y = *(const fr_text *const *)b;
    int order = memcmp(x->data, y->data, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static fr_status number(fr_ctx *ctx, fr_words *words, fr_symbols *out)
{
    const fr_text **sorted = NULL;
    FR_TRY(fr_alloc(ctx, words->n, sizeof *words->numbers, &words->numbers));
    FR_TRY(fr_alloc(ctx, words->n, sizeof *sorted, &sorted));
    for (int64_t i = 0; i < words->n; i++) {
        sorted[i] = &words->words[i];
    }
    qsort(sorted, (size_t)words->n, sizeof *sorted, by_bytes);
    words->n_numbers = 0;
    for (int64_t i = 0; i < words->n; i++) {
        if (i == 0 || by_bytes(&sorted[i - 1], &sorted[i]) != 0) {
            words->n_numbers++;
        }
        words->numbers[sorted[i] - words->words] = (uint32_t)(words->n_numbers - 1);
    }
    free(sorted);
    *out = (fr_symbols){words->n_texts, words->ends, words->numbers};
    return FR_OK;
}

fr_status fr_words_of(fr_ctx *ctx, fr_words_adder *add, fr_text answer,
                      const fr_text *references, int64_t n, fr_words *words,
                      fr_symbols *out)
{
    FR_TRY(begin(ctx, words, n + 1));
    FR_TRY(add(ctx, words, answer));
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(add(ctx, words, references[i]));
    }
    return number(ctx, words, out);
}

int64_t fr_symbols_count(const fr_symbols *s, int64_t t)
{
    return s->ends[t] - (t > 0 ? s->ends[t - 1] : 0);
}

const uint32_t *fr_symbols_of(const fr_symbols *s, int64_t t)
{
    return s->symbols + (t > 0 ? s->ends[t - 1] : 0);
}
