/* Classes of characters come from utf8proc: a small library of Debian with just the tables that normalizing needs, which works
 * on one code point at a time. So malformed bytes can be left alone, and orders of growth stay in this program's hands
 * (normalize_unicode.c). */
#include "model/text/character.h"

#include "base/print.h"

#include <utf8proc.h>

size_t fr_utf8_encode(uint32_t code, char out[FR_UTF8_BYTES])
{
    static const unsigned char LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(LEAD[length] | code);
    return length;
}

bool fr_utf8_before(const char *text, size_t end, size_t *start, uint32_t *code)
{
    for (size_t length = 1; length <= FR_UTF8_BYTES && length <= end; length++) {
        if (fr_utf8_next(text + end - length, length, code) == length) {
            *start = end - length;
            return true;
        }
    }
    return false;
}

size_t fr_utf8_stretch(const char *text, size_t bytes, bool valid)
{
    size_t at = 0;
    while (at < bytes) {
        uint32_t code = 0;
        size_t length = fr_utf8_next(text + at, bytes - at, &code);
        if ((length > 0) != valid) {
            break;
        }
        at += valid ? length : 1;
    }
    return at;
}

bool fr_is_white(uint32_t code)
{
    switch (utf8proc_category((int32_t)code)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return true;
    default:
        return (code >= '\t' && code <= '\r') || code == 0x85;
    }
}

/* Circled and squared letters, which are alphabetic, but symbols by their category, and the two joiners. */
static bool is_more_of_words(uint32_t code)
{
    return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
           (code >= 0x1F130 && code <= 0x1F149) ||
           (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}

bool fr_is_word(uint32_t code)
{
    switch (utf8proc_category((int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return is_more_of_words(code);
    }
}
