/*
 * Text for a terminal or a log: any bytes become characters that are safe to show.
 *
 * Messages quote paths, arguments and contents of files. A control character among them could move the cursor or
 * hide what follows, and broken UTF-8 shows differently everywhere. So every such character is shown as an escape,
 * by one function (show_next) that all others use. Complete characters without control pass unchanged.
 */
#include "base/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 12 }; /* the longest character or escape, with its closing zero */

static bool is_in(uint32_t code, uint32_t first, uint32_t last)
{
    return code >= first && code <= last;
}

/* Controls, line and paragraph separators, marks and overrides of direction, the byte order mark. */
bool fr_is_control(uint32_t code)
{
    return code < 0x20 || is_in(code, 0x7F, 0x9F) || code == 0x061C ||
           is_in(code, 0x200E, 0x200F) || is_in(code, 0x2028, 0x202E) ||
           is_in(code, 0x2066, 0x2069) || code == 0xFEFF;
}

/* How the next character is shown; returns the bytes of `text` that it took. */
static size_t show_next(const char *text, size_t bytes, char shown[SHOWN_BYTES])
{
    uint32_t code = 0;
    size_t step = fr_utf8_next(text, bytes, &code);
    if (step == 0) {
        (void)snprintf(shown, SHOWN_BYTES, "\\x%02x", (unsigned)(unsigned char)text[0]);
        return 1;
    }
    if (!fr_is_control(code)) {
        memcpy(shown, text, step);
        shown[step] = '\0';
    } else if (code == '\n' || code == '\t' || code == '\r') {
        (void)snprintf(shown, SHOWN_BYTES, "\\%c",
                       code == '\n'   ? 'n'
                       : code == '\t' ? 't'
                                      : 'r');
    } else {
        (void)snprintf(shown, SHOWN_BYTES, code < 0x80 ? "\\x%02x" : "\\u%04x",
                       (unsigned)code);
    }
    return step;
}

/* Stops before a character that does not fit, so no escape and no UTF-8 sequence is cut in two. */
void fr_escape(const char *text, char *out, size_t capacity)
{
    size_t left = strlen(text);
    size_t used = 0;
    while (left > 0) {
        char shown[SHOWN_BYTES];
        size_t step = show_next(text, left, shown);
        size_t length = strlen(shown);
        if (length >= capacity - used) {
            break;
        }
        memcpy(out + used, shown, length);
        used += length;
        text += step;
        left -= step;
    }
    out[used] = '\0';
}

/* Characters of `kept` pass unchanged. */
static void print_shown(FILE *out, const char *text, size_t bytes, const char *kept)
{
    while (bytes > 0) {
        char shown[SHOWN_BYTES];
        size_t step = show_next(text, bytes, shown);
        if (*text != '\0' && strchr(kept, *text) != NULL) {
            (void)fputc(*text, out);
        } else {
            (void)fputs(shown, out);
        }
        text += step;
        bytes -= step;
    }
}

/* Formats first and shows afterwards, because a control character may come from any argument. Without memory for a
 * long line its beginning is printed. */
void fr_print_line(FILE *out, const char *format, ...)
{
    enum { SHORT_BYTES = 1024 };
    char cut
        [SHORT_BYTES]; /* enough for most lines, and for all where there is no memory */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(cut, sizeof cut, format, arguments);
    va_end(arguments);
    char *whole = length >= SHORT_BYTES ? malloc((size_t)length + 1) : NULL;
    if (whole != NULL) {
        va_start(arguments, format);
        (void)vsnprintf(whole, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    const char *text = whole != NULL ? whole : cut;
    if (length >= 0) {
        print_shown(out, text, strlen(text), "");
    }
    (void)fputc('\n', out);
    free(whole);
}

void fr_print_text(FILE *out, const char *text, size_t bytes)
{
    print_shown(out, text, bytes, "\n\t");
}

/* 0 for a byte that begins no character. Longer forms of a code than needed, surrogates and codes above U+10FFFF
 * are refused: they could smuggle a control character past fr_is_control. */
size_t fr_utf8_next(const char *text, size_t bytes, uint32_t *code)
{
    static const uint32_t MIN[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = byte[0] < 0x80             ? 1
                    : (byte[0] & 0xE0) == 0xC0 ? 2
                    : (byte[0] & 0xF0) == 0xE0 ? 3
                    : (byte[0] & 0xF8) == 0xF0 ? 4
                                               : 0;
    if (length == 0 || length > bytes) {
        return 0;
    }
    uint32_t value = length == 1 ? byte[0] : byte[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = value << 6 | (byte[i] & 0x3Fu);
    }
    bool surrogate = value >= 0xD800 && value < 0xE000;
    if (value < MIN[length] || value > 0x10FFFF || surrogate) {
        return 0;
    }
    *code = value;
    return length;
}
