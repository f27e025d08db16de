/* Requests in OpenAI's form and what is answered: members that are read, refused by name, or accepted without an effect; JSON of
 * answers, pieces and errors. Also the keys of clients and the address to listen at. */
#include "serve/protocol.h"

#include "serve/keys.h"
#include "serve/listen.h"
#include "support/rows.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const fr_api_limits LIMITS = {.max_new_tokens = 100, .max_choices = 8};

static fr_status read_text(fr_api_kind kind, const char *text, fr_api_request *out,
                           fr_api_error *error)
{
    return fr_api_request_read(fr_test_ctx(), kind, &LIMITS, fr_text_of(text), out,
                               error);
}

/* The request is refused with this member at fault, and a message that holds these words. */
static void refuses(fr_api_kind kind, const char *text, const char *param,
                    const char *words)
{
    fr_api_request request;
    fr_api_error error;
    FR_ASSERT_FAILS(read_text(kind, text, &request, &error), FR_ERR_ARG, "refused");
    CU_ASSERT_EQUAL(error.http, FR_HTTP_BAD_REQUEST);
    CU_ASSERT_STRING_EQUAL(error.param, param);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, words));
    if (strcmp(error.param, param) != 0 || strstr(error.message, words) == NULL) {
        (void)printf("  %s: %s: %s\n", text, error.param, error.message);
    }
    fr_api_request_fini(&request);
}

static void takes(fr_api_kind kind, const char *text, fr_api_request *request)
{
    fr_api_error error;
    FR_ASSERT_OK(read_text(kind, text, request, &error));
}

static void a_completion_has_the_defaults_of_the_interface(void)
{
    fr_api_request q;
    takes(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":\"hello\"}", &q);
    CU_ASSERT_STRING_EQUAL(q.model, "m");
    CU_ASSERT_EQUAL(q.n_prompts, 1);
    CU_ASSERT_EQUAL(q.n, 1);
    CU_ASSERT_EQUAL(q.max_new_tokens, 16);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.temperature, 1.0, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.top_p, 1.0, 0.0);
    CU_ASSERT_EQUAL(q.n_logprobs, 0);
    CU_ASSERT_FALSE(q.has_seed || q.stream || q.echo || q.include_usage);
    fr_api_request_fini(&q);
}

static void every_member_is_read(void)
{
    fr_api_request q;
    takes(FR_API_COMPLETION,
          "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":2,\"best_of\":2,"
          "\"max_tokens\":7,\"temperature\":0,\"top_p\":0.5,\"top_k\":3,\"min_p\":0.1,"
          "\"repetition_penalty\":1.5,\"seed\":9,\"stop\":[\"x\",\"yz\"],"
          "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":2,"
          "\"user\":\"u\",\"logit_bias\":{},\"suffix\":null,\"presence_penalty\":0}",
          &q);
    CU_ASSERT_EQUAL(q.n_prompts, 2);
    CU_ASSERT_EQUAL(q.n, 2);
    CU_ASSERT_EQUAL(q.max_new_tokens, 7);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.temperature, 0.0, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.top_p, 0.5, 0.0);
    CU_ASSERT_EQUAL(q.sample.top_k, 3);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.min_p, 0.1, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(q.sample.repetition_penalty, 1.5, 0.0);
    CU_ASSERT_EQUAL(q.sample.seed, 9);
    CU_ASSERT_TRUE(q.has_seed && q.stream && q.include_usage);
    CU_ASSERT_EQUAL(q.n_stops, 2);
    CU_ASSERT_STRING_EQUAL(q.stops[1], "yz");
    CU_ASSERT_EQUAL(q.n_logprobs, 3);
    fr_api_request_fini(&q);
}

/* The row of a prompt, as JSON; freed at the next call. */
static const char *row_of(const fr_api_request *q, int64_t prompt)
{
    static char *text;
    json_t *row = NULL;
    FR_ASSERT_OK(fr_api_row(fr_test_ctx(), q, prompt, &row));
    free(text);
    text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    return fr_test_memory(text);
}

static void prompts_become_rows(void)
{
    fr_api_request q;
    takes(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[\"a\",[1,2]]}", &q);
    CU_ASSERT_STRING_EQUAL(row_of(&q, 0), "{\"source\":\"a\"}");
    CU_ASSERT_STRING_EQUAL(row_of(&q, 1), "{\"source_ids\":[1,2]}");
    fr_api_request_fini(&q);
    takes(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[1,2,3]}", &q);
    CU_ASSERT_EQUAL(q.n_prompts, 1);
    CU_ASSERT_STRING_EQUAL(row_of(&q, 0), "{\"source_ids\":[1,2,3]}");
    fr_api_request_fini(&q);
    refuses(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[]}", "prompt",
            "not empty");
    refuses(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[[]]}", "prompt",
            "must be a text");
    refuses(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[1,\"a\"]}", "prompt",
            "must be a text");
    refuses(FR_API_COMPLETION, "{\"model\":\"m\"}", "prompt", "missing");
    refuses(FR_API_COMPLETION,
            "{\"model\":\"m\",\"prompt\":[\"a\",\"b\",\"c\"],\"n\":3}", "n",
            "too many choices");
}

