/* What the golden values of scores do not show: long texts, bytes that are no characters, and counts against plain loops. */
#include "base/integer.h"
#include "base/mem.h"
#include "support/suite.h"
#include "train/scores/exact_match.h"
#include "train/scores/ngrams.h"
#include "train/scores/rouge.h"
#include "train/scores/scores.h"

#include <stdlib.h>
#include <string.h>

/* A generator of the test's own: the numbers need not be good. */
static uint32_t next_number(uint32_t *state, uint32_t below)
{
    *state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
    return (*state >> 8) % below;
}

/* ---- the longest common subsequence --------------------------------------------------------------- */

/* The table itself, two rows of it. */
static int64_t plain_length(const uint32_t *a, int64_t n_a, const uint32_t *b,
                            int64_t n_b)
{
    enum { MOST = 1024 };
    static int64_t rows[2][MOST + 1];
    CU_ASSERT_FATAL(n_a <= MOST);
    memset(rows, 0, sizeof rows);
    for (int64_t j = 0; j < n_b; j++) {
        const int64_t *last = rows[j % 2];
        int64_t *row = rows[(j + 1) % 2];
        for (int64_t i = 0; i < n_a; i++) {
            row[i + 1] = a[i] == b[j] ? last[i] + 1 : fr_max(row[i], last[i + 1]);
        }
    }
    return rows[n_b % 2][n_a];
}

/* Kinds of symbols and lengths around the 64 bits of a word; few kinds make rows that are kept, many make others. */
static void common_subsequence(void)
{
    enum { MOST = 400 };
    static const int64_t LENGTHS[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 200, 400};
    static const uint32_t KINDS[] = {1, 2, 3, 10, 100, 1000};
    uint32_t a[MOST];
    uint32_t b[MOST];
    uint32_t state = 1;
    for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++) {
        for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
            for (size_t j = 0; j < sizeof LENGTHS / sizeof LENGTHS[0]; j++) {
                int64_t got = -1;
                for (int64_t at = 0; at < MOST; at++) {
                    uint32_t kind = next_number(&state, KINDS[k]);
                    a[at] = next_number(&state, 3) == 0 ? 0 : kind;
                    b[at] = next_number(&state, KINDS[k]);
                }
                FR_ASSERT_OK(fr_common_subsequence(fr_test_ctx(), a, LENGTHS[i], b,
                                                   LENGTHS[j], KINDS[k], &got));
                CU_ASSERT_EQUAL(got, plain_length(a, LENGTHS[i], b, LENGTHS[j]));
            }
        }
    }
}

/* ---- n-grams ------------------------------------------------------------------------------------ */

static int64_t occurrences(const fr_symbols *s, int64_t t, const uint32_t *gram, int n)
{
    int64_t count = 0;
    const uint32_t *text = fr_symbols_of(s, t);
    for (int64_t at = 0; at + n <= fr_symbols_count(s, t); at++) {
        count += memcmp(text + at, gram, (size_t)n * sizeof *gram) == 0 ? 1 : 0;
    }
    return count;
}

/* Each n-gram of the answer where it stands first. */
static void plain_matches(const fr_symbols *s, int n, int64_t *matches_T)
{
    const uint32_t *answer = fr_symbols_of(s, 0);
    for (int64_t at = 0; at + n <= fr_symbols_count(s, 0); at++) {
        const fr_symbols before = {1, (int64_t[]){at + n - 1}, s->symbols};
        if (occurrences(&before, 0, answer + at, n) > 0) {
            continue;
        }
        int64_t most = 0;
        int64_t here = occurrences(s, 0, answer + at, n);
        for (int64_t t = 1; t < s->n_texts; t++) {
            int64_t there = occurrences(s, t, answer + at, n);
            matches_T[t] += fr_min(here, there);
            most = fr_max(most, there);
        }
        matches_T[0] += fr_min(here, most);
    }
}

