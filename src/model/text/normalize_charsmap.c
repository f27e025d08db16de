/* SentencePiece's table of characters (precompiled_charsmap): what is replaced by what.
 *
 * The bytes are: the size of a trie in bytes (32 bits, little-endian as all numbers), the trie, and the replacements, each
 * ending with NUL. The trie is a double array in the layout of darts-clone; each unit holds
 *   bits 0-7 and 31  its label, the byte that leads here
 *   bit 8            whether a text ends here; the value then stands in the unit at the offset: bits 0-30, where in the
 *                    replacements it begins
 *   bit 9, 10-31     the offset of its children: bits 10-31, shifted by 8 if bit 9 is set
 *
 * SentencePiece replaces the longest text that the table has at each place. Hugging Face's tokenizers look up each grapheme of
 * less than 6 bytes, else its characters, and take the shortest text at the front as if it were the whole. Both are here, as
 * models are trained with the first and run with the second.
 *
 * The table comes from a file, so each index is checked where it is used. */
#include "base/print.h"
#include "model/text/normalize_impl.h"

#include <string.h>
#include <utf8proc.h>

/* A replacement that is longer is refused; it bounds how much longer a text becomes. */
enum { MAX_REPLACEMENT = 255, WORD = 4 };
/* Bytes of a text that are looked up; a damaged trie may have a path without an end, and reading it at each place would take
 * quadratic time. Tables of known models have some 20. */
enum { MAX_KEY = 64 };

typedef struct table {
    const unsigned char *units;
    size_t n_units;
    const char *texts;
    size_t n_texts;
} table;

static uint32_t word_at(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static bool open_table(fr_text content, table *out)
{
    const unsigned char *bytes = (const unsigned char *)content.data;
    if (content.bytes < WORD) {
        return false;
    }
    size_t trie = word_at(bytes);
    if (trie == 0 || trie % WORD != 0 || trie > content.bytes - WORD) {
        return false;
    }
    *out = (table){bytes + WORD, trie / WORD, content.data + WORD + trie,
                   content.bytes - WORD - trie};
    return out->n_texts > 0 && out->texts[out->n_texts - 1] == '\0';
}

fr_status fr_charsmap_check(fr_ctx *ctx, const char *path, fr_text content)
{
    table unused;
    return open_table(content, &unused)
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_FORMAT,
                         "%s: precompiled_charsmap has %zu bytes that are not a trie "
                         "and the texts that it leads to",
                         path, content.bytes);
}

/* The unit at a place; 0 outside, which has no label but 0 and no children. */
static uint32_t unit_at(const table *t, size_t at)
{
    return at < t->n_units ? word_at(t->units + WORD * at) : 0;
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1U << 9)) >> 6);
}

/* The longest (or shortest) text of the table that `text` begins with. Returns its bytes, 0: none; *value is where its
 * replacement begins. */
static size_t find(const table *t, fr_text text, bool shortest, size_t *value)
{
    size_t at = offset_of(unit_at(t, 0));
    size_t found = 0;
    for (size_t i = 0; i < text.bytes && i < MAX_KEY && text.data[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        at ^= byte;
        uint32_t unit = unit_at(t, at);
        if ((unit & (1U << 31 | 0xFF)) != byte) {
            break;
        }
        at ^= offset_of(unit);
        if ((unit >> 8 & 1) != 0) {
            found = i + 1;
            *value = unit_at(t, at) & 0x7FFFFFFF;
            if (shortest) {
                break;
            }
        }
    }
    return found;
}

static fr_status add_replacement(fr_ctx *ctx, const table *t, size_t value,
                                 fr_bytes *out)
{
    if (value >= t->n_texts || strlen(t->texts + value) > MAX_REPLACEMENT) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT,
            "precompiled_charsmap has a replacement outside of the table, or "
            "with more than %d bytes",
            MAX_REPLACEMENT);
    }
    return fr_bytes_add(ctx, out, t->texts + value, strlen(t->texts + value));
}

/* Bytes of the character at the start of a text; a malformed byte is one by itself. */
static size_t character(fr_text text, uint32_t *code)
{
    size_t length = fr_utf8_next(text.data, text.bytes, code);
    return length > 0 ? length : 1;
}

static fr_status add_longest(fr_ctx *ctx, const table *t, fr_text text, fr_bytes *out)
{
    for (size_t at = 0; at < text.bytes;) {
        fr_text rest = {text.data + at, text.bytes - at};
        uint32_t code = 0;
        size_t value = 0;
        size_t bytes = find(t, rest, false, &value);
        if (bytes > 0) {
            FR_TRY(add_replacement(ctx, t, value, out));
        } else {
            bytes = character(rest, &code);
            FR_TRY(fr_bytes_add(ctx, out, rest.data, bytes));
        }
        at += bytes;
    }
    return FR_OK;
}

/* One grapheme or character as a whole; false: it has no replacement. */
static fr_status add_whole(fr_ctx *ctx, const table *t, fr_text text, fr_bytes *out,
                           bool *replaced)
{
    size_t value = 0;
    *replaced = find(t, text, true, &value) > 0;
    return *replaced ? add_replacement(ctx, t, value, out) : FR_OK;
}

static fr_status add_grapheme(fr_ctx *ctx, const table *t, fr_text text, fr_bytes *out)
{
    enum { SHORT_BYTES = 6 };
    bool replaced = false;
    if (text.bytes < SHORT_BYTES) {
        FR_TRY(add_whole(ctx, t, text, out, &replaced));
    }
    for (size_t at = 0; !replaced && at < text.bytes;) {
        bool one = false;
        uint32_t code = 0;
        fr_text part = {text.data + at, text.bytes - at};
        part.bytes = character(part, &code);
        FR_TRY(add_whole(ctx, t, part, out, &one));
        if (!one) {
            FR_TRY(fr_bytes_add(ctx, out, part.data, part.bytes));
        }
        at += part.bytes;
    }
    return FR_OK;
}

/* Bytes of the grapheme at the start of a text (Unicode's extended grapheme clusters). */
static size_t grapheme(fr_text text)
{
    int32_t state = 0;
    uint32_t last = 0;
    uint32_t next = 0;
    size_t at = character(text, &last);
    while (at < text.bytes) {
        size_t bytes = fr_utf8_next(text.data + at, text.bytes - at, &next);
        if (bytes == 0 ||
            utf8proc_grapheme_break_stateful((int32_t)last, (int32_t)next, &state)) {
            break;
        }
        at += bytes;
        last = next;
    }
    return at;
}

fr_status fr_charsmap_add(fr_ctx *ctx, const fr_normal_step *step, fr_text text,
                          fr_bytes *out)
{
    table t;
    if (!open_table(step->content, &t)) {
        return fr_charsmap_check(ctx, "normalizer", step->content);
    }
    if (!step->by_grapheme) {
        return add_longest(ctx, &t, text, out);
    }
    for (size_t at = 0; at < text.bytes;) {
        fr_text part = {text.data + at, text.bytes - at};
        part.bytes = grapheme(part);
        FR_TRY(add_grapheme(ctx, &t, part, out));
        at += part.bytes;
    }
    return FR_OK;
}
