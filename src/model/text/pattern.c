/* Searching with memmem or PCRE2, with bounded work.
 *
 * Backtracking can take time that is exponential in a text, or quadratic, even with well-meant expressions. PCRE2's own limits
 * do not bound this: they count attempts, not the bytes that an attempt moves over. So expressions are compiled with a
 * callout before each item (PCRE2_AUTO_CALLOUT), which counts both in `budget`, and without automatic possessive repeats, which
 * would move over bytes again and again without an item in between. With the JIT this costs some tenths of the time.
 *
 * PCRE2 wants well-formed UTF-8. Its own check is off, since it would read all of the remaining text at each match and make
 * the time quadratic; callers pass well-formed text only. */
#define _GNU_SOURCE /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/text/pattern.h"

#include "base/mem.h"
#include "base/print.h"
#include "model/files/names.h"
#include "model/text/character.h"
#include "model/text/pattern_impl.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct fr_pattern {
    char *path;
    char *text; /* as given, NUL-terminated */
    size_t bytes;
    pcre2_code *code; /* NULL: a plain text */
};

static fr_text text_of(const fr_pattern *pattern)
{
    return (fr_text){pattern->text, pattern->bytes};
}

static fr_status fail_compile(fr_ctx *ctx, const fr_pattern *pattern, int error)
{
    enum { TEXT_BYTES = 160 };
    PCRE2_UCHAR text[TEXT_BYTES] = "";
    (void)pcre2_get_error_message(error, text, TEXT_BYTES);
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: the regular expression '%s' is not supported (%s). Give rows as "
        "token ids (source_ids, target_ids)",
        pattern->path, fr_show(text_of(pattern)).text, text);
}

static fr_status compile(fr_ctx *ctx, fr_pattern *pattern)
{
    char *regex = NULL;
    size_t bytes = 0;
    int error = 0;
    PCRE2_SIZE offset = 0;
    FR_TRY(fr_pattern_translate(ctx, pattern->path, text_of(pattern), &regex, &bytes));
    pcre2_compile_context *how = pcre2_compile_context_create(NULL);
    fr_status status = fr_check_memory(ctx, how != NULL, 1);
    if (status == FR_OK) {
        (void)pcre2_set_newline(how, PCRE2_NEWLINE_LF);
        pattern->code = pcre2_compile((PCRE2_SPTR)regex, bytes,
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                                          PCRE2_AUTO_CALLOUT | PCRE2_NO_AUTO_POSSESS,
                                      &error, &offset, how);
        status = pattern->code != NULL ? FR_OK : fail_compile(ctx, pattern, error);
    }
    if (status == FR_OK) {
        /* Without a JIT the interpreter takes over by itself. */
        (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(how);
    free(regex);
    return status;
}

static fr_status fill(fr_ctx *ctx, const char *path, fr_text text, bool is_regex,
                      fr_pattern *made)
{
    FR_TRY(fr_copy_string(ctx, path, &made->path));
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes + 1, 1, &made->text));
    memcpy(made->text, text.data, text.bytes);
    made->bytes = text.bytes;
    return is_regex ? compile(ctx, made) : FR_OK;
}

fr_status fr_pattern_create(fr_ctx *ctx, const char *path, fr_text text, bool is_regex,
                            fr_pattern **out)
{
    *out = NULL;
    if (text.bytes == 0 || text.bytes > FR_MAX_PATTERN_BYTES ||
        fr_utf8_stretch(text.data, text.bytes, true) != text.bytes) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "%s: the pattern '%s' has %zu bytes; supported: 1 to %d bytes of "
            "UTF-8. Give rows as token ids (source_ids, target_ids)",
            path, fr_show(text).text, text.bytes, FR_MAX_PATTERN_BYTES);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = fill(ctx, path, text, is_regex, *out);
    if (status != FR_OK) {
        fr_pattern_destroy(out);
    }
    return status;
}

void fr_pattern_destroy(fr_pattern **pattern)
{
    if (*pattern != NULL) {
        free((*pattern)->path);
        free((*pattern)->text);
        pcre2_code_free((*pattern)->code);
        free(*pattern);
        *pattern = NULL;
    }
}

/* Expressions of known models take some 10 for each byte; a run of n spaces takes n^2 / 2 in a few of them. */
uint64_t fr_pattern_budget(size_t bytes)
{
    enum { FOR_ANY = 10000000, PER_BYTE = 256 };
    return FOR_ANY + PER_BYTE * (uint64_t)bytes;
}

