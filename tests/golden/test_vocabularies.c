/* The vocabularies that launch/fetch-vocabularies.sh gets: their lists of strings and ids, and random bytes. */
#include "support/suite.h"
#include "support/token_lists.h"

#include <stdio.h>
#include <stdlib.h>

static const char NO_FILES[] =
    "the vocabularies are not there: launch/fetch-vocabularies.sh gets them";

/* Path of a file of the folder (FORERUN_VOCABULARIES, else models/vocabularies of the source tree), in `out`. */
enum { PATH_BYTES = 1024 };
static void path_of(const char *name, const char *ending, char out[PATH_BYTES])
{
    const char *folder = getenv("FORERUN_VOCABULARIES");
    folder = folder != NULL ? folder : fr_test_data("../models/vocabularies");
    (void)snprintf(out, PATH_BYTES, "%s/ggml-vocab-%s.gguf%s", folder, name, ending);
}

/* NULL: not there; the case is then skipped. */
static fr_tokenizer *open_vocabulary(const char *name)
{
    char path[PATH_BYTES];
    fr_tokenizer *tokenizer = NULL;
    path_of(name, "", path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fr_skip(NO_FILES);
        return NULL;
    }
    (void)fclose(file);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

static const struct {
    const char *name;
    int n_strings;
} LISTS[] = {{"command-r", 46}, {"deepseek-coder", 46}, {"deepseek-llm", 46},
             {"falcon", 46},    {"gemma-4", 46},        {"gpt-2", 46},
             {"llama-bpe", 46}, {"llama-spm", 46},      {"mpt", 46},
             {"phi-3", 46},     {"qwen2", 46},          {"qwen35", 50},
             {"refact", 46},    {"starcoder", 46}};

static void the_lists_hold(void)
{
    for (int i = 0; i < FR_N_CASES(LISTS); i++) {
        char strings[PATH_BYTES];
        char ids[PATH_BYTES];
        fr_tokenizer *tokenizer = open_vocabulary(LISTS[i].name);
        if (tokenizer == NULL) {
            return;
        }
        path_of(LISTS[i].name, ".inp", strings);
        path_of(LISTS[i].name, ".out", ids);
        int n = fr_check_token_list(tokenizer, strings, ids);
        CU_ASSERT_EQUAL(n, LISTS[i].n_strings);
        fr_tokenizer_close(&tokenizer);
    }
}

/* All whose vocabulary has every byte, and whose texts are not normalized. */
static void random_bytes_come_back(void)
{
    static const char *const NAMES[] = {"baichuan", "gemma-4", "llama-bpe", "llama-spm",
                                        "phi-3"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        fr_tokenizer *tokenizer = open_vocabulary(NAMES[i]);
        if (tokenizer == NULL) {
            return;
        }
        fr_check_random_bytes(tokenizer, 20);
        fr_tokenizer_close(&tokenizer);
    }
}

static const fr_case CASES[] = {FR_CASE(the_lists_hold),
                                FR_CASE(random_bytes_come_back)};

int main(int argc, char **argv)
{
    return fr_suite_main("vocabularies", CASES, FR_N_CASES(CASES), argc, argv);
}
