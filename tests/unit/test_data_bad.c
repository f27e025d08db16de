#include "support/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuses(const fr_data_params *params, const char *part)
{
    fr_dataset *data = NULL;
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), params, &data), FR_ERR_DATA, part);
    CU_ASSERT_PTR_NULL(data);
}

/* A bad row on line 2, behind a good one. */
static void refuses_ids(const char *row, const char *part)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "{\"source_ids\":[1],\"target_ids\":[2]}\n%s\n",
                   row);
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    refuses(&params, part);
    refuses(&params, "rows.jsonl:2: ");
}

static void refuses_text(const fr_tokenizer *tokenizer, const char *row,
                         const char *part)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "{\"source\":\"a\",\"target\":\"b\"}\n%s\n", row);
    fr_data_params params = fr_test_text_params(fr_test_rows(text), tokenizer);
    refuses(&params, part);
    refuses(&params, "rows.jsonl:2: ");
}

static void refuses_chat(const fr_tokenizer *tokenizer, const char *row,
                         const char *part)
{
    fr_data_params params = fr_test_text_params(fr_test_rows(row), tokenizer);
    params.template_text = NULL;
    params.chat = true;
    refuses(&params, part);
    refuses(&params, "rows.jsonl:1: ");
}

static void broken_json_is_named_by_line(void)
{
    refuses_ids("{\"source_ids\":[1]", "broken JSON");
    refuses_ids("{\"source_ids\":[1],}", "broken JSON");
    refuses_ids("{} {}", "broken JSON");
    refuses_ids("hello", "broken JSON");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[2],\"x\":\"\xFF\"}",
                "broken JSON");
    refuses_ids("{\"source_ids\":[1],\"source_ids\":[1],\"target_ids\":[2]}",
                "duplicate");
    refuses_ids("[1,2]", "must be a JSON object");
    refuses_ids("{}", "\"target\"");
}

static void deep_nesting_is_an_error_not_a_crash(void)
{
    enum { DEPTH = 200000 };
    char *text = fr_test_memory(malloc(DEPTH + 1));
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    refuses(&params, "rows.jsonl:1: broken JSON");
    free(text);
}

static void ids_are_checked(void)
{
    refuses_ids("{\"source_ids\":[100],\"target_ids\":[2]}", "id 100");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[-1]}", "id -1");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[[3],[4294967297]]}",
                "id 4294967297 is outside the model's vocabulary, 0 to 99");
    refuses_ids("{\"source_ids\":[1.5],\"target_ids\":[2]}", "whole number");
    refuses_ids("{\"source_ids\":[\"1\"],\"target_ids\":[2]}", "whole number");
    refuses_ids("{\"source_ids\":[99999999999999999999],\"target_ids\":[2]}",
                "outside the model's vocabulary");
    refuses_ids("{\"source_ids\":[NaN],\"target_ids\":[2]}", "whole number");
    refuses_ids("{\"source_ids\":[1e999],\"target_ids\":[2]}", "whole number");
    refuses_ids("{\"source_ids\":7,\"target_ids\":[2]}", "list");
    refuses_ids("{\"target_ids\":[2]}", "list");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[[2],3]}", "list");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":\"2\"}", "list");
}

static void targets_must_hold_something(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[]}", "target");
    refuses_ids("{\"source_ids\":[1],\"target_ids\":[[2],[]]}", "no tokens");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":\"\"}",
                 "\"target\" is empty");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":[\"b\",\"\"]}",
                 "\"target\" is empty");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":[]}", "no target");
    fr_tokenizer_close(&tokenizer);
}

static void fields_have_types(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    refuses_text(tokenizer, "{\"source\":1,\"target\":\"b\"}", "\"source\" must be");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":7}", "\"target\" must be");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":[\"b\",null]}",
                 "\"target\" must be");
    refuses_text(tokenizer, "{\"source\":null,\"target\":\"b\"}", "\"source\" must be");
    refuses_text(tokenizer, "{\"target\":\"b\"}", "\"source\" is missing");
    refuses_text(tokenizer, "{\"source\":\"b\"}", "is missing");
    refuses_text(tokenizer, "{\"messages\":[]}", "chat: true");
    fr_tokenizer_close(&tokenizer);
}

static void text_needs_tokenizer_and_template(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params =
        fr_test_id_params(fr_test_rows("{\"source\":\"a\",\"target\":\"b\"}\n"));
    params.template_text = "{source}{target}";
    refuses(&params, "rows.jsonl:1: a row of text, but the model carries no tokenizer");
    params.template_text = NULL;
    params.tokenizer = tokenizer;
    refuses(&params, "needs a template");
    fr_tokenizer_close(&tokenizer);
}

static void letters_without_token_are_named_by_line(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    refuses_text(tokenizer, "{\"source\":\"a\xC3\xA9\",\"target\":\"b\"}", "byte");
    refuses_text(tokenizer, "{\"source\":\"a\",\"target\":\"\\u0000\"}", "byte");
    fr_tokenizer_close(&tokenizer);
}