/* Parts are joined, members that are null are taken out, tools go to the row. */
static void messages_become_rows(void)
{
    fr_api_request q;
    takes(FR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,"
          "\"refusal\":null,\"tool_calls\":[]},{\"role\":\"user\",\"content\":["
          "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}],"
          "\"tools\":[{\"type\":\"function\"}],\"logprobs\":true,\"top_logprobs\":4,"
          "\"max_completion_tokens\":5}",
          &q);
    CU_ASSERT_STRING_EQUAL(
        row_of(&q, 0),
        "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]},"
        "{\"role\":\"user\",\"content\":\"a\\nb\"}],\"tools\":[{\"type\":\"function\"}]"
        "}");
    CU_ASSERT_EQUAL(q.n_logprobs, 5);
    CU_ASSERT_EQUAL(q.max_new_tokens, 5);
    fr_api_request_fini(&q);
    takes(FR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
          "\"tools\":[1],\"tool_choice\":\"none\"}",
          &q);
    CU_ASSERT_PTR_NULL(q.tools);
    CU_ASSERT_EQUAL(q.max_new_tokens, 0);
    fr_api_request_fini(&q);
}

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"

static void what_changes_an_answer_is_refused_by_name(void)
{
    static const char *const CHAT[][3] = {
        {"\"response_format\":{\"type\":\"json_object\"}", "response_format",
         "not supported"},
        {"\"tool_choice\":\"required\"", "tool_choice", "auto or none"},
        {"\"logit_bias\":{\"1\":2}", "logit_bias", "not supported"},
        {"\"presence_penalty\":0.5", "presence_penalty", "not supported"},
        {"\"modalities\":[\"audio\"]", "modalities", "not supported"},
        {"\"reasoning_effort\":\"high\"", "reasoning_effort", "not supported"},
        {"\"temprature\":0", "temprature", "did you mean \"temperature\""},
        {"\"prompt\":\"a\"", "prompt", "not a known member"},
        {"\"temperature\":-1", "temperature", "0 to 100"},
        {"\"temperature\":\"1\"", "temperature", "a number"},
        {"\"top_p\":0", "top_p", "above 0"},
        {"\"n\":0", "n", "from 1 to 8"},
        {"\"n\":9", "n", "from 1 to 8"},
        {"\"max_tokens\":101", "max_tokens", "from 1 to 100"},
        {"\"max_tokens\":1,\"max_completion_tokens\":2", "max_completion_tokens",
         "differs"},
        {"\"seed\":-1", "seed", "whole number"},
        {"\"stop\":\"\"", "stop", "1 to 256 bytes"},
        {"\"stop\":[1]", "stop", "1 to 256 bytes"},
        {"\"top_logprobs\":1", "top_logprobs", "needs"},
        {"\"stream\":1", "stream", "true or false"},
        {"\"stream_options\":{\"include_usage\":true}", "stream_options", "needs"},
        {"\"model\":1", "model", "name of a model"}};
    for (size_t i = 0; i < sizeof CHAT / sizeof *CHAT; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "{%s" USER ",%s}",
                       strstr(CHAT[i][0], "model") != NULL ? "" : "\"model\":\"m\",",
                       CHAT[i][0]);
        refuses(FR_API_CHAT, text, CHAT[i][1], CHAT[i][2]);
    }
    refuses(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":\"a\",\"best_of\":2}",
            "best_of", "not supported");
    refuses(FR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"b\"}",
            "suffix", "not supported");
    refuses(FR_API_COMPLETION,
            "{\"model\":\"m\",\"prompt\":\"a\",\"echo\":true,\"logprobs\":1}", "echo",
            "together with");
    refuses(FR_API_CHAT,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"image_url\"}]}]}",
            "messages", "not a text");
    refuses(
        FR_API_CHAT,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
        "messages", "ends with an answer");
    refuses(FR_API_CHAT, "{" USER "}", "model", "missing");
    refuses(FR_API_CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages", "not empty");
    refuses(FR_API_CHAT, "{\"model\":\"m\",\"messages\":[1]}", "messages", "role");
}

