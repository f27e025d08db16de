#include "base/rng.h"
#include "model/text/pretokenize.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 256 };

static const char GPT2[] = "gpt-2";
static const char SMOLLM[] = "smollm";

/* Pieces with '|' between, and the text that they add up to. */
typedef struct pieces {
    char shown[SHOWN];
    char *joined;
    size_t n_joined;
    int64_t count;
    size_t longest;
    int64_t stop_after;
} pieces;

static fr_status collect(void *user, const char *piece, size_t bytes)
{
    pieces *p = user;
    size_t used = strlen(p->shown);
    CU_ASSERT_TRUE(bytes > 0);
    if (used + bytes + 2 < SHOWN) {
        (void)snprintf(p->shown + used, SHOWN - used, "%s%.*s", used > 0 ? "|" : "",
                       (int)bytes, piece);
    }
    if (p->joined != NULL) {
        memcpy(p->joined + p->n_joined, piece, bytes);
        p->n_joined += bytes;
    }
    p->longest = bytes > p->longest ? bytes : p->longest;
    p->count++;
    return p->count == p->stop_after ? FR_ERR_STOPPED : FR_OK;
}

static void split(const char *rule, const char *text, size_t bytes, pieces *p)
{
    fr_splitter *splitter = NULL;
    FR_ASSERT_OK(fr_splitter_create_named(fr_test_ctx(), fr_text_of(rule), &splitter));
    CU_ASSERT_PTR_NOT_NULL_FATAL(splitter);
    FR_ASSERT_OK(fr_splitter_run(fr_test_ctx(), splitter, (fr_text){text, bytes}, true,
                                 collect, p));
    fr_splitter_destroy(&splitter);
}

typedef struct example {
    const char *text;
    const char *wanted;
} example;

static void check(const char *rule, const example *examples, int n)
{
    for (int i = 0; i < n; i++) {
        pieces p = {0};
        split(rule, examples[i].text, strlen(examples[i].text), &p);
        CU_ASSERT_STRING_EQUAL(p.shown, examples[i].wanted);
        if (strcmp(p.shown, examples[i].wanted) != 0) {
            (void)printf("    '%s': got '%s', wanted '%s'\n", examples[i].text, p.shown,
                         examples[i].wanted);
        }
    }
}

/* The same under both rules. */
static const example TEXTS[] = {
    {"", ""},
    {"Hello world", "Hello| world"},
    {"Hello,  world!", "Hello|,| | world|!"},
    {"a\n\n\nb", "a|\n\n|\n|b"},
    {"a \n b", "a| \n| b"},
    {"trailing   ", "trailing|   "},
    {"I've you're it's he'll we'd I'm don't",
     "I|'ve| you|'re| it|'s| he|'ll| we|'d| I|'m| don|'t"},
    {"We'Ve 'RE", "We|'|Ve| '|RE"},
    {"x=='y'", "x|=='|y|'"},
    {"\t\tif", "\t|\t|if"},
    {"na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD", "na\xC3\xAFve| \xE4\xBD\xA0\xE5\xA5\xBD"},
    /* combining marks are neither letters nor spaces */
    {"e\xCC\x81t", "e|\xCC\x81|t"},
    /* U+00A0, U+0085, U+3000 are white space */
    {"a\xC2\xA0\xC2\x85\xE3\x80\x80"
     "b",
     "a|\xC2\xA0\xC2\x85|\xE3\x80\x80|b"},
    /* U+180E and U+200B are not, nor are the separators 1C to 1F */
    {"a\xE1\xA0\x8E\xE2\x80\x8B\x1C", "a|\xE1\xA0\x8E\xE2\x80\x8B\x1C"},
};

static void words_spaces_and_signs_are_parted(void)
{
    check(GPT2, TEXTS, FR_N_CASES(TEXTS));
    check(SMOLLM, TEXTS, FR_N_CASES(TEXTS));
}

static void gpt2_keeps_numbers_together(void)
{
    static const example EXAMPLES[] = {
        {"in 2024, 3.14", "in| 2024|,| 3|.|14"},
        {"a1b22", "a|1|b|22"},
        {"x   12", "x|  | 12"},
        {"\xC2\xBD\xE2\x85\xA7", "\xC2\xBD\xE2\x85\xA7"},
    };
    check(GPT2, EXAMPLES, FR_N_CASES(EXAMPLES));
}

