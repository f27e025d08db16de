/* The steps of a normalizer, each from one text to the next. Steps that look at single characters copy malformed bytes; the
 * others are told where they work on well-formed stretches only. */
#include "model/text/normalize.h"

#include "base/mem.h"
#include "base/print.h"
#include "model/text/character.h"
#include "model/text/normalize_impl.h"
#include "model/text/pattern.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* A step with its texts owned. */
typedef struct step {
    fr_normal_step as; /* texts point to `pattern_text` and `content` */
    fr_pattern *pattern;
    char *pattern_text;
    char *content;
} step;

struct fr_normalizer {
    char *path;
    step *steps;
    int64_t n;
};

static fr_status own_text(fr_ctx *ctx, fr_text *text, char **owned)
{
    FR_TRY(fr_alloc(ctx, (int64_t)text->bytes + 1, 1, owned));
    if (text->bytes > 0) {
        memcpy(*owned, text->data, text->bytes);
    }
    text->data = *owned;
    return FR_OK;
}

/* What is put in place of one match; it bounds how much longer a text becomes by one step. */
enum { MAX_CONTENT = 64 };

static fr_status fill_step(fr_ctx *ctx, const char *path, step *to)
{
    FR_TRY(own_text(ctx, &to->as.pattern, &to->pattern_text));
    FR_TRY(own_text(ctx, &to->as.content, &to->content));
    if (to->as.kind != FR_NORMAL_CHARSMAP && to->as.content.bytes > MAX_CONTENT) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "%s: normalizer puts %zu bytes into a text at once; at most %d are "
            "supported. Give rows as token ids (source_ids, target_ids)",
            path, to->as.content.bytes, MAX_CONTENT);
    }
    if (to->as.kind == FR_NORMAL_CHARSMAP) {
        return fr_charsmap_check(ctx, path, to->as.content);
    }
    return to->as.kind == FR_NORMAL_REPLACE
               ? fr_pattern_create(ctx, path, to->as.pattern, to->as.is_regex,
                                   &to->pattern)
               : FR_OK;
}

static fr_status fill(fr_ctx *ctx, const char *path, const fr_normal_step *steps,
                      int64_t n, fr_normalizer *made)
{
    FR_TRY(fr_copy_string(ctx, path, &made->path));
    FR_TRY(fr_alloc(ctx, n, sizeof *made->steps, &made->steps));
    made->n = n;
    for (int64_t i = 0; i < n; i++) {
        made->steps[i].as = steps[i];
        FR_TRY(fill_step(ctx, path, &made->steps[i]));
    }
    return FR_OK;
}

fr_status fr_normalizer_create(fr_ctx *ctx, const char *path,
                               const fr_normal_step *steps, int64_t n,
                               fr_normalizer **out)
{
    *out = NULL;
    if (n > FR_MAX_NORMAL_STEPS) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: normalizer has %lld steps; at most %d are supported. Give "
                       "rows as token ids (source_ids, target_ids)",
                       path, (long long)n, FR_MAX_NORMAL_STEPS);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = fill(ctx, path, steps, n, *out);
    if (status != FR_OK) {
        fr_normalizer_destroy(out);
    }
    return status;
}

void fr_normalizer_destroy(fr_normalizer **normalizer)
{
    if (*normalizer != NULL) {
        for (int64_t i = 0; i < (*normalizer)->n; i++) {
            fr_pattern_destroy(&(*normalizer)->steps[i].pattern);
            free((*normalizer)->steps[i].pattern_text);
            free((*normalizer)->steps[i].content);
        }
        free((*normalizer)->steps);
        free((*normalizer)->path);
        free(*normalizer);
        *normalizer = NULL;
    }
}

bool fr_normalizer_any(const fr_normalizer *normalizer)
{
    return normalizer != NULL && normalizer->n > 0;
}

/* The capital I with a dot is the only letter whose small form is two characters, whatever its neighbours are
 * (Unicode's SpecialCasing.txt). */