static void tokenizer_ids_stay_within_the_model(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params = fr_test_text_params(
        fr_test_rows("{\"source\":\"!\",\"target\":\"~\"}\n"), tokenizer);
    params.vocab_size = 50;
    refuses(&params, "rows.jsonl:1: the id 97 is outside the model's vocabulary");
    fr_tokenizer_close(&tokenizer);
}

static void dialogues_are_checked(void)
{
    fr_letters how = {.chat_template = FR_TEST_CHATML};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    refuses_chat(tokenizer, "{\"messages\":{}}", "\"messages\"");
    refuses_chat(tokenizer, "{\"target\":\"b\"}", "\"source\" is missing");
    refuses_chat(tokenizer, "{\"messages\":[]}", "messages");
    refuses_chat(tokenizer, "{\"messages\":[7]}", "role");
    refuses_chat(tokenizer, "{\"messages\":[{\"role\":\"user\"}]}", "content");
    refuses_chat(tokenizer, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
                 "assistant");
    refuses_chat(tokenizer,
                 "{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"},"
                 "{\"role\":\"assistant\",\"content\":\"a\"}]}",
                 "tool");
    refuses_chat(tokenizer,
                 "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\\u0000b\"}]}",
                 "byte 0x00");
    refuses_chat(tokenizer,
                 "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"},"
                 "{\"role\":\"assistant\",\"content\":\"\"}]}",
                 "empty");
    fr_tokenizer_close(&tokenizer);
}

static void dialogues_need_a_chat_template(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_text_params(
        fr_test_rows("{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}\n"),
        tokenizer);
    params.template_text = NULL;
    params.chat = true;
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_UNSUPPORTED,
                    "chat template");
    params.tokenizer = NULL;
    refuses(&params, "no tokenizer");
    fr_tokenizer_close(&tokenizer);
}

static void eos_must_exist_and_lie_in_the_vocabulary(void)
{
    fr_letters how = {.without_eos = true};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params =
        fr_test_id_params(fr_test_rows("{\"source_ids\":[1],\"target_ids\":[2]}\n"));
    params.eos = true;
    refuses(&params, "eos: false");
    params.eos_id = 100;
    refuses(&params, "id 100");
    params.tokenizer = tokenizer;
    params.eos_id = 1;
    refuses(&params, "eos: false");
    fr_tokenizer_close(&tokenizer);
}

static void files_must_hold_rows(void)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(""));
    refuses(&params, "rows.jsonl: is empty");
    params.path = fr_test_rows(" \n\n");
    refuses(&params, "rows.jsonl: holds no rows");
    params.path = "no/such/file.jsonl";
    refuses(&params, "no/such/file.jsonl");
    params.path = fr_test_folder();
    refuses(&params, "not a regular file");
    params.path = fr_test_rows("{\"source_ids\":[1,2,3],\"target_ids\":[[4],[5]]}\n");
    params.max_tokens = 3;
    refuses(&params, "all 2 examples are longer than 3 tokens");
    params.path = fr_test_rows("{\"source_ids\":[],\"target_ids\":[1]}\n");
    refuses(&params, "no token is in the loss");
}

static void bad_options_are_refused(void)
{
    fr_letters how = {0};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    static const char *const TEMPLATES[] = {"", "{source}", "{target}{target}",
                                            "{target}{source}",
                                            "{source}{source}{target}"};
    fr_dataset *data = NULL;
    fr_data_params params = fr_test_text_params(
        fr_test_rows("{\"source\":\"a\",\"target\":\"b\"}\n"), tokenizer);
    for (size_t i = 0; i < sizeof TEMPLATES / sizeof TEMPLATES[0]; i++) {
        params.template_text = TEMPLATES[i];
        FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_CONFIG,
                        "template '");
    }
    params.template_text = "{target}";
    params.max_tokens = 1;
    FR_ASSERT_FAILS(fr_dataset_open(fr_test_ctx(), &params, &data), FR_ERR_ARG,
                    "max_tokens is 1");
    CU_ASSERT_PTR_NULL(data);
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(broken_json_is_named_by_line),
    FR_CASE(deep_nesting_is_an_error_not_a_crash),
    FR_CASE(ids_are_checked),
    FR_CASE(targets_must_hold_something),
    FR_CASE(fields_have_types),
    FR_CASE(text_needs_tokenizer_and_template),
    FR_CASE(letters_without_token_are_named_by_line),
    FR_CASE(tokenizer_ids_stay_within_the_model),
    FR_CASE(dialogues_are_checked),
    FR_CASE(dialogues_need_a_chat_template),
    FR_CASE(eos_must_exist_and_lie_in_the_vocabulary),
    FR_CASE(files_must_hold_rows),
    FR_CASE(bad_options_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("data_bad", CASES, FR_N_CASES(CASES), argc, argv);
}
