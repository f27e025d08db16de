#include "support/rows.h"

#include <string.h>

/* One dataset of text rows; `how` may be NULL. */
typedef struct text_set {
    fr_tokenizer *tokenizer;
    fr_data_params params;
    fr_dataset *data;
} text_set;

static text_set make_set(const fr_letters *how, const char *template_text,
                         const char *rows)
{
    fr_letters plain = {0};
    text_set set = {.tokenizer = fr_test_letters(how != NULL ? how : &plain)};
    set.params = fr_test_text_params(fr_test_rows(rows), set.tokenizer);
    set.params.template_text = template_text;
    return set;
}

static void open_set(text_set *set)
{
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &set->params, &set->data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(set->data);
}

static void close_set(text_set *set)
{
    fr_dataset_close(&set->data);
    fr_tokenizer_close(&set->tokenizer);
}

static void check_row(const text_set *set, int64_t row, const char *source,
                      const char *target)
{
    fr_assert_tokens("source", set->tokenizer, fr_dataset_source(set->data, row),
                     source);
    fr_assert_tokens("target", set->tokenizer, fr_dataset_target(set->data, row, 0),
                     target);
}

static fr_dataset *open_ids(const fr_data_params *params)
{
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), params, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

static void ids_are_taken_as_they_are(void)
{
    fr_data_params params =
        fr_test_id_params(fr_test_rows("{\"source_ids\":[5,6,7],\"target_ids\":[8,9]}\n"
                                       "{\"source_ids\":[],\"target_ids\":[1,99]}\n"));
    fr_dataset *data = open_ids(&params);
    fr_assert_ids("source 0", fr_dataset_source(data, 0), "5 6 7");
    fr_assert_ids("target 0", fr_dataset_target(data, 0, 0), "8* 9*");
    fr_assert_ids("source 1", fr_dataset_source(data, 1), "");
    CU_ASSERT_EQUAL(fr_dataset_target(data, 1, 0).count, 2);
    const fr_data_stats *s = fr_dataset_stats(data);
    CU_ASSERT_EQUAL(s->n_rows, 2);
    CU_ASSERT_EQUAL(s->n_source_tokens, 3);
    /* the second row's first token is predicted by nothing */
    CU_ASSERT_EQUAL(s->n_target_tokens, 3);
    CU_ASSERT_EQUAL(s->longest, 5);
    fr_sequence target = fr_dataset_target(data, 1, 0);
    CU_ASSERT_EQUAL(fr_sequence_predictions(&target, false), 1);
    fr_dataset_close(&data);
    CU_ASSERT_PTR_NULL(data);
}

static void several_targets_share_a_row(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[5],\"target_ids\":[[1],[2,3]]}\n"
                     "{\"source_ids\":[6],\"target_ids\":[4]}\n"));
    fr_dataset *data = open_ids(&params);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_examples, 3);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_source_tokens, 2);
    CU_ASSERT_EQUAL(fr_dataset_n_targets(data, 0), 2);
    static const int64_t ROWS[] = {0, 0, 1};
    static const int64_t TARGETS[] = {0, 1, 0};
    for (int64_t e = 0; e < 3; e++) {
        int64_t row = -1;
        int64_t target = -1;
        fr_dataset_example(data, e, &row, &target);
        CU_ASSERT_EQUAL(row, ROWS[e]);
        CU_ASSERT_EQUAL(target, TARGETS[e]);
    }
    fr_assert_ids("target 1", fr_dataset_target(data, 0, 1), "2* 3*");
    fr_assert_ids("row 1", fr_dataset_target(data, 1, 0), "4*");
    fr_dataset_close(&data);
}

static void equal_sources_are_found_in_any_order(void)
{
    static const int64_t FIRST[] = {0, 1, 0, 3, 4, 1, 6};
    fr_data_params params =
        fr_test_id_params(fr_test_rows("{\"source_ids\":[5,6],\"target_ids\":[1]}\n"
                                       "{\"source_ids\":[6,5],\"target_ids\":[1]}\n"
                                       "{\"source_ids\":[5,6],\"target_ids\":[2]}\n"
                                       "{\"source_ids\":[],\"target_ids\":[1,2]}\n"
                                       "{\"source_ids\":[],\"target_ids\":[1,2]}\n"
                                       "{\"source_ids\":[6,5],\"target_ids\":[3]}\n"
                                       "{\"source_ids\":[5],\"target_ids\":[6,1]}\n"));
    fr_dataset *data = open_ids(&params);
    for (int64_t e = 0; e < 7; e++) {
        CU_ASSERT_EQUAL(fr_dataset_source_row(data, e), FIRST[e]);
    }
    fr_dataset_close(&data);
}

