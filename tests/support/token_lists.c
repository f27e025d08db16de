#include "support/token_lists.h"

#include "base/file.h"
#include "base/rng.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1024 };

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    return text;
}

/* The ids of one line; *line moves behind it. */
static int64_t read_ids(char **line, int32_t *out)
{
    int64_t n = 0;
    char *end = strchr(*line, '\n');
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    while (*line < end) {
        char *next = NULL;
        long id = strtol(*line, &next, 10);
        if (next == *line || next > end) {
            break;
        }
        CU_ASSERT_TRUE_FATAL(n < MAX_IDS);
        out[n++] = (int32_t)id;
        *line = next;
    }
    *line = end + 1;
    return n;
}

int fr_check_token_list(const fr_tokenizer *tokenizer, const char *strings_path,
                        const char *ids_path)
{
    static const char SEPARATOR[] = "\n__ggml_vocab_test__\n";
    char *strings = read_text(strings_path);
    char *ids = read_text(ids_path);
    char *line = ids;
    char *from = strings;
    int n = 0;
    while (*line != '\0') {
        int32_t wanted[MAX_IDS];
        int64_t n_wanted = read_ids(&line, wanted);
        char *end = strstr(from, SEPARATOR);
        size_t bytes = end != NULL ? (size_t)(end - from) : strlen(from);
        fr_assert_encodes(tokenizer, from, bytes, false, wanted, n_wanted);
        fr_assert_round_trip(tokenizer, from, bytes);
        from += bytes + (end != NULL ? sizeof SEPARATOR - 1 : 0);
        n++;
    }
    CU_ASSERT_EQUAL(*from, '\0');
    free(strings);
    free(ids);
    return n;
}

void fr_check_random_bytes(const fr_tokenizer *tokenizer, int trials)
{
    enum { BYTES = 400 };
    char text[BYTES];
    for (uint64_t trial = 0; trial < (uint64_t)trials; trial++) {
        for (size_t i = 0; i < BYTES; i++) {
            text[i] = (char)fr_rng_u64(trial, FR_RNG_TEST, 0, i);
        }
        fr_assert_round_trip(tokenizer, text, BYTES);
    }
}
