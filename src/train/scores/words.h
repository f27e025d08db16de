/*
 * words.h - the words of an answer and of its references as numbers: equal words have equal numbers.
 *
 * Also what white space is. It is Python's, since the scores of others are Python programs: Unicode's White_Space and the four
 * separators U+001C to U+001F.
 */
#ifndef FR_TRAIN_SCORES_WORDS_H
#define FR_TRAIN_SCORES_WORDS_H

#include "base/ctx.h"
#include "base/text.h"

/** Symbols of several texts, one text after another: first an answer, then its references. */
typedef struct fr_symbols {
    int64_t n_texts;
    int64_t *ends;     /* [n_texts] end of each text in `symbols` */
    uint32_t *symbols; /* [ends[n_texts - 1]] */
} fr_symbols;

/** Zero-initialise; release with fr_words_fini. */
typedef struct fr_words {
    int64_t n;
    int64_t capacity;
    fr_text *words;
    int64_t n_texts;
    int64_t texts_capacity;
    int64_t *ends;
    char **buffers; /* [n_texts] what the words lie in */
    int64_t n_numbers;
    uint32_t *numbers; /* [n] from 0 up to n_numbers; after fr_words_of */
} fr_words;

/** The length of the character at the start of a text of at least one byte, and its code point. A byte that begins none is
 * U+FFFD. */
size_t fr_next_character(fr_text text, uint32_t *code);
/** Whether a character is white space in Python's str.split. */
bool fr_is_white_in_python(uint32_t code);
/** The text without such white space at its beginning and its end. */
fr_text fr_text_strip(fr_text text);

/** Adds a text by fr_words_add. */
typedef fr_status fr_words_adder(fr_ctx *ctx, fr_words *words, fr_text text);
/** The words of an answer and its n references. @param out  borrows from the words, which are released after a failure too */
FR_MUST_CHECK fr_status fr_words_of(fr_ctx *ctx, fr_words_adder *add, fr_text answer,
                                    const fr_text *references, int64_t n,
                                    fr_words *words, fr_symbols *out);
/** The next text: what stands between white space are its words. @param buffer  from fr_alloc; the words own it, on failure too */
FR_MUST_CHECK fr_status fr_words_add(fr_ctx *ctx, fr_words *words, char *buffer,
                                     size_t bytes);
void fr_words_fini(fr_words *words);

/** How many symbols text `t` has, and where they begin. */
int64_t fr_symbols_count(const fr_symbols *s, int64_t t);
const uint32_t *fr_symbols_of(const fr_symbols *s, int64_t t);

#endif