static void smollm_splits_every_number_sign_off(void)
{
    static const example EXAMPLES[] = {
        {"in 2024, 3.14", "in| |2|0|2|4|,| |3|.|1|4"},
        {"a1b22", "a|1|b|2|2"},
        /* the run before a number stays whole: its stretch ends there */
        {"x   12", "x|   |1|2"},
        {"1 a", "1| a"},
        {"1\n\n2", "1|\n\n|2"},
        {"\xC2\xBD\xE2\x85\xA7", "\xC2\xBD|\xE2\x85\xA7"},
        {"9's", "9|'s"},
    };
    check(SMOLLM, EXAMPLES, FR_N_CASES(EXAMPLES));
}

static void bytes_that_are_no_utf8_are_pieces_of_their_own(void)
{
    static const example EXAMPLES[] = {
        {"ab\xFF\xFE"
         "cd",
         "ab|\xFF\xFE|cd"},
        {"\x80", "\x80"},
        /* cut short, then whole */
        {"\xE2\x82\xE2\x82\xAC", "\xE2\x82|\xE2\x82\xAC"},
        /* overlong, surrogate, past U+10FFFF */
        {"\xC0\xAF \xE0\x80\xAF", "\xC0\xAF| |\xE0\x80\xAF"},
        {"\xED\xA0\x80", "\xED\xA0\x80"},
        {"\xF4\x90\x80\x80", "\xF4\x90\x80\x80"},
        {"\xF0\x8F\xBF\xBF", "\xF0\x8F\xBF\xBF"},
        /* as at the end of a text, the run of spaces stays whole */
        {"a  \xFF", "a|  |\xFF"},
        {"\xF0\x9F\xA6\x99\xF0\x9F", "\xF0\x9F\xA6\x99|\xF0\x9F"},
    };
    check(GPT2, EXAMPLES, FR_N_CASES(EXAMPLES));
    check(SMOLLM, EXAMPLES, FR_N_CASES(EXAMPLES));
}

/* Bytes that often make sense as UTF-8, spaces, digits and quotes. */
static void random_text(uint64_t trial, char *text, size_t bytes)
{
    static const char SOME[] = "ab 1\n'\xC3\xA9\xE2\x82\xAC\xFF";
    for (size_t i = 0; i < bytes; i++) {
        uint64_t word = fr_rng_u64(trial, FR_RNG_TEST, 3, i);
        text[i] = word % 4 == 0 ? (char)(word >> 8) : SOME[(word >> 8) % sizeof SOME];
    }
}

static void the_pieces_add_up_to_the_text(void)
{
    enum { TRIALS = 200, BYTES = 300 };
    char text[BYTES];
    char joined[BYTES];
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        pieces p = {.joined = joined};
        random_text(trial, text, BYTES);
        split(trial % 2 == 0 ? GPT2 : SMOLLM, text, BYTES, &p);
        CU_ASSERT_EQUAL(p.n_joined, BYTES);
        fr_assert_same_bytes("joined", joined, text, BYTES);
    }
}

/* A splitter that looked through the rest of the text at each piece would take 10^12 steps and never end
 * within the time limit. */
static void a_megabyte_is_split_in_linear_time(void)
{
    enum { BYTES = 1 << 20 };
    static const struct {
        const char *unit;
        int64_t count;
    } UNITS[] = {{"a", 1},
                 {" ", 1},
                 {"!", 1},
                 {"\xFF", 1},
                 {"a ", -1},
                 {" a", -1},
                 {"\xFF"
                  "a",
                  -1},
                 {"1", -1},
                 {"\n\t", 1},
                 {" '", -1},
                 {"\xC3\xA9", 1},
                 {"'s", -1}};
    char *text = malloc(BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (int i = 0; i < FR_N_CASES(UNITS); i++) {
        size_t width = strlen(UNITS[i].unit);
        for (size_t at = 0; at < BYTES; at++) {
            text[at] = UNITS[i].unit[at % width];
        }
        pieces p = {0};
        split(SMOLLM, text, BYTES, &p);
        if (UNITS[i].count > 0) {
            CU_ASSERT_EQUAL(p.count, UNITS[i].count);
            CU_ASSERT_EQUAL(p.longest, BYTES);
        } else {
            CU_ASSERT_TRUE(p.count >= BYTES / 2);
        }
    }
    free(text);
}

static void a_long_run_of_spaces_leaves_its_last_to_the_word(void)
{
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, ' ', BYTES);
    text[BYTES - 1] = 'w';
    pieces p = {0};
    split(GPT2, text, BYTES, &p);
    CU_ASSERT_EQUAL(p.count, 2);
    CU_ASSERT_EQUAL(p.longest, BYTES - 2);
    free(text);
}

