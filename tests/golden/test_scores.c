/* Scores of odd texts against sacrebleu and rouge-score; make_scores.py made scores.json. */
#include "base/mem.h"
#include "support/suite.h"
#include "train/scores/scores.h"
#include "train/scores/words.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TOLERANCE = 1e-9;

static json_t *read_golden(void)
{
    json_error_t why;
    json_t *root =
        json_load_file(fr_test_data("golden/scores.json"), JSON_ALLOW_NUL, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static fr_text text_of(const json_t *string)
{
    return (fr_text){json_string_value(string), json_string_length(string)};
}

static void check_number(const json_t *row, size_t number, const char *name, double got)
{
    double wanted = json_number_value(json_object_get(row, name));
    if (!(fabs(got - wanted) <= TOLERANCE)) {
        (void)printf("row %zu: %s is %.17g, not %.17g\n", number, name, got, wanted);
        CU_FAIL("a score differs");
    }
}

static fr_row_scores add_row(const json_t *row, fr_score_sums *sums)
{
    const json_t *list = json_object_get(row, "references");
    size_t n = json_array_size(list);
    fr_row_scores scores;
    fr_text *references = calloc(n, sizeof *references);
    CU_ASSERT_PTR_NOT_NULL_FATAL(references);
    for (size_t i = 0; i < n; i++) {
        references[i] = text_of(json_array_get(list, i));
    }
    FR_ASSERT_OK(fr_scores_add(fr_test_ctx(), text_of(json_object_get(row, "answer")),
                               references, (int64_t)n, sums, &scores));
    free(references);
    return scores;
}

static void each_row(void)
{
    json_t *root = read_golden();
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        fr_score_sums alone = {0};
        fr_row_scores scores = add_row(row, &alone);
        check_number(row, i, "exact_match", scores.exact_match ? 1.0 : 0.0);
        check_number(row, i, "rouge_l", scores.rouge_l);
        check_number(row, i, "chrf", scores.chrf);
        check_number(row, i, "bleu", fr_scores_of(&alone).bleu);
    }
    CU_ASSERT(i >= 200);
    json_decref(root);
}

static void each_corpus(void)
{
    json_t *root = read_golden();
    const json_t *rows = json_object_get(root, "rows");
    size_t i = 0;
    json_t *corpus = NULL;
    json_array_foreach(json_object_get(root, "corpora"), i, corpus)
    {
        fr_score_sums sums = {0};
        json_int_t end = json_integer_value(json_object_get(corpus, "end"));
        for (json_int_t r = json_integer_value(json_object_get(corpus, "first"));
             r < end; r++) {
            (void)add_row(json_array_get(rows, (size_t)r), &sums);
        }
        fr_scores scores = fr_scores_of(&sums);
        check_number(corpus, i, "exact_match", scores.exact_match);
        check_number(corpus, i, "rouge_l", scores.rouge_l);
        check_number(corpus, i, "bleu", scores.bleu);
        check_number(corpus, i, "chrf", scores.chrf);
    }
    CU_ASSERT(i >= 5);
    json_decref(root);
}

static fr_status add_copy(fr_ctx *ctx, fr_words *words, fr_text text)
{
    char *copy = NULL;
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes, 1, &copy));
    memcpy(copy, text.data, text.bytes);
    return fr_words_add(ctx, words, copy, text.bytes);
}

/* Tokens with one space between them, as the golden ones are. */
static void join_tokens(char *text, size_t *bytes)
{
    fr_words words = {0};
    fr_symbols symbols;
    size_t n = 0;
    FR_ASSERT_OK(fr_words_of(fr_test_ctx(), add_copy, (fr_text){text, *bytes}, NULL, 0,
                             &words, &symbols));
    for (int64_t i = 0; i < words.n; i++) {
        if (i > 0) {
            text[n++] = ' ';
        }
        memcpy(text + n, words.words[i].data, words.words[i].bytes);
        n += words.words[i].bytes;
    }
    *bytes = n;
    fr_words_fini(&words);
}

static void tokens_of_13a(void)
{
    json_t *root = read_golden();
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        char *tokens = NULL;
        size_t bytes = 0;
        fr_text wanted = text_of(json_object_get(row, "tokens_13a"));
        FR_ASSERT_OK(fr_tokenize_13a(
            fr_test_ctx(), text_of(json_object_get(row, "answer")), &tokens, &bytes));
        join_tokens(tokens, &bytes);
        bool same = bytes == wanted.bytes && memcmp(tokens, wanted.data, bytes) == 0;
        if (!same) {
            (void)printf("row %zu: \"%.*s\", not \"%s\"\n", i, (int)bytes, tokens,
                         wanted.data);
        }
        CU_ASSERT(same);
        free(tokens);
    }
    json_decref(root);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(each_row),
        FR_CASE(each_corpus),
        FR_CASE(tokens_of_13a),
    };
    return fr_suite_main("scores", CASES, FR_N_CASES(CASES), argc, argv);
}
