/*
 * byte_table.h - GPT-2's one-to-one map between the 256 bytes and printable characters, in which the
 * tokens of a byte-level vocabulary are written.
 *
 * Layer L3. Bytes 33-126, 161-172 and 174-255 stand for the character of the same number; the other
 * 68, in order, for the characters from 256 on. Every such character takes one or two bytes of UTF-8.
 */
#ifndef FR_MODEL_TEXT_BYTE_TABLE_H
#define FR_MODEL_TEXT_BYTE_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { FR_BYTE_CHAR_BYTES = 2 };

/** Write the character that stands for `byte`; returns its length in bytes, 1 or 2. */
size_t fr_byte_to_char(uint8_t byte, char out[FR_BYTE_CHAR_BYTES]);

/** The byte that the first character of `text` stands for, -1 if it stands for none.
 * @param[out] used  length of that character, set only with a result >= 0 */
int fr_byte_from_char(const char *text, size_t bytes, size_t *used);

#endif
