/* Splitting with PCRE2, and what Hugging Face's tokenizers do differently from it.
 *
 * One anchored pattern for each rule is matched again and again, each time at the end of the piece before. PCRE2 wants
 * well-formed UTF-8, but texts may have any bytes: fr_splitter_run alternates between a well-formed stretch, which is split
 * by the pattern, and a malformed one, which is one piece. PCRE2's own check is off, since it would read all of the remaining
 * text at each piece and make the time quadratic. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/text/pretokenize.h"

#include "base/mem.h"
#include "base/text.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>

/* Unicode's White_Space. PCRE2's \s also matches U+180E, which tokenizers do not count as space. */
#define WHITE "\\t-\\r\\x{85}\\p{Z}"

/* Parts of GPT-2's pattern. Order matters: the first alternative that matches wins. */
#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define WORDS " ?\\p{L}+"
#define NUMBERS " ?\\p{N}+"
#define OTHERS " ?[^" WHITE "\\p{L}\\p{N}]+"

struct fr_splitter {
    pcre2_code *code;
};

/* A run of white space leaves its last character to the word behind it. The smollm rule splits off numbers first, so a run
 * before a number ends its stretch of text and stays whole. The lookahead has this exception, so that one pattern does what
 * two passes would. */
static const struct {
    const char *name;
    const char *pattern;
} RULES[] = {
    [FR_SPLIT_GPT2] = {"gpt-2", CONTRACTIONS "|" WORDS "|" NUMBERS "|" OTHERS "|[" WHITE
                                             "]+(?![^" WHITE "])|[" WHITE "]+"},
    [FR_SPLIT_SMOLLM] = {"smollm", "\\p{N}|" CONTRACTIONS "|" WORDS "|" OTHERS
                                   "|[" WHITE "]+(?![^" WHITE "\\p{N}])|[" WHITE "]+"},
};

const char *fr_split_rule_name(fr_split_rule rule)
{
    return RULES[rule].name;
}

static fr_status fail_pcre(fr_ctx *ctx, int error)
{
    enum { TEXT_BYTES = 160 };
    PCRE2_UCHAR text[TEXT_BYTES] = "";
    (void)pcre2_get_error_message(error, text, TEXT_BYTES);
    return FR_FAIL(ctx, FR_ERR_INTERNAL, "splitting text into pieces failed: %s", text);
}

fr_status fr_splitter_create(fr_ctx *ctx, fr_split_rule rule, fr_splitter **out)
{
    int error = 0;
    PCRE2_SIZE offset = 0;
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->code =
        pcre2_compile((PCRE2_SPTR)RULES[rule].pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, NULL);
    if ((*out)->code == NULL) {
        fr_splitter_destroy(out);
        return fail_pcre(ctx, error);
    }
    /* Without a JIT the interpreter takes over by itself. */
    (void)pcre2_jit_compile((*out)->code, PCRE2_JIT_COMPLETE);
    return FR_OK;
}

void fr_splitter_destroy(fr_splitter **splitter)
{
    if (*splitter != NULL) {
        pcre2_code_free((*splitter)->code);
        free(*splitter);
        *splitter = NULL;
    }
}

/* A continuation byte, 10xxxxxx. */
static bool is_tail(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Bytes of the well-formed UTF-8 character at `text` (Unicode 15, table 3-7), 0 if there is none. */
static size_t character_bytes(const unsigned char *text, size_t bytes)
{
    unsigned char first = text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || bytes < length) {
        return 0;
    }
    /* The second byte excludes overlong forms, surrogates and numbers past U+10FFFF. */
    unsigned char lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < lowest || text[1] > highest) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!is_tail(text[i])) {
            return 0;
        }
    }
    return length;
}

/* Length of the stretch at the start of `text` that is well-formed throughout, or (with `valid` false)
 * that holds no well-formed character. */
static size_t stretch(const char *text, size_t bytes, bool valid)
{
    size_t at = 0;
    while (at < bytes) {
        size_t length = character_bytes((const unsigned char *)text + at, bytes - at);
        if ((length > 0) != valid) {
            break;
        }
        at += valid ? length : 1;
    }
    return at;
}

/* The pieces of well-formed text. */
static fr_status split_valid(fr_ctx *ctx, const fr_splitter *splitter,
                             pcre2_match_data *match, fr_text text,
                             fr_piece_visit visit, void *user)
{
    size_t at = 0;
    while (at < text.bytes) {
        int n = pcre2_match(splitter->code, (PCRE2_SPTR)text.data, text.bytes, at,
                            PCRE2_NO_UTF_CHECK, match, NULL);
        size_t end = n > 0 ? pcre2_get_ovector_pointer(match)[1] : at;
        /* The patterns match every character, so no match means an error of PCRE2; an empty match would never end. */
        if (end <= at) {
            return fail_pcre(ctx, n);
        }
        FR_TRY(visit(user, text.data + at, end - at));
        at = end;
    }
    return FR_OK;
}

/* Match data is made for each call, so threads can share a splitter. */
fr_status fr_splitter_run(fr_ctx *ctx, const fr_splitter *splitter, const char *text,
                          size_t bytes, fr_piece_visit visit, void *user)
{
    pcre2_match_data *match =
        pcre2_match_data_create_from_pattern(splitter->code, NULL);
    fr_status status = fr_check_memory(ctx, match != NULL, 1);
    size_t at = 0;
    while (status == FR_OK && at < bytes) {
        fr_text rest = {text + at, bytes - at};
        fr_text valid = {rest.data, stretch(rest.data, rest.bytes, true)};
        size_t n_malformed =
            stretch(rest.data + valid.bytes, rest.bytes - valid.bytes, false);
        status = split_valid(ctx, splitter, match, valid, visit, user);
        if (status == FR_OK && n_malformed > 0) {
            status = visit(user, rest.data + valid.bytes, n_malformed);
        }
        at += valid.bytes + n_malformed;
    }
    pcre2_match_data_free(match);
    return status;
}
