/*
 * character.h - characters of a text that may also hold bytes outside well-formed UTF-8. base/print.h has fr_utf8_next, which
 * reads one.
 */
#ifndef FR_MODEL_TEXT_CHARACTER_H
#define FR_MODEL_TEXT_CHARACTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FR_UTF8_BYTES = 4 };

/** Writes a code point; returns its length. */
size_t fr_utf8_encode(uint32_t code, char out[FR_UTF8_BYTES]);
/** The well-formed character that ends before `end` (> 0), its beginning in *start. False: that byte ends none. */
bool fr_utf8_before(const char *text, size_t end, size_t *start, uint32_t *code);
/** Length of the stretch at the start of `text` that is well-formed throughout, or (with `valid` false) that holds no
 * well-formed character. */
size_t fr_utf8_stretch(const char *text, size_t bytes, bool valid);

/** Unicode's White_Space. */
bool fr_is_white(uint32_t code);
/** Belongs to words: alphabetic, a mark, a decimal digit, connecting punctuation, a joiner (UTS 18's \w). */
bool fr_is_word(uint32_t code);

#endif
