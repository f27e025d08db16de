#include "base/utf8.h"

#include "base/mem.h"
#include "base/print.h"

#include <stdlib.h>
#include <string.h>

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */
enum { REPLACEMENT_BYTES = sizeof REPLACEMENT - 1 };

/* Whether the second byte of a character may follow its first one: no long forms, no surrogates, nothing beyond
 * U+10FFFF. */
static bool may_follow(unsigned char first, unsigned char second)
{
    unsigned low = first == 0xE0 ? 0xA0u : first == 0xF0 ? 0x90u : 0x80u;
    unsigned high = first == 0xED ? 0x9Fu : first == 0xF4 ? 0x8Fu : 0xBFu;
    return second >= low && second <= high;
}

size_t fr_utf8_whole_bytes(char begin)
{
    unsigned char first = (unsigned char)begin;
    return first >= 0xC2 && first <= 0xDF   ? 2
           : first >= 0xE0 && first <= 0xEF ? 3
           : first >= 0xF0 && first <= 0xF4 ? 4
                                            : 1;
}

/* Bytes at `text`, which does not begin with a whole character, that one U+FFFD stands for. */
static size_t broken_bytes(const char *text, size_t bytes)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t whole = fr_utf8_whole_bytes(text[0]);
    size_t n = 1;
    if (whole > 1 && bytes > 1 && may_follow(byte[0], byte[1])) {
        n = 2;
        while (n < whole && n < bytes && (byte[n] & 0xC0) == 0x80) {
            n++;
        }
    }
    return n;
}

/* Writes the repaired text to `out`, unless that is NULL; returns its bytes. */
static size_t repair(const char *text, size_t bytes, char *out, int64_t *n_replaced)
{
    size_t used = 0;
    *n_replaced = 0;
    while (bytes > 0) {
        uint32_t code = 0;
        size_t step = fr_utf8_next(text, bytes, &code);
        bool is_broken = step == 0;
        step = is_broken ? broken_bytes(text, bytes) : step;
        const char *piece = is_broken ? REPLACEMENT : text;
        size_t length = is_broken ? (size_t)REPLACEMENT_BYTES : step;
        if (out != NULL) {
            memcpy(out + used, piece, length);
        }
        *n_replaced += is_broken;
        used += length;
        text += step;
        bytes -= step;
    }
    return used;
}

/* Measured first and written afterwards, so that a text without broken bytes is neither copied nor allocated. */
fr_status fr_utf8_repair(fr_ctx *ctx, char **text, size_t *bytes, int64_t *n_replaced)
{
    int64_t n = 0;
    char *repaired = NULL;
    size_t needed = repair(*text, *bytes, NULL, &n);
    if (n_replaced != NULL) {
        *n_replaced = n;
    }
    if (n == 0) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, (int64_t)needed + 1, 1, &repaired));
    (void)repair(*text, *bytes, repaired, &n);
    free(*text);
    *text = repaired;
    *bytes = needed;
    return FR_OK;
}

/* The last step of a repair tells: what is broken, reaches the end and is shorter than its first byte says. */
size_t fr_utf8_open_bytes(const char *text, size_t bytes)
{
    size_t open = 0;
    while (bytes > 0) {
        uint32_t code = 0;
        size_t step = fr_utf8_next(text, bytes, &code);
        bool is_broken = step == 0;
        step = is_broken ? broken_bytes(text, bytes) : step;
        bool may_go_on = step < fr_utf8_whole_bytes(text[0]);
        open = is_broken && step == bytes && may_go_on ? step : 0;
        text += step;
        bytes -= step;
    }
    return open;
}
