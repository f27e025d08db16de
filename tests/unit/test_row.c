/* One reader for training and generation: the same ids, forms, weights, keys, and rows that cannot be used. */
#include "train/data/row.h"

#include "support/rows.h"

#include <stdio.h>
#include <string.h>

/* How the rows of one case are read. */
typedef struct how {
    fr_letters letters;
    const char *template_text; /* NULL: dialogues */
    bool special;
    bool without_bos;
} how;

static fr_data_params params_of(const how *h, const fr_tokenizer *tokenizer)
{
    fr_data_params params = fr_test_text_params("rows.jsonl", tokenizer);
    params.template_text = h->template_text;
    params.chat = h->template_text == NULL;
    params.special = h->special;
    params.without_bos = h->without_bos;
    return params;
}

static void read_row(const fr_data_params *params, fr_row_use use, const char *text,
                     fr_row *row)
{
    fr_row_reader reader;
    FR_ASSERT_OK(fr_row_reader_init(fr_test_ctx(), params, use, &reader));
    reader.line = 1;
    FR_ASSERT_OK(fr_row_read(&reader, text, strlen(text), row));
    CU_ASSERT_EQUAL(row->source.ids.count, row->source.own.count);
    CU_ASSERT_EQUAL(row->targets.ids.count, row->targets.own.count);
}

static bool same_ids(const fr_ids *a, const fr_ids *b)
{
    return a->count == b->count &&
           (a->count == 0 ||
            memcmp(a->data, b->data, (size_t)a->count * sizeof *a->data) == 0);
}

/* Every form, with and without chat, BOS, special tokens: the prompt is the source that training has before the target. */
static void prompts_are_the_sources_of_training(void)
{
    static const char *const TEXTS[] = {
        "{\"source\":\"ab the\",\"target\":\"x\"}",
        "{\"source\":\"\",\"target\":[\"x\",\"yy\"]}",
        "{\"source\":\"a<s>\\nb \",\"target\":\" x\"}",
        "{\"source_ids\":[5,0,7],\"target_ids\":[[1],[2,3]]}",
        "{\"source_ids\":[5],\"target_ids\":[1]}",
    };
    static const char *const DIALOGUES[] = {
        "{\"messages\":[{\"role\":\"user\",\"content\":\" the 0 \"},"
        "{\"role\":\"assistant\",\"content\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
        "\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":"
        "\"user\","
        "\"content\":\"</s>\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
        "{\"source\":\"ab\",\"target\":\"x\"}",
        "{\"source\":\"ab<s>\",\"target\":[\"x\",\"yy\"]}",
        "{\"source_ids\":[5,0,7],\"target_ids\":[1]}",
    };
    enum { N = 5, ADD_BOS = 1, SPECIAL = 2, WITHOUT_BOS = 4, CHAT = 8, N_HOWS = 16 };
    for (int bits = 0; bits < N_HOWS; bits++) {
        how h = {.letters = {.add_bos = (bits & ADD_BOS) != 0,
                             .chat_template = FR_TEST_CHATML},
                 .template_text =
                     (bits & CHAT) != 0 ? NULL : "<|im_start|>a{source}!\n{target}y",
                 .special = (bits & SPECIAL) != 0,
                 .without_bos = (bits & WITHOUT_BOS) != 0};
        fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
        fr_data_params params = params_of(&h, tokenizer);
        for (int i = 0; i < N; i++) {
            const char *text = (bits & CHAT) != 0 ? DIALOGUES[i] : TEXTS[i];
            fr_row learn = {0};
            fr_row prompt = {0};
            read_row(&params, FR_ROW_LEARN, text, &learn);
            read_row(&params, FR_ROW_PROMPT, text, &prompt);
            CU_ASSERT_TRUE(same_ids(&learn.source.ids, &prompt.source.ids));
            CU_ASSERT_TRUE(learn.n_targets > 0);
            CU_ASSERT_EQUAL(prompt.n_targets, 0);
            fr_row_fini(&learn);
            fr_row_fini(&prompt);
        }
        fr_tokenizer_close(&tokenizer);
    }
}

/* Also where an id would reach into an answer, of which only the learned ones are cut off: "a" opens an answer, and "ab" is one
 * token. Ids and both flags are those of training. */