static void shared_ngrams(void)
{
    enum { TEXTS = 4, ORDERS = 6, SYMBOLS = 120 };
    uint32_t symbols[SYMBOLS];
    uint32_t state = 2;
    for (uint32_t kinds = 1; kinds < 40; kinds += 3) {
        int64_t ends[TEXTS];
        int64_t got_OT[ORDERS * TEXTS];
        int64_t wanted_OT[ORDERS * TEXTS] = {0};
        for (int64_t i = 0; i < SYMBOLS; i++) {
            symbols[i] = next_number(&state, kinds) + UINT32_MAX - 40;
        }
        for (int64_t t = 0; t < TEXTS; t++) {
            ends[t] = (t > 0 ? ends[t - 1] : 0) + next_number(&state, SYMBOLS / TEXTS);
        }
        const fr_symbols s = {TEXTS, ends, symbols};
        FR_ASSERT_OK(fr_ngram_matches(fr_test_ctx(), &s, ORDERS, got_OT));
        for (int n = 1; n <= ORDERS; n++) {
            plain_matches(&s, n, wanted_OT + (n - 1) * TEXTS);
        }
        fr_assert_same_bytes("matches", got_OT, wanted_OT, sizeof got_OT);
    }
}

/* ---- texts -------------------------------------------------------------------------------------- */

static fr_row_scores score(fr_text answer, fr_text reference, fr_score_sums *sums)
{
    fr_row_scores out;
    FR_ASSERT_OK(fr_scores_add(fr_test_ctx(), answer, &reference, 1, sums, &out));
    return out;
}

/* 100,000 words each: a table of their products would not end. Equal texts, and texts of one word. */
static void long_texts(void)
{
    enum { WORDS = 100000, BYTES = 8 };
    char *text = NULL;
    char *same = NULL;
    size_t n = 0;
    fr_score_sums sums = {0};
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), WORDS, BYTES, &text));
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), WORDS, 2, &same));
    for (int i = 0; i < WORDS; i++) {
        n += (size_t)snprintf(text + n, BYTES, "%d ", i % 49999);
        memcpy(same + (size_t)2 * (size_t)i, "a ", 2);
    }
    fr_row_scores equal = score((fr_text){text, n}, (fr_text){text, n}, &sums);
    CU_ASSERT(equal.exact_match && equal.rouge_l == 1.0);
    CU_ASSERT_DOUBLE_EQUAL(equal.chrf, 100.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(fr_scores_of(&sums).bleu, 100.0, 1e-9);
    fr_row_scores half = score((fr_text){same, (size_t)WORDS},
                               (fr_text){same, (size_t)2 * (size_t)WORDS}, &sums);
    CU_ASSERT(!half.exact_match);
    CU_ASSERT_DOUBLE_EQUAL(half.rouge_l, 2.0 / 3.0, 1e-9);
    free(text);
    free(same);
}

/* A byte that begins no character is one of its own. */
static void broken_bytes(void)
{
    static const char BROKEN[] = "\xff\xc3 a\xf0\x9f";
    static const char REPAIRED[] = "\xef\xbf\xbd\xef\xbf\xbd a\xef\xbf\xbd\xef\xbf\xbd";
    fr_score_sums sums = {0};
    fr_row_scores row = score(fr_text_of(BROKEN), fr_text_of(REPAIRED), &sums);
    CU_ASSERT_DOUBLE_EQUAL(row.chrf, 100.0, 1e-9);
    CU_ASSERT_EQUAL(row.rouge_l, 1.0);
    CU_ASSERT(!row.exact_match);
}

static void no_rows(void)
{
    const fr_score_sums none = {0};
    fr_scores scores = fr_scores_of(&none);
    CU_ASSERT(scores.exact_match == 0.0 && scores.rouge_l == 0.0 &&
              scores.bleu == 0.0 && scores.chrf == 0.0);
}

static void white_space_at_ends(void)
{
    static const fr_text WANTED[] = {{"x", 1}, {" a b\n", 5}};
    CU_ASSERT(fr_exact_match(fr_text_of("\xe3\x80\x80"
                                        "a b \x1c"),
                             WANTED, 2));
    CU_ASSERT(!fr_exact_match(fr_text_of("a  b"), WANTED, 2));
    CU_ASSERT(!fr_exact_match(fr_text_of("A b"), WANTED, 2));
    CU_ASSERT(!fr_exact_match(fr_text_of("a b"), WANTED, 1));
    CU_ASSERT(!fr_exact_match(fr_text_of(" "), WANTED, 2));
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(common_subsequence),
        FR_CASE(shared_ngrams),
        FR_CASE(long_texts),
        FR_CASE(broken_bytes),
        FR_CASE(no_rows),
        FR_CASE(white_space_at_ends),
    };
    return fr_suite_main("scores", CASES, FR_N_CASES(CASES), argc, argv);
}
