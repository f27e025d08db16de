/* The forms NFC, NFD, NFKC and NFKD (Unicode 15, chapter 3.11), with utf8proc's tables.
 *
 * Three passes over the code points of a part: decompose each, sort each run of combining marks by their class, compose. The
 * sorting is done here, since utf8proc's takes quadratic time on a long run of marks. A part begins at an ASCII character, as
 * no composition reaches over its front; two ASCII characters in a row need no work. Characters that are newer than
 * the reference stay as they are (normalize_newer.c). */
#include "base/mem.h"
#include "base/print.h"
#include "model/text/character.h"
#include "model/text/normalize_impl.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Code points of one part. */
typedef struct codes {
    int32_t *data;
    int64_t count;
    int64_t capacity;
} codes;

static fr_status add(fr_ctx *ctx, codes *to, const int32_t *data, int64_t n)
{
    enum { SMALLEST = 256 };
    if (n > to->capacity - to->count) {
        int64_t capacity = 2 * (to->count + n) + SMALLEST;
        int32_t *grown = realloc(to->data, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            return fr_check_memory(ctx, false, (size_t)capacity * sizeof *grown);
        }
        to->data = grown;
        to->capacity = capacity;
    }
    memcpy(to->data + to->count, data, (size_t)n * sizeof *data);
    to->count += n;
    return FR_OK;
}

static fr_status decompose(fr_ctx *ctx, fr_normal_kind kind, fr_text text, codes *out)
{
    enum { MOST = 64 }; /* one character becomes at most 18 */
    bool compatible = kind == FR_NORMAL_NFKC || kind == FR_NORMAL_NFKD;
    utf8proc_option_t options =
        UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : (utf8proc_option_t)0);
    for (size_t at = 0; at < text.bytes;) {
        uint32_t code = 0;
        int32_t parts[MOST];
        int unused = 0;
        at += fr_utf8_next(text.data + at, text.bytes - at, &code);
        utf8proc_ssize_t n =
            fr_normal_is_newer(code)
                ? -1
                : utf8proc_decompose_char((int32_t)code, parts, MOST, options, &unused);
        if (n < 0 || n > MOST) {
            parts[0] = (int32_t)code;
            n = 1;
        }
        FR_TRY(add(ctx, out, parts, n));
    }
    return FR_OK;
}

static int class_of(int32_t code)
{
    return fr_normal_is_newer((uint32_t)code)
               ? 0
               : (int)utf8proc_get_property(code)->combining_class;
}

/* A stable counting sort by combining class; `copy` has room for n. */
static void sort_marks(int32_t *marks, int64_t n, int32_t *copy)
{
    enum { CLASSES = 256 };
    int64_t first[CLASSES + 1] = {0};
    for (int64_t i = 0; i < n; i++) {
        first[class_of(marks[i]) + 1]++;
    }
    for (int c = 0; c < CLASSES; c++) {
        first[c + 1] += first[c];
    }
    memcpy(copy, marks, (size_t)n * sizeof *marks);
    for (int64_t i = 0; i < n; i++) {
        marks[first[class_of(copy[i])]++] = copy[i];
    }
}

/* Each run of characters with a class other than 0; runs of one need no sorting. */
static fr_status order(fr_ctx *ctx, codes *all)
{
    int32_t *copy = NULL;
    FR_TRY(fr_alloc(ctx, all->count, sizeof *copy, &copy));
    for (int64_t at = 0; at < all->count;) {
        int64_t end = at;
        while (end < all->count && class_of(all->data[end]) != 0) {
            end++;
        }
        if (end - at > 1) {
            sort_marks(all->data + at, end - at, copy);
        }
        at = end + 1;
    }
    free(copy);
    return FR_OK;
}

/* Composes what stands between newer characters, over which nothing composes; returns how many are left. */
static int64_t compose(int32_t *data, int64_t count)
{
    int64_t kept = 0;
    for (int64_t at = 0; at < count;) {
        int64_t end = at;
        while (end < count && !fr_normal_is_newer((uint32_t)data[end])) {
            end++;
        }
        int64_t n = utf8proc_normalize_utf32(data + at, end - at,
                                             UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        n += end < count ? 1 : 0;
        if (end < count) {
            data[at + n - 1] = data[end];
        }
        memmove(data + kept, data + at, (size_t)n * sizeof *data);
        kept += n;
        at = end + 1;
    }
    return kept;
}

static fr_status add_part(fr_ctx *ctx, fr_normal_kind kind, fr_text part, codes *work,
                          fr_bytes *out)
{
    work->count = 0;
    FR_TRY(decompose(ctx, kind, part, work));
    FR_TRY(order(ctx, work));
    int64_t n = work->count;
    if (kind == FR_NORMAL_NFC || kind == FR_NORMAL_NFKC) {
        n = compose(work->data, n);
    }
    for (int64_t i = 0; i < n; i++) {
        char text[FR_UTF8_BYTES];
        FR_TRY(fr_bytes_add(ctx, out, text,
                            fr_utf8_encode((uint32_t)work->data[i], text)));
    }
    return FR_OK;
}

static bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

/* Parts of a well-formed text. */
static fr_status add_valid(fr_ctx *ctx, fr_normal_kind kind, fr_text text, codes *work,
                           fr_bytes *out)
{
    for (size_t at = 0; at < text.bytes;) {
        size_t end = at + 1;
        while (end < text.bytes && !is_ascii(text.data[end])) {
            end++;
        }
        fr_text part = {text.data + at, end - at};
        FR_TRY(end - at == 1 ? fr_bytes_add(ctx, out, part.data, 1)
                             : add_part(ctx, kind, part, work, out));
        at = end;
    }
    return FR_OK;
}

fr_status fr_normal_form(fr_ctx *ctx, fr_normal_kind kind, fr_text text, fr_bytes *out)
{
    codes work = {0};
    fr_status status = FR_OK;
    for (size_t at = 0; status == FR_OK && at < text.bytes;) {
        fr_text valid = {text.data + at,
                         fr_utf8_stretch(text.data + at, text.bytes - at, true)};
        at += valid.bytes;
        size_t malformed = fr_utf8_stretch(text.data + at, text.bytes - at, false);
        status = add_valid(ctx, kind, valid, &work, out);
        if (status == FR_OK) {
            status = fr_bytes_add(ctx, out, text.data + at, malformed);
        }
        at += malformed;
    }
    free(work.data);
    return status;
}