static void prompts_are_the_sources_whichever_answers_are_learned(void)
{
    static const char DIALOGUE[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
        "\"content\":\"bx\"},{\"role\":\"user\",\"content\":\"v\"},{\"role\":"
        "\"assistant\",\"content\":\"by\"}]}";
    how h = {.letters = {.chat_template =
                             "{% for m in messages %}{{ m.role }}:a{{ m.content }}"
                             "<|im_end|>{% endfor %}{% if add_generation_prompt %}"
                             "assistant:a{% endif %}"}};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    int64_t n_ids[2];
    for (int last = 0; last < 2; last++) {
        fr_row learn = {0};
        fr_row prompt = {0};
        params.loss_last = last != 0;
        read_row(&params, FR_ROW_LEARN, DIALOGUE, &learn);
        read_row(&params, FR_ROW_PROMPT, DIALOGUE, &prompt);
        CU_ASSERT_TRUE(same_ids(&learn.source.ids, &prompt.source.ids));
        CU_ASSERT_TRUE(same_ids(&learn.source.own, &prompt.source.own));
        CU_ASSERT_TRUE(same_ids(&learn.source_counted, &prompt.source_counted));
        n_ids[last] = learn.source.ids.count;
        fr_row_fini(&learn);
        fr_row_fini(&prompt);
    }
    CU_ASSERT_EQUAL(n_ids[0], n_ids[1] + 1); /* the first answer was cut off */
    fr_tokenizer_close(&tokenizer);
}

static void weights_say_which_turns_are_learned(void)
{
    how h = {.letters = {.chat_template = FR_TEST_CHATML}};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    fr_row row = {0};
    read_row(&params, FR_ROW_LEARN,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"u\",\"weight\":0},"
             "{\"role\":\"assistant\",\"content\":\"aaaa\",\"weight\":0},"
             "{\"role\":\"user\",\"content\":\"v\"},"
             "{\"role\":\"assistant\",\"content\":\"c\",\"weight\":1}]}",
             &row);
    CU_ASSERT_EQUAL(row.targets.ids.count, 2); /* c and the turn's end */
    for (int64_t i = 0; i < row.source_counted.count; i++) {
        CU_ASSERT_EQUAL(row.source_counted.data[i], 0);
    }
    read_row(&params, FR_ROW_LEARN,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
             "{\"role\":\"assistant\",\"content\":\"x\",\"weight\":1.0},"
             "{\"role\":\"assistant\",\"content\":\"c\",\"weight\":0}]}",
             &row);
    CU_ASSERT_EQUAL(row.targets.ids.count, 2);
    fr_row_fini(&row);
    fr_tokenizer_close(&tokenizer);
}

static void refuses(const fr_data_params *params, fr_row_use use, const char *text,
                    const char *part)
{
    fr_row row = {0};
    fr_row_reader reader;
    FR_ASSERT_OK(fr_row_reader_init(fr_test_ctx(), params, use, &reader));
    reader.line = 3;
    FR_ASSERT_FAILS(fr_row_read(&reader, text, strlen(text), &row), FR_ERR_DATA, part);
    FR_ASSERT_FAILS(fr_row_read(&reader, text, strlen(text), &row), FR_ERR_DATA,
                    "rows.jsonl:3: ");
    fr_row_fini(&row);
}

static void other_weights_are_refused(void)
{
    how h = {.letters = {.chat_template = FR_TEST_CHATML}};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    static const char *const WEIGHTS[] = {"2", "-1", "0.5", "\"1\"", "null", "true"};
    for (size_t i = 0; i < sizeof WEIGHTS / sizeof WEIGHTS[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\","
                       "\"weight\":%s}]}",
                       WEIGHTS[i]);
        refuses(&params, FR_ROW_LEARN, text, "message 1: \"weight\" must be 0 or 1");
    }
    refuses(&params, FR_ROW_LEARN,
            "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"weight\":1},"
            "{\"role\":\"assistant\",\"content\":\"a\"}]}",
            "not the assistant's");
    refuses(&params, FR_ROW_LEARN,
            "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0}]}",
            "nothing to learn");
    fr_tokenizer_close(&tokenizer);
}

static void keys_must_be_known(void)
{
    how h = {.letters = {.chat_template = FR_TEST_CHATML}};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    static const char TURN[] =
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"wieght\":0}]}";
    static const char ROW[] = "{\"source\":\"a\",\"target\":\"b\",\"functions\":[]}";
    refuses(&params, FR_ROW_LEARN, TURN,
            "message 1 has the key \"wieght\", which is not known; did you mean "
            "\"weight\"?");
    refuses(&params, FR_ROW_LEARN, ROW, "the row has the key \"functions\"");
    refuses(&params, FR_ROW_LEARN, "{\"source\":\"a\",\"target\":\"b\",\"tools\":[]}",
            "only a row of \"messages\" may have \"tools\"");
    refuses(&params, FR_ROW_PROMPT, ROW, "data.ignore (--ignore)");
    refuses(&params, FR_ROW_LEARN,
            "{\"source\":\"a\",\"target\":\"b\",\"prefix\":\"p\"}", "\"prefix\"");
    fr_row row = {0};
    params.ignore = "wieght, functions";
    read_row(&params, FR_ROW_LEARN, TURN, &row);
    read_row(&params, FR_ROW_LEARN, ROW, &row);
    read_row(&params, FR_ROW_LEARN,
             "{\"id\":7,\"score\":NaN,\"source\":\"a\",\"target\":\"b\"}", &row);
    params.ignore = "function,s";
    refuses(&params, FR_ROW_LEARN, ROW, "\"functions\"");
    fr_row_fini(&row);
    fr_tokenizer_close(&tokenizer);
}

static void a_row_has_one_form(void)
{
    how h = {.template_text = "{source}{target}"};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    static const char BOTH[] =
        "{\"source\":\"a\",\"target\":\"b\",\"source_ids\":[5],\"target_ids\":[6]}";
    fr_row row = {0};
    refuses(&params, FR_ROW_LEARN, BOTH, "one form");
    refuses(&params, FR_ROW_PROMPT, BOTH, "one form");
    params.ignore = "source,target";
    read_row(&params, FR_ROW_LEARN, BOTH, &row);
    CU_ASSERT_EQUAL(row.source.ids.count, 1);
    CU_ASSERT_EQUAL(row.source.ids.data[0], 5);
    params.ignore = NULL;
    /* a prompt's reference answer may have another form */
    read_row(&params, FR_ROW_PROMPT, "{\"source_ids\":[5],\"target\":\"b\"}", &row);
    fr_row_fini(&row);
    fr_tokenizer_close(&tokenizer);
}

static void a_prompt_needs_no_answer(void)
{
    how h = {.letters = {.chat_template = FR_TEST_CHATML}};
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    fr_row with = {0};
    fr_row without = {0};
    read_row(&params, FR_ROW_PROMPT,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"the\"},"
             "{\"role\":\"assistant\",\"content\":\"SECRET\"}]}",
             &with);
    read_row(&params, FR_ROW_PROMPT,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"the\"}]}", &without);
    CU_ASSERT_TRUE(same_ids(&with.source.ids, &without.source.ids));
    refuses(&params, FR_ROW_PROMPT,
            "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
            "nothing to answer");
    fr_row_fini(&with);
    fr_row_fini(&without);
    fr_tokenizer_close(&tokenizer);
}

static void no_tokenizer_is_told_with_its_reason(void)
{
    fr_data_params params = fr_test_id_params("rows.jsonl");
    params.why_no_tokenizer = "the tokenizer is of a kind that is not known; give ids";
    refuses(
        &params, FR_ROW_LEARN, "{\"source\":\"a\",\"target\":\"b\"}",
        "a row of text, but the tokenizer is of a kind that is not known; give ids");
    params.chat = true;
    refuses(&params, FR_ROW_PROMPT, "{\"messages\":[]}",
            "a dialogue, but the tokenizer");
    fr_row row = {0};
    read_row(&params, FR_ROW_LEARN, "{\"source_ids\":[1],\"target_ids\":[2]}", &row);
    fr_row_fini(&row);
}

/* ---- files ------------------------------------------------------------------------------------- */

static void bad_rows_are_left_out_on_request(void)
{
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_id_params(
        fr_test_rows("{\"source_ids\":[1],\"target_ids\":[2]}\nbroken\n"
                     "{\"source_ids\":[500],\"target_ids\":[2]}\n"
                     "{\"source_ids\":[3],\"target_ids\":[4]}\n"));
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "rows.jsonl:2: broken JSON");
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "2 rows cannot be used");
    params.skip_bad_rows = true;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_rows, 2);
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_unusable, 2);
    CU_ASSERT_EQUAL(fr_dataset_line(data, 1), 4);
    fr_dataset_close(&data);
    params.path = fr_test_rows("broken\n{}\n");
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "no row can be used");
}