static size_t small_form(uint32_t code, char out[2 * FR_UTF8_BYTES])
{
    enum { DOTTED_I = 0x130, DOT_ABOVE = 0x307 };
    if (code == DOTTED_I) {
        size_t n = fr_utf8_encode('i', out);
        return n + fr_utf8_encode(DOT_ABOVE, out + n);
    }
    return fr_utf8_encode((uint32_t)utf8proc_tolower((int32_t)code), out);
}

static bool is_in(uint32_t code, uint32_t first, uint32_t last)
{
    return code >= first && code <= last;
}

/* What SentencePiece's rule "nmt" does with a character: 0: removes it, ' ': a space, else the character itself. */
static uint32_t nmt_form(uint32_t code)
{
    if (is_in(code, 0x01, 0x08) || code == 0x0B || is_in(code, 0x0E, 0x1F) ||
        code == 0x7F || code == 0x8F || code == 0x9F) {
        return 0;
    }
    bool blank = code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D ||
                 code == 0x1680 || is_in(code, 0x200B, 0x200F) || code == 0x2028 ||
                 code == 0x2029 || code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
    return blank ? ' ' : code;
}

/* One character behind a step that looks at single characters; returns its bytes. */
static size_t changed_form(fr_normal_kind kind, uint32_t code,
                           char out[2 * FR_UTF8_BYTES])
{
    if (kind == FR_NORMAL_LOWERCASE) {
        return small_form(code, out);
    }
    if (kind == FR_NORMAL_STRIP_ACCENTS) {
        return fr_normal_is_mark(code) ? 0 : fr_utf8_encode(code, out);
    }
    uint32_t form = nmt_form(code);
    return form == 0 && code != 0 ? 0 : fr_utf8_encode(form, out);
}

static fr_status add_characters(fr_ctx *ctx, fr_normal_kind kind, fr_text text,
                                fr_bytes *out)
{
    for (size_t at = 0; at < text.bytes;) {
        char form[2 * FR_UTF8_BYTES];
        uint32_t code = 0;
        size_t length = fr_utf8_next(text.data + at, text.bytes - at, &code);
        if (length == 0) {
            FR_TRY(fr_bytes_add(ctx, out, text.data + at, 1));
            at++;
            continue;
        }
        FR_TRY(fr_bytes_add(ctx, out, form, changed_form(kind, code, form)));
        at += length;
    }
    return FR_OK;
}

static fr_text stripped(const fr_normal_step *as, fr_text text)
{
    uint32_t code = 0;
    size_t start = 0;
    while (as->left && text.bytes > 0) {
        size_t length = fr_utf8_next(text.data, text.bytes, &code);
        if (length == 0 || !fr_is_white(code)) {
            break;
        }
        text.data += length;
        text.bytes -= length;
    }
    while (as->right && text.bytes > 0 &&
           fr_utf8_before(text.data, text.bytes, &start, &code) && fr_is_white(code)) {
        text.bytes = start;
    }
    return text;
}

/* Replaces in one well-formed stretch. */
static fr_status add_replaced(fr_ctx *ctx, fr_matcher *matcher, fr_text content,
                              fr_text text, fr_bytes *out)
{
    fr_search search = {0};
    size_t done = 0;
    bool found = false;
    for (;;) {
        FR_TRY(fr_matcher_next(ctx, matcher, text, &search, &found));
        if (!found) {
            return fr_bytes_add(ctx, out, text.data + done, text.bytes - done);
        }
        FR_TRY(fr_bytes_add(ctx, out, text.data + done, search.start - done));
        FR_TRY(fr_bytes_add(ctx, out, content.data, content.bytes));
        done = search.end;
    }
}

static fr_status replace(fr_ctx *ctx, const step *by, fr_text text, fr_bytes *out)
{
    fr_matcher matcher;
    uint64_t budget = fr_pattern_budget(text.bytes);
    FR_TRY(fr_matcher_init(ctx, by->pattern, &budget, &matcher));
    fr_status status = FR_OK;
    for (size_t at = 0; status == FR_OK && at < text.bytes;) {
        fr_text valid = {text.data + at,
                         fr_utf8_stretch(text.data + at, text.bytes - at, true)};
        at += valid.bytes;
        size_t malformed = fr_utf8_stretch(text.data + at, text.bytes - at, false);
        status = add_replaced(ctx, &matcher, by->as.content, valid, out);
        if (status == FR_OK) {
            status = fr_bytes_add(ctx, out, text.data + at, malformed);
        }
        at += malformed;
    }
    fr_matcher_fini(&matcher);
    return status;
}

