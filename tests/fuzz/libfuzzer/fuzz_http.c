/* The body of a request to the server. The first byte chooses the path; the rest is the body. */
#include "fuzz/libfuzzer/fuzz.h"
#include "serve/protocol.h"

#include <stdlib.h>

enum { CHAT = 1, MOST_TOKENS = 100, MOST_CHOICES = 8 };

static void check_request(const fr_api_request *q)
{
    fuzz_check(q->model != NULL && q->model[0] != '\0', "a request names a model");
    fuzz_check(q->n >= 1 && q->n_prompts >= 1 && q->n_prompts * q->n <= MOST_CHOICES,
               "choices are bounded");
    fuzz_check(q->max_new_tokens >= 0 && q->max_new_tokens <= MOST_TOKENS,
               "tokens are bounded");
    fuzz_check(fr_sample_check(fuzz_ctx(), &q->sample) == FR_OK,
               "options of sampling pass the generator's check");
    fuzz_check(q->n_logprobs >= 0 && q->n_logprobs <= FR_MAX_LOGPROBS + 1,
               "log-probabilities are bounded");
    fuzz_check(q->n_stops <= FR_API_STOPS, "stop texts are bounded");
    for (int64_t i = 0; i < q->n_stops; i++) {
        fuzz_check(q->stops[i][0] != '\0', "a stop text is not empty");
    }
    for (int64_t i = 0; i < q->n_prompts; i++) {
        json_t *row = NULL;
        fuzz_check(fr_api_row(fuzz_ctx(), q, i, &row) == FR_OK, "a prompt is a row");
        fuzz_check(json_object_size(row) >= 1, "a row asks for something");
        json_decref(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fr_api_limits LIMITS = {MOST_TOKENS, MOST_CHOICES};
    fr_ctx *ctx = fuzz_ctx();
    fr_api_request request;
    fr_api_error error;
    fr_api_bytes bytes = {0};
    if (size == 0) {
        return 0;
    }
    char *body = fuzz_block((fuzz_part){data + 1, size - 1});
    fr_status status = fr_api_request_read(
        ctx, (data[0] & CHAT) != 0 ? FR_API_CHAT : FR_API_COMPLETION, &LIMITS,
        (fr_text){body, size - 1}, &request, &error);
    if (fuzz_answer(ctx, status)) {
        check_request(&request);
    } else {
        fuzz_check(error.http == FR_HTTP_BAD_REQUEST && error.message[0] != '\0',
                   "a refusal says why");
        fuzz_check(fr_api_error_write(ctx, &error, true, &bytes) == FR_OK,
                   "a refusal can be written");
    }
    fr_api_request_fini(&request);
    fr_api_bytes_fini(&bytes);
    free(body);
    return 0;
}