static void a_source_without_a_place_is_counted(void)
{
    how h = {.template_text = "q{target}"};
    fr_dataset *data = NULL;
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    params.path =
        fr_test_rows("{\"source\":\"x\",\"target\":\"a\"}\n{\"target\":\"b\"}");
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_unused, 1);
    fr_dataset_close(&data);
    fr_tokenizer_close(&tokenizer);
}

static void cutting_leaves_the_template_whole(void)
{
    how h = {.letters = {.add_bos = true}, .template_text = "Q:{source}!{target}?"};
    fr_dataset *data = NULL;
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    params.path = fr_test_rows("{\"source\":\"cdefgh\",\"target\":\"ij\"}\n"
                               "{\"source\":\"c\",\"target\":\"ijklmn\"}\n"
                               "{\"source\":\"c\",\"target\":\"i\"}\n");
    params.cut_long_rows = true;
    params.max_tokens = 10;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    fr_assert_tokens("source cut", tokenizer, fr_dataset_source(data, 0),
                     "<s>|Q|:|c|d|!");
    fr_assert_tokens("target whole", tokenizer, fr_dataset_target(data, 0, 0),
                     "i*|j*|?*|</s>*");
    fr_assert_tokens("source gone", tokenizer, fr_dataset_source(data, 1), "<s>|Q|:|!");
    fr_assert_tokens("target cut", tokenizer, fr_dataset_target(data, 1, 0),
                     "i*|j*|k*|l*|?*|</s>*");
    CU_ASSERT_EQUAL(fr_dataset_stats(data)->n_cut, 2);
    fr_dataset_close(&data);
    params.max_tokens = 6;
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_DATA,
                    "the template alone is too long");
    fr_tokenizer_close(&tokenizer);
}