static fr_status run_step(fr_ctx *ctx, const step *by, fr_text text, fr_bytes *out)
{
    switch (by->as.kind) {
    case FR_NORMAL_NFC:
    case FR_NORMAL_NFD:
    case FR_NORMAL_NFKC:
    case FR_NORMAL_NFKD:
        return fr_normal_form(ctx, by->as.kind, text, out);
    case FR_NORMAL_STRIP:
        text = stripped(&by->as, text);
        return fr_bytes_add(ctx, out, text.data, text.bytes);
    case FR_NORMAL_REPLACE:
        return replace(ctx, by, text, out);
    case FR_NORMAL_PREPEND:
        if (text.bytes > 0) {
            FR_TRY(fr_bytes_add(ctx, out, by->as.content.data, by->as.content.bytes));
        }
        return fr_bytes_add(ctx, out, text.data, text.bytes);
    case FR_NORMAL_CHARSMAP:
        return fr_charsmap_add(ctx, &by->as, text, out);
    default:
        return add_characters(ctx, by->as.kind, text, out);
    }
}

/* A step may make a text longer, and a list of steps doubles that again and again, so the result has a limit. */
static fr_status check_length(fr_ctx *ctx, const fr_normalizer *normalizer,
                              fr_text text, size_t bytes)
{
    enum { FOR_ANY = 1 << 16, PER_BYTE = 64 };
    if (bytes > FOR_ANY && bytes / PER_BYTE > text.bytes) {
        return FR_FAIL(
            ctx, FR_ERR_DATA,
            "%s: normalizer makes more than %zu bytes of a text of %zu bytes; "
            "at most %d for each byte are allowed",
            normalizer->path, bytes, text.bytes, PER_BYTE);
    }
    return FR_OK;
}

fr_status fr_normalizer_run(fr_ctx *ctx, const fr_normalizer *normalizer, fr_text text,
                            char **out, size_t *out_bytes)
{
    fr_bytes from = {0};
    fr_bytes to = {0};
    *out = NULL;
    *out_bytes = 0;
    fr_status status = fr_bytes_add(ctx, &from, text.data, text.bytes);
    int64_t n = normalizer != NULL ? normalizer->n : 0;
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        to.count = 0;
        status = run_step(ctx, &normalizer->steps[i], fr_bytes_text(&from), &to);
        if (status == FR_OK) {
            status = check_length(ctx, normalizer, text, to.count);
        }
        fr_bytes other = from;
        from = to;
        to = other;
    }
    if (status == FR_OK) {
        *out_bytes = from.count;
        status = fr_bytes_add(ctx, &from, "", 1);
    }
    fr_bytes_fini(&to);
    if (status != FR_OK) {
        fr_bytes_fini(&from);
        return status;
    }
    *out = from.data;
    return FR_OK;
}

static fr_status hash_text(fr_ctx *ctx, fr_digest *digest, fr_text text)
{
    uint8_t bytes[sizeof(uint32_t)];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(text.bytes >> (8 * i));
    }
    FR_TRY(fr_digest_add(ctx, digest, bytes, sizeof bytes));
    return fr_digest_add(ctx, digest, text.data, text.bytes);
}

fr_status fr_normalizer_hash(fr_ctx *ctx, const fr_normalizer *normalizer,
                             fr_digest *digest)
{
    for (int64_t i = 0; normalizer != NULL && i < normalizer->n; i++) {
        const fr_normal_step *as = &normalizer->steps[i].as;
        const uint8_t how[] = {(uint8_t)as->kind, as->is_regex, as->left, as->right,
                               as->by_grapheme};
        FR_TRY(fr_digest_add(ctx, digest, how, sizeof how));
        FR_TRY(hash_text(ctx, digest, as->pattern));
        FR_TRY(hash_text(ctx, digest, as->content));
    }
    return FR_OK;
}