static void eos_closes_each_target_of_ids(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[5],\"target_ids\":[[1],[2,3]]}\n"));
    params.eos = true;
    params.eos_id = 42;
    fr_dataset *data = open_ids(&params);
    fr_assert_ids("first", fr_dataset_target(data, 0, 0), "1* 42*");
    fr_assert_ids("second", fr_dataset_target(data, 0, 1), "2* 3* 42*");
    fr_dataset_close(&data);
}

static void template_and_field_are_one_text(void)
{
    text_set set = make_set(NULL, "a{source}!t{target}x",
                            "{\"source\":\"b\",\"target\":\"hey\"}\n");
    open_set(&set);
    /* a and b merge across the border; t and he do not: {target} starts a text of its own */
    check_row(&set, 0, "ab|!|t", "h*|e*|y*|x*|</s>*");
    close_set(&set);
}

static void text_behind_the_target_joins_it(void)
{
    text_set set =
        make_set(NULL, "{source}:{target}y", "{\"source\":\"a\",\"target\":\"bx\"}\n");
    set.params.eos = false;
    open_set(&set);
    check_row(&set, 0, "a|:", "b*|xy*");
    close_set(&set);
}

static void template_without_source_needs_none(void)
{
    text_set set = make_set(NULL, "q{target}",
                            "{\"target\":\"ab\"}\n{\"source\":\"x\",\"target\":\"c\"}");
    open_set(&set);
    check_row(&set, 0, "q", "ab*|</s>*");
    check_row(&set, 1, "q", "c*|</s>*");
    close_set(&set);
}

static void empty_source_is_fine(void)
{
    text_set set =
        make_set(NULL, "{source}{target}", "{\"source\":\"\",\"target\":\"abc\"}\n");
    open_set(&set);
    CU_ASSERT_EQUAL(fr_dataset_source(set.data, 0).count, 0);
    /* "ab" has no predecessor: "c" and </s> are predicted */
    CU_ASSERT_EQUAL(fr_dataset_stats(set.data)->n_target_tokens, 2);
    close_set(&set);
}

static void bos_opens_the_source_where_the_model_asks(void)
{
    static const char ROW[] = "{\"source\":\"x\",\"target\":\"c\"}\n";
    fr_letters how = {.add_bos = true};
    text_set set = make_set(&how, "{source}{target}", ROW);
    open_set(&set);
    check_row(&set, 0, "<s>|x", "c*|</s>*");
    fr_dataset_close(&set.data);
    set.params.without_bos = true;
    open_set(&set);
    check_row(&set, 0, "x", "c*|</s>*");
    close_set(&set);
    set = make_set(NULL, "{source}{target}", ROW);
    open_set(&set);
    check_row(&set, 0, "x", "c*|</s>*");
    close_set(&set);
}

static void special_tokens_are_parsed_in_the_template_alone(void)
{
    text_set set = make_set(NULL, "<|im_start|>a{source}<|im_end|>{target}</s>b",
                            "{\"source\":\"b</s>\",\"target\":\"t</s>\"}\n");
    set.params.eos = false;
    open_set(&set);
    check_row(&set, 0, "<|im_start|>|ab|<|/|s|>|<|im_end|>", "t*|<*|/*|s*|>*|</s>*|b*");
    close_set(&set);
}

static void half_a_special_token_in_the_template_stays_text(void)
{
    text_set set =
        make_set(NULL, "</{source}{target}", "{\"source\":\"s>\",\"target\":\"t\"}\n");
    open_set(&set);
    check_row(&set, 0, "<|/|s|>", "t*|</s>*");
    close_set(&set);
}

