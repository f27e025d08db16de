/*
 * pattern.h - finds the matches of a plain text or of a regular expression, with bounded work.
 *
 * Expressions come in Oniguruma's syntax, as tokenizer.json has them, and are translated to PCRE2's (pattern_translate.c). An
 * expression that would mean something else there is refused by name.
 *
 * Work is counted: each item of the expression that is tried costs 1, and each byte that matching moves over costs 1. A budget
 * that is linear in the text (fr_pattern_budget) is far above what the expressions of known models need, so only a hostile
 * expression or a hostile text reaches its end.
 */
#ifndef FR_MODEL_TEXT_PATTERN_H
#define FR_MODEL_TEXT_PATTERN_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

/** Bytes of a pattern; the longest of known models has some 1200. */
enum { FR_MAX_PATTERN_BYTES = 8192 };

typedef struct fr_pattern fr_pattern;

/**
 * @param path  the file, for messages; copied, as the text
 * @return FR_OK; FR_ERR_UNSUPPORTED: the expression is empty, too long, or has something that is not supported (named);
 *         FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_pattern_create(fr_ctx *ctx, const char *path, fr_text text,
                                          bool is_regex, fr_pattern **out);
void fr_pattern_destroy(fr_pattern **pattern);

/** Work that is allowed for a text. */
uint64_t fr_pattern_budget(size_t bytes);

/** Memory for matching with one pattern; not to be shared by threads. Release it with fr_matcher_fini. */
typedef struct fr_matcher {
    const fr_pattern *pattern;
    struct pcre2_real_match_data_8 *match;
    struct pcre2_real_match_context_8 *context;
    uint64_t *budget;  /* borrowed: what is left; several matchers may share it */
    size_t last_place; /* where the item before was tried */
} fr_matcher;

/** The matcher must not move in memory afterwards. */
FR_MUST_CHECK fr_status fr_matcher_init(fr_ctx *ctx, const fr_pattern *pattern,
                                        uint64_t *budget, fr_matcher *out);
void fr_matcher_fini(fr_matcher *matcher);

/** A search through one text, as Oniguruma's search for all matches: leftmost first, and no empty match right behind a
 * match. Begin with `from` 0 and `behind_match` false. */
typedef struct fr_search {
    size_t from;
    bool behind_match; /* a match ended at `from` */
    size_t start;      /* the match that was found */
    size_t end;
} fr_search;

/**
 * Finds the next match.
 * @param text  well-formed UTF-8
 * @param[out] found  false: there is none
 * @return FR_OK; FR_ERR_DATA: the budget is used up; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_matcher_next(fr_ctx *ctx, fr_matcher *matcher, fr_text text,
                                        fr_search *search, bool *found);

#endif
