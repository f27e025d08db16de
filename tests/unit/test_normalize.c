#include "model/text/normalize.h"

#include "support/model_files.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static fr_status run(const fr_normal_step *steps, int64_t n, fr_text text, char **out,
                     size_t *bytes)
{
    fr_normalizer *normalizer = NULL;
    FR_ASSERT_OK(fr_normalizer_create(fr_test_ctx(), "t.json", steps, n, &normalizer));
    fr_status status = fr_normalizer_run(fr_test_ctx(), normalizer, text, out, bytes);
    fr_normalizer_destroy(&normalizer);
    return status;
}

static void check(fr_normal_step step, const char *text, const char *wanted)
{
    char *out = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(run(&step, 1, fr_text_of(text), &out, &bytes));
    CU_ASSERT_EQUAL(bytes, strlen(wanted));
    CU_ASSERT_STRING_EQUAL(out, wanted);
    free(out);
}

/* The text on either side is normalized as if it began and ended there. */
static void malformed_bytes_stay(void)
{
    check((fr_normal_step){.kind = FR_NORMAL_NFC},
          "e\xFF\xCC\x81"
          "e\xCC\x81\xC3",
          "e\xFF\xCC\x81\xC3\xA9\xC3");
    check((fr_normal_step){.kind = FR_NORMAL_LOWERCASE},
          "A\xC3"
          "B\xED\xA0\x80",
          "a\xC3"
          "b\xED\xA0\x80");
    check((fr_normal_step){.kind = FR_NORMAL_STRIP, .left = true, .right = true},
          " \xFF a \xFF ", "\xFF a \xFF");
    check((fr_normal_step){.kind = FR_NORMAL_REPLACE,
                           .pattern = fr_text_of("^a"),
                           .content = fr_text_of("b"),
                           .is_regex = true},
          "a\xFF"
          "a",
          "b\xFF"
          "b");
    check((fr_normal_step){.kind = FR_NORMAL_PREPEND, .content = fr_text_of("_")}, "",
          "");
}

/* Marks of two classes in turn: sorting them one by one would take 10^11 steps. */
static void a_megabyte_of_marks_is_sorted(void)
{
    enum { MARKS = 1 << 19 };
    fr_normal_step step = {.kind = FR_NORMAL_NFD};
    char *text = fr_test_memory(malloc(2 * (size_t)MARKS));
    char *out = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < MARKS; i++) {
        memcpy(text + 2 * i, i % 2 == 0 ? "\xCC\x81" : "\xCC\xA3", 2);
    }
    FR_ASSERT_OK(run(&step, 1, (fr_text){text, 2 * (size_t)MARKS}, &out, &bytes));
    CU_ASSERT_EQUAL_FATAL(bytes, 2 * (size_t)MARKS);
    CU_ASSERT_EQUAL(memcmp(out, "\xCC\xA3\xCC\xA3", 4), 0);
    CU_ASSERT_EQUAL(memcmp(out + bytes - 4, "\xCC\x81\xCC\x81", 4), 0);
    free(out);
    free(text);
}

static void a_text_that_grows_without_end_is_refused(void)
{
    fr_normal_step steps[FR_MAX_NORMAL_STEPS];
    char *out = NULL;
    size_t bytes = 0;
    for (int i = 0; i < FR_MAX_NORMAL_STEPS; i++) {
        steps[i] = (fr_normal_step){.kind = FR_NORMAL_REPLACE,
                                    .pattern = fr_text_of("a"),
                                    .content = fr_text_of("aaaa")};
    }
    FR_ASSERT_FAILS(
        run(steps, FR_MAX_NORMAL_STEPS, fr_text_of("aaaaaaaa"), &out, &bytes),
        FR_ERR_DATA, "t.json: normalizer makes more than");
    CU_ASSERT_PTR_NULL(out);
}

/* The size of the trie, one unit, and no texts. */
static void a_damaged_table_is_refused(void)
{
    static const fr_text TABLES[] = {{"", 0},
                                     {"\4\0\0", 3},
                                     {"\4\0\0\0abcd", 8},
                                     {"\5\0\0\0abcde\0", 10},
                                     {"\377\377\377\377abcd\0", 9},
                                     {"\4\0\0\0abcdx", 9}};
    for (int i = 0; i < FR_N_CASES(TABLES); i++) {
        fr_normal_step step = {.kind = FR_NORMAL_CHARSMAP, .content = TABLES[i]};
        fr_normalizer *normalizer = NULL;
        FR_ASSERT_FAILS(
            fr_normalizer_create(fr_test_ctx(), "t.json", &step, 1, &normalizer),
            FR_ERR_FORMAT, "t.json: precompiled_charsmap has");
        CU_ASSERT_PTR_NULL(normalizer);
    }
}

/* Whatever a trie holds, reading it stays inside it and ends. */
static void a_random_table_is_read_within_its_bounds(void)
{
    enum { BYTES = 1200, TRIE = 1024, TRIALS = 2000 };
    uint64_t state = 88172645463325252u;
    for (int trial = 0; trial < TRIALS; trial++) {
        char table[BYTES];
        char text[64];
        char *out = NULL;
        size_t bytes = 0;
        for (size_t i = 0; i < BYTES + sizeof text; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *(i < BYTES ? &table[i] : &text[i - BYTES]) =
                (char)(i % 4 == 3 || trial % 2 == 0 ? state >> 32 & 1 : state >> 32);
        }
        memcpy(table, "\0\4\0\0", 4);
        table[BYTES - 1] = '\0';
        fr_normal_step step = {.kind = FR_NORMAL_CHARSMAP,
                               .content = {table, BYTES},
                               .by_grapheme = trial % 3 == 0};
        fr_status status = run(&step, 1, (fr_text){text, sizeof text}, &out, &bytes);
        CU_ASSERT_TRUE(status == FR_OK || status == FR_ERR_FORMAT);
        free(out);
    }
}

static const fr_case CASES[] = {FR_CASE(malformed_bytes_stay),
                                FR_CASE(a_megabyte_of_marks_is_sorted),
                                FR_CASE(a_text_that_grows_without_end_is_refused),
                                FR_CASE(a_damaged_table_is_refused),
                                FR_CASE(a_random_table_is_read_within_its_bounds)};

int main(int argc, char **argv)
{
    return fr_suite_main("normalize", CASES, FR_N_CASES(CASES), argc, argv);
}