static void special_parses_them_in_the_fields_too(void)
{
    text_set set = make_set(NULL, "{source}!{target}",
                            "{\"source\":\"b</s>\",\"target\":\"<s>t\"}\n");
    set.params.special = true;
    open_set(&set);
    check_row(&set, 0, "b|</s>|!", "<s>*|t*|</s>*");
    close_set(&set);
}

static void every_turn_of_the_assistant_is_counted(void)
{
    fr_letters how = {.chat_template = FR_TEST_CHATML};
    text_set set = make_set(&how, NULL,
                            "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                            "{\"role\":\"user\",\"content\":\"u\"},"
                            "{\"role\":\"assistant\",\"content\":\"ab\"},"
                            "{\"role\":\"user\",\"content\":\"v\"},"
                            "{\"role\":\"assistant\",\"content\":\"c\"},"
                            "{\"role\":\"user\",\"content\":\"more\"}]}\n");
    set.params.chat = true;
    open_set(&set);
    check_row(&set, 0,
              "<|im_start|>|s|y|s|t|e|m|\n|s|<|im_end|>|\n"
              "|<|im_start|>|u|s|e|r|\n|u|<|im_end|>|\n"
              "|<|im_start|>|a|s|s|i|s|t|a|n|t|\n|ab*|<|im_end|>*|\n"
              "|<|im_start|>|u|s|e|r|\n|v|<|im_end|>|\n"
              "|<|im_start|>|a|s|s|i|s|t|a|n|t|\n",
              "c*|<|im_end|>*");
    CU_ASSERT_EQUAL(fr_dataset_stats(set.data)->n_target_tokens, 4);
    fr_dataset_close(&set.data);
    set.params.loss_last = true;
    open_set(&set);
    fr_sequence source = fr_dataset_source(set.data, 0);
    CU_ASSERT_EQUAL(fr_sequence_predictions(&source, false), 0);
    CU_ASSERT_EQUAL(fr_dataset_stats(set.data)->n_target_tokens, 2);
    close_set(&set);
}

static void dialogue_without_system_gets_the_templates_own(void)
{
    fr_letters how = {.chat_template = FR_TEST_CHATML, .add_bos = true};
    text_set set = make_set(&how, NULL,
                            "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
                            "{\"role\":\"assistant\",\"content\":\"<s>\"}]}\n");
    set.params.chat = true;
    open_set(&set);
    check_row(&set, 0,
              "<s>|<|im_start|>|s|y|s|t|e|m|\n|B|e| |k|i|n|d|<|im_end|>|\n"
              "|<|im_start|>|u|s|e|r|\n|u|<|im_end|>|\n"
              "|<|im_start|>|a|s|s|i|s|t|a|n|t|\n",
              "<*|s*|>*|<|im_end|>*");
    close_set(&set);
}

/* Written by the template, put there by the tokenizer, or both. */
static void dialogue_has_one_bos_where_the_template_writes_it(void)
{
    char template[1024];
    (void)snprintf(template, sizeof template, "{{ bos_token }}%s", FR_TEST_CHATML);
    for (int add = 0; add < 2; add++) {
        fr_letters how = {.chat_template = template, .add_bos = add != 0};
        text_set set =
            make_set(&how, NULL,
                     "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                     "{\"role\":\"assistant\",\"content\":\"c\"}]}\n");
        set.params.chat = true;
        open_set(&set);
        check_row(&set, 0,
                  "<s>|<|im_start|>|s|y|s|t|e|m|\n|s|<|im_end|>|\n"
                  "|<|im_start|>|a|s|s|i|s|t|a|n|t|\n",
                  "c*|<|im_end|>*");
        close_set(&set);
    }
}

static void long_examples_are_dropped_one_by_one(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[1,2,3],\"target_ids\":[[4,5,6],[7,8]]}\n"
                     "{\"source_ids\":[1,2,3,4,5],\"target_ids\":[6]}\n"
                     "{\"source_ids\":[9],\"target_ids\":[9]}\n"));
    params.max_tokens = 5;
    fr_dataset *data = open_ids(&params);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_dropped, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_cut, 0);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_examples, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_target_tokens, 3);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->longest, 5);
    fr_assert_ids("kept", fr_dataset_target(data, 0, 0), "7* 8*");
    fr_assert_ids("next", fr_dataset_source(data, 1), "9");
    CU_ASSERT_EQUAL(fr_dataset_line(data, 1), 3);
    fr_dataset_close(&data);
}

