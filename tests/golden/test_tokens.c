/* The 46 strings of llama.cpp's vocabulary tests, for the gpt-2 and smollm rules; tokens/ holds them. */
#include "base/file.h"
#include "base/rng.h"
#include "model/tokenizer.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_STRINGS = 46 };
static const char SEPARATOR[] = "\n__ggml_vocab_test__\n";

static fr_tokenizer *open_tokenizer(const char *path)
{
    fr_tokenizer *tokenizer = NULL;
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

/* One string against one line of ids; moves *line behind it. */
static void check_string(const fr_tokenizer *tokenizer, const char *text, size_t bytes,
                         char **line)
{
    fr_ids ids = {0};
    char *end = strchr(*line, '\n');
    char *decoded = NULL;
    size_t n_decoded = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    *end = '\0';
    FR_ASSERT_OK(
        fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, bytes, false, &ids));
    int64_t n = 0;
    for (char *next = *line;; n++) {
        char *after = NULL;
        long id = strtol(next, &after, 10);
        if (after == next) {
            break;
        }
        CU_ASSERT(n < ids.count && ids.data[n] == id);
        next = after;
    }
    CU_ASSERT_EQUAL(n, ids.count);
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                     false, &decoded, &n_decoded));
    CU_ASSERT_EQUAL(n_decoded, bytes);
    fr_assert_same_bytes("round trip", decoded, text, bytes);
    free(decoded);
    fr_ids_fini(&ids);
    *line = end + 1;
}

static void check_strings(const char *model, const char *wanted_path)
{
    char *input = NULL;
    char *wanted = NULL;
    size_t bytes = 0;
    size_t wanted_bytes = 0;
    int n = 0;
    fr_tokenizer *tokenizer = open_tokenizer(model);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(),
                              fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf.inp"),
                              &input, &bytes));
    FR_ASSERT_OK(
        fr_file_read(fr_test_ctx(), fr_test_data(wanted_path), &wanted, &wanted_bytes));
    char *line = wanted;
    for (char *next = input; next < input + bytes; n++) {
        char *end = strstr(next, SEPARATOR);
        if (end == NULL) {
            break;
        }
        check_string(tokenizer, next, (size_t)(end - next), &line);
        next = end + strlen(SEPARATOR);
    }
    CU_ASSERT_EQUAL(n, N_STRINGS);
    fr_tokenizer_close(&tokenizer);
    free(input);
    free(wanted);
}

static void gpt2_strings_match(void)
{
    check_strings(fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf"),
                  "golden/tokens/ggml-vocab-gpt-2.gguf.out");
}

static void smollm_strings_match(void)
{
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there: launch/fetch-model.sh gets it");
        return;
    }
    check_strings(fr_real_model(), "golden/tokens/ggml-vocab-smollm.gguf.out");
}

static void random_bytes_round_trip(void)
{
    enum { ROUNDS = 300, MOST = 200 };
    char text[MOST];
    fr_tokenizer *tokenizer =
        open_tokenizer(fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf"));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        size_t n = fr_rng_u64(1, FR_RNG_TEST, round, 0) % MOST;
        fr_ids ids = {0};
        char *decoded = NULL;
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)(fr_rng_u64(1, FR_RNG_TEST, round, i + 1) & 0xff);
        }
        FR_ASSERT_OK(
            fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, n, false, &ids));
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                         false, &decoded, &bytes));
        CU_ASSERT_EQUAL_FATAL(bytes, n);
        fr_assert_same_bytes("bytes", decoded, text, n);
        free(decoded);
        fr_ids_fini(&ids);
    }
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(gpt2_strings_match),
    FR_CASE(smollm_strings_match),
    FR_CASE(random_bytes_round_trip),
};

int main(int argc, char **argv)
{
    return fr_suite_main("tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