/* The rule as it is defined: digits first, then the gpt-2 rule on each stretch between them. */
static void split_in_two_passes(const char *text, size_t bytes, pieces *p)
{
    size_t at = 0;
    while (at < bytes) {
        size_t n = 0;
        while (at + n < bytes && (text[at + n] < '0' || text[at + n] > '9')) {
            n++;
        }
        split(GPT2, text + at, n, p);
        at += n;
        if (at < bytes) {
            (void)collect(p, text + at, 1);
            at++;
        }
    }
}

static void smollm_is_the_gpt2_rule_between_digits(void)
{
    static const char SOME[] = "ab12 \n\t'!sr";
    enum { TRIALS = 300, BYTES = 60 };
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        char text[BYTES];
        pieces got = {0};
        pieces wanted = {0};
        for (size_t i = 0; i < BYTES; i++) {
            uint64_t word = fr_rng_u64(trial, FR_RNG_TEST, 4, i);
            text[i] = SOME[word % (sizeof SOME - 1)];
        }
        split(SMOLLM, text, BYTES, &got);
        split_in_two_passes(text, BYTES, &wanted);
        CU_ASSERT_STRING_EQUAL(got.shown, wanted.shown);
        CU_ASSERT_EQUAL(got.count, wanted.count);
    }
}

static void a_failure_of_the_visitor_ends_the_splitting(void)
{
    fr_splitter *splitter = NULL;
    pieces p = {.stop_after = 2};
    FR_ASSERT_OK(fr_splitter_create_named(fr_test_ctx(), fr_text_of(GPT2), &splitter));
    CU_ASSERT_EQUAL(fr_splitter_run(fr_test_ctx(), splitter, fr_text_of("a b c \xFF d"),
                                    true, collect, &p),
                    FR_ERR_STOPPED);
    CU_ASSERT_EQUAL(p.count, 2);
    fr_splitter_destroy(&splitter);
}

/* Every name in the list: it has a splitter, its pieces add up to any text, and it stays below the limit of work on long runs
 * of one byte that end in another. */
static void check_name(fr_text name, char *text, size_t bytes)
{
    static const char RUNS[] = "a 1!\n'";
    fr_splitter *splitter = NULL;
    char *joined = fr_test_memory(malloc(bytes));
    FR_ASSERT_OK(fr_splitter_create_named(fr_test_ctx(), name, &splitter));
    CU_ASSERT_PTR_NOT_NULL_FATAL(splitter);
    CU_ASSERT_TRUE(fr_splitter_is_byte_level(splitter));
    for (size_t i = 0; i + 1 < sizeof RUNS; i++) {
        pieces p = {.joined = joined};
        memset(text, RUNS[i], bytes);
        text[bytes - 1] = 'x';
        FR_ASSERT_OK(fr_splitter_run(fr_test_ctx(), splitter, (fr_text){text, bytes},
                                     true, collect, &p));
        CU_ASSERT_EQUAL(p.n_joined, bytes);
        CU_ASSERT_EQUAL(memcmp(joined, text, bytes), 0);
    }
    free(joined);
    fr_splitter_destroy(&splitter);
}

static void every_named_rule_splits_long_runs(void)
{
    enum { BYTES = 1 << 15 };
    char *text = fr_test_memory(malloc(BYTES));
    int n = 0;
    for (const char *name = fr_split_names(); *name != '\0'; n++) {
        size_t bytes = strcspn(name, ",");
        check_name((fr_text){name, bytes}, text, BYTES);
        name += bytes;
        name += strspn(name, ", ");
    }
    CU_ASSERT_TRUE(n > 60);
    fr_splitter *none = NULL;
    FR_ASSERT_OK(fr_splitter_create_named(fr_test_ctx(), fr_text_of("gpt"), &none));
    CU_ASSERT_PTR_NULL(none);
    CU_ASSERT_TRUE(fr_split_name_ignores_merges(fr_text_of("llama-bpe")));
    CU_ASSERT_FALSE(fr_split_name_ignores_merges(fr_text_of("qwen2")));
    free(text);
}

