/* The byte table of byte-level BPE: each byte is written as one printable character.
 *
 * A byte that is a printable character of Latin-1 stands for itself. The others, in rising order, get the characters
 * from SHIFTED on. No table is stored: both directions are computed from the three runs of bytes that are not
 * printable. */
#include "model/text/byte_table.h"

/* The first character that stands for a byte of another number. */
enum { SHIFTED = 256 };

/* The bytes whose own character is not printable lie in three runs: 0-32, 127-160 and 173. */
enum { RUN1_END = 33, RUN2 = 127, RUN2_END = 161, RUN3 = 173 };

static unsigned char_of(unsigned byte)
{
    if (byte < RUN1_END) {
        return SHIFTED + byte;
    }
    if (byte >= RUN2 && byte < RUN2_END) {
        return SHIFTED + RUN1_END + (byte - RUN2);
    }
    return byte == RUN3 ? SHIFTED + RUN1_END + (RUN2_END - RUN2) : byte;
}

static int byte_of(unsigned character)
{
    unsigned byte = character;
    if (character >= SHIFTED) {
        unsigned rank = character - SHIFTED;
        byte = rank < RUN1_END                       ? rank
               : rank < RUN1_END + (RUN2_END - RUN2) ? rank - RUN1_END + RUN2
                                                     : RUN3;
    }
    return char_of(byte) == character ? (int)byte : -1;
}

size_t fr_byte_to_char(uint8_t byte, char out[FR_BYTE_CHAR_BYTES])
{
    unsigned character = char_of(byte);
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    out[0] = (char)(0xC0 | (character >> 6));
    out[1] = (char)(0x80 | (character & 0x3F));
    return 2;
}

int fr_byte_from_char(const char *text, size_t bytes, size_t *used)
{
    if (bytes == 0) {
        return -1;
    }
    unsigned first = (unsigned char)text[0];
    if (first < 0x80) {
        *used = 1;
        return byte_of(first);
    }
    /* C2 to DF lead the two-byte forms that are not overlong. */
    if (bytes < 2 || first < 0xC2 || first > 0xDF ||
        ((unsigned char)text[1] & 0xC0) != 0x80) {
        return -1;
    }
    *used = 2;
    return byte_of(((first & 0x1F) << 6) | ((unsigned char)text[1] & 0x3F));
}
