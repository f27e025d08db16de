/* Escapes in string literals of templates, as Python reads them. */
#include "model/jinja/jinja_tree.h"

#include <string.h>

/* Writes a code point as UTF-8; returns the bytes written, 0 for a surrogate and beyond Unicode. */
static size_t put_character(uint32_t code, char *out)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return 0;
    }
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(LEAD[n] | code);
    return n;
}

/* Reads "\xHH", "\uHHHH" or "\UHHHHHHHH" behind the backslash; returns the bytes read, 0 if they are not a character. */
static size_t hex_escape(fr_text text, char *out, size_t *written)
{
    size_t digits = text.data[0] == 'x' ? 2 : text.data[0] == 'u' ? 4 : 8;
    uint32_t code = 0;
    if (text.bytes < digits + 1) {
        return 0;
    }
    for (size_t i = 1; i <= digits; i++) {
        char c = text.data[i];
        unsigned value = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (value > 15 || code > 0x10FFFF) {
            return 0;
        }
        code = code * 16 + value;
    }
    *written = put_character(code, out);
    return *written > 0 ? digits + 1 : 0;
}

/* Octal digits behind a backslash. */
static size_t octal_escape(fr_text text, char *out, size_t *written)
{
    uint32_t code = 0;
    size_t n = 0;
    while (n < 3 && n < text.bytes && text.data[n] >= '0' && text.data[n] <= '7') {
        code = code * 8 + (uint32_t)(text.data[n++] - '0');
    }
    *written = put_character(code, out);
    return n;
}

size_t fr_jinja_escape(fr_text text, char *out, size_t *written)
{
    static const char NAMES[] = "\\'\"abfnrtv";
    static const char MEANT[] = "\\'\"\a\b\f\n\r\t\v";
    char c = text.data[0];
    const char *known = c != '\0' ? strchr(NAMES, c) : NULL;
    *written = 0;
    if (known != NULL) {
        out[(*written)++] = MEANT[known - NAMES];
        return 1;
    }
    if (c == '\n') {
        return 1;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        return hex_escape(text, out, written);
    }
    if (c >= '0' && c <= '7') {
        return octal_escape(text, out, written);
    }
    if (c == 'N' || (c & 0x80) != 0) {
        return 0;
    }
    out[(*written)++] = '\\';
    out[(*written)++] = c;
    return 1;
}