static void digest_of(const fr_splitter *splitter, uint8_t out[FR_DIGEST_BYTES])
{
    fr_digest *digest = NULL;
    FR_ASSERT_OK(fr_digest_create(fr_test_ctx(), &digest));
    FR_ASSERT_OK(fr_splitter_hash(fr_test_ctx(), splitter, digest));
    FR_ASSERT_OK(fr_digest_end(fr_test_ctx(), digest, out));
    fr_digest_destroy(&digest);
}

/* A folder and a GGUF file of one model have one digest: a rule is known by its steps. */
static void a_rule_is_known_by_its_steps(void)
{
    static const char *const NAMES[] = {"gpt-2", "llama3", "qwen2"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        uint8_t named[FR_DIGEST_BYTES];
        uint8_t stepped[FR_DIGEST_BYTES];
        fr_splitter *splitter = NULL;
        fr_split_step steps[] = {{.kind = FR_SPLIT_AT,
                                  .pattern = fr_text_of(fr_split_name_regex(NAMES[i])),
                                  .is_regex = true},
                                 {.kind = FR_SPLIT_BYTES}};
        FR_ASSERT_OK(
            fr_splitter_create_named(fr_test_ctx(), fr_text_of(NAMES[i]), &splitter));
        digest_of(splitter, named);
        fr_splitter_destroy(&splitter);
        for (int other = 0; other < 2; other++) {
            steps[0].behavior = other == 0 ? FR_SPLIT_ISOLATED : FR_SPLIT_CONTIGUOUS;
            FR_ASSERT_OK(
                fr_splitter_create(fr_test_ctx(), "t.json", steps, 2, &splitter));
            digest_of(splitter, stepped);
            CU_ASSERT_EQUAL(memcmp(named, stepped, sizeof named) == 0, other == 0);
            fr_splitter_destroy(&splitter);
        }
    }
}

/* An expression of a file may take any time: the text is refused, and the file is named. */
static void a_hostile_expression_ends(void)
{
    enum { BYTES = 1 << 20 };
    static const fr_split_step STEP = {
        .kind = FR_SPLIT_AT, .pattern = {"(a+)+$x|a+\\d", 12}, .is_regex = true};
    fr_splitter *splitter = NULL;
    pieces p = {0};
    char *text = fr_test_memory(malloc(BYTES));
    memset(text, 'a', BYTES);
    FR_ASSERT_OK(fr_splitter_create(fr_test_ctx(), "t.json", &STEP, 1, &splitter));
    FR_ASSERT_FAILS(fr_splitter_run(fr_test_ctx(), splitter, (fr_text){text, BYTES},
                                    true, collect, &p),
                    FR_ERR_DATA, "t.json: matching the regular expression");
    free(text);
    fr_splitter_destroy(&splitter);
}

static void too_many_steps_are_refused(void)
{
    fr_split_step steps[FR_MAX_SPLIT_STEPS + 1] = {{.kind = FR_SPLIT_PREFIX}};
    fr_splitter *splitter = NULL;
    FR_ASSERT_FAILS(fr_splitter_create(fr_test_ctx(), "t.json", steps,
                                       FR_MAX_SPLIT_STEPS + 1, &splitter),
                    FR_ERR_UNSUPPORTED, "65 steps; at most 64");
}

static const fr_case CASES[] = {
    FR_CASE(every_named_rule_splits_long_runs),
    FR_CASE(a_rule_is_known_by_its_steps),
    FR_CASE(a_hostile_expression_ends),
    FR_CASE(too_many_steps_are_refused),
    FR_CASE(words_spaces_and_signs_are_parted),
    FR_CASE(gpt2_keeps_numbers_together),
    FR_CASE(smollm_splits_every_number_sign_off),
    FR_CASE(smollm_is_the_gpt2_rule_between_digits),
    FR_CASE(bytes_that_are_no_utf8_are_pieces_of_their_own),
    FR_CASE(the_pieces_add_up_to_the_text),
    FR_CASE(a_megabyte_is_split_in_linear_time),
    FR_CASE(a_long_run_of_spaces_leaves_its_last_to_the_word),
    FR_CASE(a_failure_of_the_visitor_ends_the_splitting)};

int main(int argc, char **argv)
{
    return fr_suite_main("pretokenize", CASES, FR_N_CASES(CASES), argc, argv);
}