static void cutting_takes_the_source_first(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[1,2,3,4],\"target_ids\":[5,6,7]}\n"
                     "{\"source_ids\":[1,2],\"target_ids\":[5,6,7,8,9]}\n"
                     "{\"source_ids\":[],\"target_ids\":[1,2,3,4,5,6]}\n"
                     "{\"source_ids\":[1],\"target_ids\":[2]}\n"));
    params.max_tokens = 4;
    params.cut_long_rows = true;
    fr_dataset *data = open_ids(&params);
    fr_assert_ids("source shortened", fr_dataset_source(data, 0), "1");
    fr_assert_ids("target whole", fr_dataset_target(data, 0, 0), "5* 6* 7*");
    fr_assert_ids("one source token stays", fr_dataset_source(data, 1), "1");
    fr_assert_ids("target cut", fr_dataset_target(data, 1, 0), "5* 6* 7*");
    CU_ASSERT_EQUAL(fr_dataset_target(data, 2, 0).count, 4);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_cut, 3);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_dropped, 0);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->longest, 4);
    fr_dataset_close(&data);
}

static void only_the_first_rows_are_read(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[1,2,3,4,5,6],\"target_ids\":[1]}\n\n"
                     "{\"source_ids\":[2],\"target_ids\":[1]}\nbroken\n"));
    params.max_rows = 2;
    params.max_tokens = 5;
    fr_dataset *data = open_ids(&params);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 1);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_dropped, 1);
    fr_dataset_close(&data);
}

static void blank_lines_and_line_ends_do_not_matter(void)
{
    fr_data_params params = fr_test_id_params(
        fr_test_rows("\xEF\xBB\xBF\n  \t\r\n{\"source_ids\":[1],\"target_ids\":[2]}\r\n"
                     "\r\n{\"source_ids\":[3],\"target_ids\":[4], \"note\": null}"));
    fr_dataset *data = open_ids(&params);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_line(data, 0), 3);
    CU_ASSERT_EQUAL(fr_dataset_line(data, 1), 5);
    fr_dataset_close(&data);
}

static void digest_is_that_of_the_file(void)
{
    static const char ROW[] = "{\"source_ids\":[1],\"target_ids\":[2]}\n";
    uint8_t wanted[FR_DIGEST_BYTES];
    uint8_t got[FR_DIGEST_BYTES];
    fr_data_params params = fr_test_id_params(fr_test_rows(ROW));
    fr_dataset *data = open_ids(&params);
    FR_ASSERT_OK(fr_digest_of(fr_test_ctx(), ROW, strlen(ROW), wanted));
    fr_dataset_digest(data, got);
    fr_assert_same_bytes("digest", got, wanted, sizeof got);
    fr_dataset_close(&data);
}

static const fr_case CASES[] = {
    FR_CASE(ids_are_taken_as_they_are),
    FR_CASE(several_targets_share_a_row),
    FR_CASE(equal_sources_are_found_in_any_order),
    FR_CASE(eos_closes_each_target_of_ids),
    FR_CASE(template_and_field_are_one_text),
    FR_CASE(text_behind_the_target_joins_it),
    FR_CASE(template_without_source_needs_none),
    FR_CASE(empty_source_is_fine),
    FR_CASE(bos_opens_the_source_where_the_model_asks),
    FR_CASE(special_tokens_are_parsed_in_the_template_alone),
    FR_CASE(half_a_special_token_in_the_template_stays_text),
    FR_CASE(special_parses_them_in_the_fields_too),
    FR_CASE(every_turn_of_the_assistant_is_counted),
    FR_CASE(dialogue_without_system_gets_the_templates_own),
    FR_CASE(dialogue_has_one_bos_where_the_template_writes_it),
    FR_CASE(long_examples_are_dropped_one_by_one),
    FR_CASE(cutting_takes_the_source_first),
    FR_CASE(only_the_first_rows_are_read),
    FR_CASE(blank_lines_and_line_ends_do_not_matter),
    FR_CASE(digest_is_that_of_the_file),
};

int main(int argc, char **argv)
{
    return fr_suite_main("data", CASES, FR_N_CASES(CASES), argc, argv);
}