static void cutting_a_dialogue_leaves_its_frame_whole(void)
{
    how h = {.letters = {.chat_template = FR_TEST_CHATML}};
    fr_dataset *data = NULL;
    fr_tokenizer *tokenizer = fr_test_letters(&h.letters);
    fr_data_params params = params_of(&h, tokenizer);
    params.path = fr_test_rows("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                               "{\"role\":\"user\",\"content\":\"cdefgh\"},"
                               "{\"role\":\"assistant\",\"content\":\"ij\"}]}\n");
    params.cut_long_rows = true;
    params.max_tokens = 34;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    fr_assert_tokens("source", tokenizer, fr_dataset_source(data, 0),
                     "<|im_start|>|s|y|s|t|e|m|\n|s|<|im_end|>|\n"
                     "|<|im_start|>|u|s|e|r|\n|c|<|im_end|>|\n"
                     "|<|im_start|>|a|s|s|i|s|t|a|n|t|\n");
    fr_assert_tokens("target", tokenizer, fr_dataset_target(data, 0, 0),
                     "i*|j*|<|im_end|>*");
    fr_dataset_close(&data);
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(prompts_are_the_sources_of_training),
    FR_CASE(prompts_are_the_sources_whichever_answers_are_learned),
    FR_CASE(weights_say_which_turns_are_learned),
    FR_CASE(other_weights_are_refused),
    FR_CASE(keys_must_be_known),
    FR_CASE(a_row_has_one_form),
    FR_CASE(a_prompt_needs_no_answer),
    FR_CASE(no_tokenizer_is_told_with_its_reason),
    FR_CASE(bad_rows_are_left_out_on_request),
    FR_CASE(a_source_without_a_place_is_counted),
    FR_CASE(cutting_leaves_the_template_whole),
    FR_CASE(cutting_a_dialogue_leaves_its_frame_whole),
};

int main(int argc, char **argv)
{
    return fr_suite_main("row", CASES, FR_N_CASES(CASES), argc, argv);
}