static void broken_bodies_are_refused(void)
{
    static const char *const TEXTS[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{\"model\":\"a\",\"model\":\"b\"}",
                                        "{\"a\":\"\xFF\"}",
                                        "{\"model\":\"m\"} x"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        refuses(FR_API_CHAT, TEXTS[i], "", "object in JSON");
    }
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static const fr_api_head HEAD = {FR_API_COMPLETION, "id-1", 5, "m", "fp", true};
static const fr_api_head CHAT_HEAD = {FR_API_CHAT, "id-1", 5, "m", "fp", false};

static void is_text(fr_api_bytes *bytes, const char *wanted)
{
    FR_ASSERT_OK(fr_api_bytes_add(fr_test_ctx(), bytes, "", 1));
    CU_ASSERT_STRING_EQUAL(bytes->data, wanted);
    if (strcmp(bytes->data, wanted) != 0) {
        (void)printf("  got %s\n", bytes->data);
    }
    fr_api_bytes_fini(bytes);
}

#define HEAD_JSON "\"created\":5,\"model\":\"m\",\"system_fingerprint\":\"fp\""

static void answers_are_json(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_api_bytes bytes = {0};
    const fr_api_usage usage = {3, 4};
    fr_api_choice choice = {.text = {"a\"", 2}, .finish = "stop"};
    FR_ASSERT_OK(fr_api_answer(ctx, &HEAD, &choice, 1, &usage, &bytes));
    is_text(&bytes, "{\"id\":\"id-1\",\"object\":\"text_completion\"," HEAD_JSON
                    ",\"choices\":[{\"index\":0,\"text\":\"a\\\"\",\"logprobs\":null,"
                    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
                    "\"completion_tokens\":4,\"total_tokens\":7}}\n");
    FR_ASSERT_OK(fr_api_answer(ctx, &CHAT_HEAD, &choice, 1, &usage, &bytes));
    is_text(&bytes, "{\"id\":\"id-1\",\"object\":\"chat.completion\"," HEAD_JSON
                    ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                    "\"content\":\"a\\\"\",\"refusal\":null},\"logprobs\":null,"
                    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
                    "\"completion_tokens\":4,\"total_tokens\":7}}\n");
}

static void pieces_are_events(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_api_bytes bytes = {0};
    const fr_api_usage usage = {3, 4};
    fr_api_choice choice = {.index = 2, .text = {"a", 1}, .opens = true};
    FR_ASSERT_OK(fr_api_piece(ctx, &CHAT_HEAD, &choice, NULL, &bytes));
    is_text(&bytes,
            "data: {\"id\":\"id-1\",\"object\":\"chat.completion.chunk\"," HEAD_JSON
            ",\"choices\":[{\"index\":2,\"delta\":{\"role\":"
            "\"assistant\",\"content\":\"a\"},\"logprobs\":null,"
            "\"finish_reason\":null}]}\n\n");
    choice = (fr_api_choice){.finish = "length"};
    FR_ASSERT_OK(fr_api_piece(ctx, &CHAT_HEAD, &choice, NULL, &bytes));
    is_text(&bytes,
            "data: {\"id\":\"id-1\",\"object\":\"chat.completion.chunk\"," HEAD_JSON
            ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":"
            "null,\"finish_reason\":\"length\"}]}\n\n");
    FR_ASSERT_OK(fr_api_piece(ctx, &HEAD, NULL, &usage, &bytes));
    FR_ASSERT_OK(fr_api_done(ctx, &bytes));
    is_text(&bytes, "data: {\"id\":\"id-1\",\"object\":\"text_completion\"," HEAD_JSON
                    ",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                    "\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n");
}

static void errors_and_models_are_json(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_api_bytes bytes = {0};
    fr_api_error error;
    fr_api_error_set(&error, FR_HTTP_TOO_MANY, "queue_full", NULL, "the %s", "queue");
    FR_ASSERT_OK(fr_api_error_write(ctx, &error, true, &bytes));
    is_text(&bytes,
            "data: {\"error\":{\"message\":\"the queue\",\"type\":"
            "\"rate_limit_error\",\"param\":null,\"code\":\"queue_full\"}}\n\n");
    const fr_api_model models[] = {{"a", 1, "a"}, {"b", 2, "a"}};
    FR_ASSERT_OK(fr_api_models(ctx, models, 2, true, &bytes));
    is_text(&bytes, "{\"object\":\"list\",\"data\":[{\"id\":\"a\",\"object\":\"model\","
                    "\"created\":1,\"owned_by\":\"forerun\",\"root\":\"a\"},{\"id\":"
                    "\"b\",\"object\":\"model\",\"created\":2,\"owned_by\":\"forerun\","
                    "\"root\":\"a\"}]}\n");
}

/* 0xC3 is a token of this tokenizer, and half of a character. */
static void log_probabilities_have_both_styles(void)
{
    enum { HALF = 0xC3 };
    fr_ctx *ctx = fr_test_ctx();
    json_t *tiny = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(tiny, NULL);
    const fr_logprobs l = {
        .chosen = -0.5, .n = 2, .ids = {FR_TINY_HE, HALF}, .values = {-0.5, -1.5}};
    json_t *list = NULL;
    FR_ASSERT_OK(fr_api_logprobs_create(ctx, FR_API_COMPLETION, &list));
    FR_ASSERT_OK(fr_api_logprobs_add(ctx, FR_API_COMPLETION, list, tokenizer,
                                     FR_TINY_HE, &l, 7));
    char *text = fr_test_memory(json_dumps(list, JSON_COMPACT));
    CU_ASSERT_STRING_EQUAL(
        text, "{\"tokens\":[\"he\"],\"token_logprobs\":[-0.5],\"top_logprobs\":[{"
              "\"he\":-0.5,\"bytes:\\\\xc3\":-1.5}],\"text_offset\":[7]}");
    free(text);
    json_decref(list);
    FR_ASSERT_OK(fr_api_logprobs_create(ctx, FR_API_CHAT, &list));
    FR_ASSERT_OK(
        fr_api_logprobs_add(ctx, FR_API_CHAT, list, tokenizer, FR_TINY_HE, &l, 7));
    text = fr_test_memory(json_dumps(list, JSON_COMPACT));
    CU_ASSERT_STRING_EQUAL(
        text,
        "{\"content\":[{\"token\":\"he\",\"logprob\":-0.5,\"bytes\":[104,101],"
        "\"top_logprobs\":[{\"token\":\"he\",\"logprob\":-0.5,\"bytes\":[104,101]},{"
        "\"token\":\"\xEF\xBF\xBD\",\"logprob\":-1.5,\"bytes\":[195]}]}]}");
    free(text);
    json_decref(list);
    fr_tokenizer_close(&tokenizer);
    json_decref(tiny);
}

/* ---- keys and addresses ----------------------------------------------------------------------------- */

static void keys_let_in_who_has_one(void)
{
    fr_ctx *ctx = fr_test_ctx();
    const char *path = fr_test_path(fr_test_folder(), "keys");
    fr_keys *keys = NULL;
    fr_test_write_text(path, "first\n\n  second \n");
    CU_ASSERT_EQUAL(chmod(path, 0644), 0);
    FR_ASSERT_FAILS(fr_keys_read(ctx, path, &keys), FR_ERR_ARG, "other users");
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    FR_ASSERT_OK(fr_keys_read(ctx, path, &keys));
    CU_ASSERT_TRUE(fr_keys_fit(keys, "Bearer first"));
    CU_ASSERT_TRUE(fr_keys_fit(keys, "bearer second "));
    static const char *const WRONG[] = {
        NULL, "", "first", "Bearer ", "Bearer firs", "Bearer firstt", "Basic first"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        CU_ASSERT_FALSE(fr_keys_fit(keys, WRONG[i]));
    }
    CU_ASSERT_TRUE(fr_keys_fit(NULL, NULL));
    fr_keys_destroy(&keys);
    fr_test_write_text(path, " \n");
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    FR_ASSERT_FAILS(fr_keys_read(ctx, path, &keys), FR_ERR_ARG, "no key");
}

static void addresses_are_numbers(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_listen at;
    fr_listen other;
    static const char *const WRONG[] = {
        "",       "8080",    "example.org:80", "1.2.3.4:", "127.0.0.1:70000",
        "::1:80", "[::1]80", "127.0.0.1:-1",   "[::1"};
    FR_ASSERT_OK(fr_listen_bind(ctx, "localhost:0", &at));
    CU_ASSERT_TRUE(at.is_loopback);
    CU_ASSERT_EQUAL(strncmp(at.name, "localhost:", 10), 0);
    CU_ASSERT_STRING_NOT_EQUAL(at.name, "localhost:0");
    fr_listen_close(&at);
    FR_ASSERT_OK(fr_listen_bind(ctx, "0.0.0.0:0", &at));
    CU_ASSERT_FALSE(at.is_loopback);
    fr_listen_close(&at);
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        FR_ASSERT_FAILS(fr_listen_bind(ctx, WRONG[i], &other), FR_ERR_ARG, "--listen");
    }
}

static const fr_case CASES[] = {
    FR_CASE(a_completion_has_the_defaults_of_the_interface),
    FR_CASE(every_member_is_read),
    FR_CASE(prompts_become_rows),
    FR_CASE(messages_become_rows),
    FR_CASE(what_changes_an_answer_is_refused_by_name),
    FR_CASE(broken_bodies_are_refused),
    FR_CASE(answers_are_json),
    FR_CASE(pieces_are_events),
    FR_CASE(errors_and_models_are_json),
    FR_CASE(log_probabilities_have_both_styles),
    FR_CASE(keys_let_in_who_has_one),
    FR_CASE(addresses_are_numbers),
};

int main(int argc, char **argv)
{
    return fr_suite_main("protocol", CASES, FR_N_CASES(CASES), argc, argv);
}