static int spend(pcre2_callout_block *block, void *user)
{
    fr_matcher *matcher = user;
    size_t place = block->current_position;
    size_t moved = place > matcher->last_place ? place - matcher->last_place
                                               : matcher->last_place - place;
    matcher->last_place = place;
    if (*matcher->budget <= moved) {
        *matcher->budget = 0;
        return PCRE2_ERROR_CALLOUT;
    }
    *matcher->budget -= 1 + moved;
    return 0;
}

fr_status fr_matcher_init(fr_ctx *ctx, const fr_pattern *pattern, uint64_t *budget,
                          fr_matcher *out)
{
    enum {
        HEAP_KIB = 256 * 1024
    }; /* of the interpreter, which keeps its stack there */
    *out = (fr_matcher){.pattern = pattern, .budget = budget};
    if (pattern->code == NULL) {
        return FR_OK;
    }
    out->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    out->context = pcre2_match_context_create(NULL);
    if (out->match == NULL || out->context == NULL) {
        fr_matcher_fini(out);
        return fr_check_memory(ctx, false, 1);
    }
    (void)pcre2_set_callout(out->context, spend, out);
    (void)pcre2_set_match_limit(out->context, UINT32_MAX);
    (void)pcre2_set_depth_limit(out->context, UINT32_MAX);
    (void)pcre2_set_heap_limit(out->context, HEAP_KIB);
    return FR_OK;
}

void fr_matcher_fini(fr_matcher *matcher)
{
    pcre2_match_data_free(matcher->match);
    pcre2_match_context_free(matcher->context);
    *matcher = (fr_matcher){0};
}

static fr_status fail_match(fr_ctx *ctx, const fr_pattern *pattern, fr_text text)
{
    return FR_FAIL(ctx, FR_ERR_DATA,
                   "%s: matching the regular expression '%s' takes too many steps on a "
                   "text of %zu bytes; split the text into shorter rows",
                   pattern->path, fr_show(text_of(pattern)).text, text.bytes);
}

/* The JIT's stack is small and fixed; the interpreter's grows. */
static fr_status find_regex(fr_ctx *ctx, fr_matcher *m, fr_text text, fr_search *search,
                            bool *found)
{
    const fr_pattern *pattern = m->pattern;
    m->last_place = search->from;
    int n = pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.bytes, search->from,
                        PCRE2_NO_UTF_CHECK, m->match, m->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) {
        n = pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.bytes, search->from,
                        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->match, m->context);
    }
    *found = n > 0;
    if (n == PCRE2_ERROR_NOMEMORY) {
        return fr_check_memory(ctx, false, text.bytes);
    }
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
        return fail_match(ctx, pattern, text);
    }
    if (*found) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(m->match);
        search->start = ends[0];
        search->end = ends[1];
    }
    return FR_OK;
}

/* memmem takes time linear in the text. */
static void find_plain(const fr_pattern *pattern, fr_text text, fr_search *search,
                       bool *found)
{
    const char *at = memmem(text.data + search->from, text.bytes - search->from,
                            pattern->text, pattern->bytes);
    *found = at != NULL;
    if (*found) {
        search->start = (size_t)(at - text.data);
        search->end = search->start + pattern->bytes;
    }
}

/* An empty match right behind a match is passed over: the search goes on one character later. */
fr_status fr_matcher_next(fr_ctx *ctx, fr_matcher *matcher, fr_text text,
                          fr_search *search, bool *found)
{
    for (;;) {
        *found = false;
        if (search->from > text.bytes) {
            return FR_OK;
        }
        if (matcher->pattern->code == NULL) {
            find_plain(matcher->pattern, text, search, found);
        } else {
            FR_TRY(find_regex(ctx, matcher, text, search, found));
        }
        if (!*found) {
            return FR_OK;
        }
        if (search->start != search->end || !search->behind_match ||
            search->end != search->from) {
            search->from = search->end;
            search->behind_match = true;
            return FR_OK;
        }
        uint32_t code = 0;
        size_t left = text.bytes - search->from;
        search->from +=
            left > 0 ? fr_utf8_next(text.data + search->from, left, &code) : 1;
        search->behind_match = false;
    }
}
