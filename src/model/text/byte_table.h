/*
 * byte_table.h - GPT-2's one-to-one map between the 256 bytes and printable characters. The tokens of a byte-level
 * vocabulary are written in these characters.
 *
 * Bytes 33-126, 161-172 and 174-255 map to the character of the same number; the other 68, in order, to the characters from
 * 256 on. Each of these characters takes one or two bytes of UTF-8.
 */
#ifndef FR_MODEL_TEXT_BYTE_TABLE_H
#define FR_MODEL_TEXT_BYTE_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { FR_BYTE_CHAR_BYTES = 2 };

/** Writes the character of `byte`; returns its length in bytes, 1 or 2. */
size_t fr_byte_to_char(uint8_t byte, char out[FR_BYTE_CHAR_BYTES]);

/** The byte of the first character of `text`; -1 if that character does not stand for a byte.
 * @param[out] used  length of that character in bytes; set only if the result is >= 0 */
int fr_byte_from_char(const char *text, size_t bytes, size_t *used);

#endif
