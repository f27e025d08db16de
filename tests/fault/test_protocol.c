/* Requests and answers of the server, each allocation failing in turn. Those of the JSON library are not failed here. */
#include "base/mem.h"
#include "serve/keys.h"
#include "serve/protocol.h"
#include "support/fault.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <sys/stat.h>

static const fr_api_limits LIMITS = {.max_new_tokens = 100, .max_choices = 8};

static fr_status read_request(fr_ctx *ctx, void *argument)
{
    static const char TEXT[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}";
    static const char PROMPTS[] = "{\"model\":\"m\",\"prompt\":[\"a\",[1,2]]}";
    fr_api_request request;
    fr_api_error error;
    json_t *row = NULL;
    (void)argument;
    fr_status status = fr_api_request_read(ctx, FR_API_CHAT, &LIMITS, fr_text_of(TEXT),
                                           &request, &error);
    fr_api_request_fini(&request);
    if (status != FR_OK) {
        return status;
    }
    status = fr_api_request_read(ctx, FR_API_COMPLETION, &LIMITS, fr_text_of(PROMPTS),
                                 &request, &error);
    if (status == FR_OK) {
        status = fr_api_row(ctx, &request, 1, &row);
    }
    json_decref(row);
    fr_api_request_fini(&request);
    return status;
}

static fr_status write_answer(fr_ctx *ctx, void *tokenizer)
{
    enum { HALF = 0xC3 };
    static const fr_api_head HEAD = {FR_API_COMPLETION, "i", 5, "m", "f", true};
    static const fr_logprobs LOGPROBS = {
        .chosen = -0.5, .n = 2, .ids = {FR_TINY_HE, HALF}, .values = {-0.5, -1.5}};
    const fr_api_usage usage = {1, 2};
    fr_api_bytes bytes = {0};
    json_t *list = NULL;
    fr_status status = fr_api_logprobs_create(ctx, FR_API_COMPLETION, &list);
    if (status == FR_OK) {
        status = fr_api_logprobs_add(ctx, FR_API_COMPLETION, list, tokenizer,
                                     FR_TINY_HE, &LOGPROBS, 0);
    }
    const fr_api_choice choice = {.text = {"he", 2}, .logprobs = list};
    if (status == FR_OK) {
        status = fr_api_answer(ctx, &HEAD, &choice, 1, &usage, &bytes);
    }
    if (status == FR_OK) {
        status = fr_api_piece(ctx, &HEAD, &choice, NULL, &bytes);
    }
    if (status == FR_OK) {
        status = fr_api_done(ctx, &bytes);
    }
    json_decref(list);
    fr_api_bytes_fini(&bytes);
    return status;
}

static fr_status read_keys(fr_ctx *ctx, void *path)
{
    fr_keys *keys = NULL;
    fr_status status = fr_keys_read(ctx, path, &keys);
    fr_keys_destroy(&keys);
    return status;
}

static void requests_survive_each_failed_allocation(void)
{
    CU_ASSERT_TRUE(fr_fault_sweep("read_request", read_request, NULL) >= 2);
}

static void answers_survive_each_failed_allocation(void)
{
    json_t *tiny = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(tiny, NULL);
    CU_ASSERT_TRUE(fr_fault_sweep("write_answer", write_answer, tokenizer) >= 5);
    fr_tokenizer_close(&tokenizer);
    json_decref(tiny);
}

static void keys_survive_each_failed_allocation(void)
{
    char *path = NULL;
    FR_ASSERT_OK(
        fr_copy_string(fr_test_ctx(), fr_test_path(fr_test_folder(), "keys"), &path));
    fr_test_write_text(path, "one\ntwo\n");
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    CU_ASSERT_TRUE(fr_fault_sweep("read_keys", read_keys, path) >= 3);
    free(path);
}

static const fr_case CASES[] = {
    FR_CASE(requests_survive_each_failed_allocation),
    FR_CASE(answers_survive_each_failed_allocation),
    FR_CASE(keys_survive_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_protocol", CASES, FR_N_CASES(CASES), argc, argv);
}
