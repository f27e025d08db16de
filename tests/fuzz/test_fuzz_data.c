/* Mutated row files and caches end with rows that keep data.h's promises or with a clear error. */
#include "base/file.h"
#include "base/rng.h"
#include "support/rows.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROUNDS = 600, N_CACHE_ROUNDS = 100, MAX_BYTES = 4096, SEED = 21 };

static const char IDS[] = "{\"source_ids\":[5,6,7],\"target_ids\":[[8],[9,10,11]]}\n"
                          "{\"source_ids\":[],\"target_ids\":[1,2]}\n"
                          "{\"target_ids\":[3],\"source_ids\":[4,4,4,4,4,4,4,4]}\n";
static const char TEXT[] =
    "{\"source\":\"abc the\",\"target\":[\"x y\",\"</s>ab\"]}\n"
    "\r\n{\"target\":\"q\\n\\u0041\",\"source\":\"\",\"more\":{\"a\":[1,2.5]}}\n";
static const char CHAT[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
    "{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"ab\"},"
    "{\"role\":\"user\",\"content\":\"v\"},{\"role\":\"assistant\",\"content\":\"<s>\"}"
    "]}"
    "\n";

static const char *const PIECES[] = {"{",           "}",
                                     "[",           "]",
                                     ",",           ":",
                                     "\"",          "\n",
                                     "null",        "true",
                                     "-1",          "1e5",
                                     "99",          "100",
                                     "\\u0000",     "\\ud800",
                                     "\xFF",        "\xC3\xA9",
                                     "\"target\":", "\"target_ids\":[1],",
                                     "[[",          "]]",
                                     "\"\"",        "\\",
                                     "assistant",   "99999999999999999999"};
enum { N_PIECES = sizeof PIECES / sizeof PIECES[0] };

static uint32_t draw(uint64_t round, uint64_t step, uint32_t below)
{
    return (uint32_t)(fr_rng_uniform(SEED, FR_RNG_TEST, round, step) * below);
}

/* One change: bytes out, and a byte or a piece in. */
static size_t mutate(uint64_t round, uint64_t step, char *text, size_t bytes)
{
    char copy[MAX_BYTES];
    char byte = (char)draw(round, step, 256);
    const char *put = &byte;
    size_t n_put = draw(round, step + 1, 2);
    size_t at = draw(round, step + 2, (uint32_t)bytes + 1);
    size_t out = draw(round, step + 3, 3) == 0 ? draw(round, step + 4, 30) : n_put;
    if (draw(round, step + 5, 2) == 0) {
        put = PIECES[draw(round, step + 6, N_PIECES)];
        n_put = strlen(put);
    }
    out = out > bytes - at ? bytes - at : out;
    size_t behind = bytes - at - out;
    memcpy(copy, text + at + out, behind);
    memcpy(text + at, put, n_put);
    memcpy(text + at + n_put, copy, behind);
    return at + n_put + behind;
}

static void check_sequence(fr_sequence s, int64_t vocab_size)
{
    bool good = s.count >= 0;
    for (int64_t i = 0; good && i < s.count; i++) {
        good = s.ids[i] >= 0 && s.ids[i] < vocab_size && s.counted[i] <= 1;
    }
    CU_ASSERT(good);
}

static void check_accepted(const fr_data_params *params, const fr_dataset *data)
{
    const fr_data_stats *s = fr_dataset_stats(data);
    int64_t n_examples = 0;
    int64_t n_counted = 0;
    int64_t line = 0;
    CU_ASSERT(s->n_rows > 0 && s->longest <= params->max_tokens);
    for (int64_t r = 0; r < s->n_rows; r++) {
        fr_sequence source = fr_dataset_source(data, r);
        CU_ASSERT(fr_dataset_line(data, r) > line);
        line = fr_dataset_line(data, r);
        check_sequence(source, params->vocab_size);
        n_counted += source.count > 0 ? fr_sequence_predictions(&source, false) : 0;
        for (int64_t t = 0; t < fr_dataset_n_targets(data, r); t++, n_examples++) {
            int64_t row = -1;
            int64_t target = -1;
            fr_sequence sequence = fr_dataset_target(data, r, t);
            fr_dataset_example(data, n_examples, &row, &target);
            CU_ASSERT(row == r && target == t && sequence.count > 0);
            CU_ASSERT(fr_dataset_source_row(data, n_examples) <= r);
            CU_ASSERT(source.count + sequence.count <= s->longest);
            check_sequence(sequence, params->vocab_size);
            n_counted += fr_sequence_predictions(&sequence, source.count > 0);
        }
    }
    CU_ASSERT_EQUAL(n_examples, s->n_examples);
    CU_ASSERT_EQUAL(n_counted, s->n_target_tokens);
}

/* Returns whether the rows were accepted. */
static bool open_once(const fr_data_params *params)
{
    fr_dataset *data = NULL;
    fr_ctx *ctx = fr_test_ctx();
    fr_status status = fr_dataset_open(ctx, params, &data);
    if (status == FR_OK) {
        check_accepted(params, data);
    } else {
        CU_ASSERT_EQUAL(status, FR_ERR_DATA);
        CU_ASSERT_PTR_NULL(data);
        CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), "rows.jsonl:"));
        fr_ctx_clear_error(ctx);
    }
    fr_dataset_close(&data);
    return status == FR_OK;
}

static void fuzz_rows(fr_data_params *params, const char *whole)
{
    int n_accepted = 0;
    const char *folder = fr_test_folder();
    char path[MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/rows.jsonl", folder);
    params->path = path;
    for (uint64_t round = 0; round < N_ROUNDS; round++) {
        char text[MAX_BYTES];
        size_t bytes = strlen(whole);
        memcpy(text, whole, bytes);
        uint32_t n_changes = 1 + draw(round, 0, 3);
        for (uint32_t i = 0; i < n_changes; i++) {
            bytes = mutate(round, 1 + 8 * (uint64_t)i, text, bytes);
        }
        fr_test_write(path, text, bytes);
        params->max_tokens = 4 + draw(round, 100, 80);
        params->cut_long_rows = draw(round, 101, 2) == 0;
        params->skip_bad_rows = draw(round, 102, 2) == 0;
        n_accepted += open_once(params);
    }
    CU_ASSERT(n_accepted > N_ROUNDS / 50);
    CU_ASSERT(n_accepted < N_ROUNDS);
}

static void mutated_id_rows_end_clearly(void)
{
    fr_data_params params = fr_test_id_params(NULL);
    params.eos = true;
    params.eos_id = 3;
    fuzz_rows(&params, IDS);
}

static void mutated_text_rows_end_clearly(void)
{
    fr_letters how = {.add_bos = true};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params = fr_test_text_params(NULL, tokenizer);
    params.template_text = "<|im_start|>a{source}\n{target}.";
    fuzz_rows(&params, TEXT);
    fr_tokenizer_close(&tokenizer);
}

static void mutated_dialogues_end_clearly(void)
{
    fr_letters how = {.chat_template = FR_TEST_CHATML};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params = fr_test_text_params(NULL, tokenizer);
    params.template_text = NULL;
    params.chat = true;
    fuzz_rows(&params, CHAT);
    fr_tokenizer_close(&tokenizer);
}

static const char *only_cache(const char *folder)
{
    DIR *directory = opendir(folder);
    const char *path = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (strncmp(entry->d_name, "tokens-", 7) == 0) {
            path = fr_test_path(folder, entry->d_name);
        }
    }
    (void)closedir(directory);
    return path;
}

static void mutated_caches_are_made_again(void)
{
    char *good = NULL;
    size_t bytes = 0;
    fr_data_params params = fr_test_id_params(fr_test_rows(IDS));
    params.cache_folder = fr_test_folder();
    CU_ASSERT(open_once(&params));
    const char *path = only_cache(params.cache_folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(path);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &good, &bytes));
    CU_ASSERT_FATAL(bytes < MAX_BYTES / 2);
    for (uint64_t round = 0; round < N_CACHE_ROUNDS; round++) {
        char bad[MAX_BYTES];
        char *now = NULL;
        size_t n_now = 0;
        memcpy(bad, good, bytes);
        size_t n_bad = mutate(round, 1, bad, bytes);
        fr_test_write(path, bad, n_bad);
        CU_ASSERT(open_once(&params));
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &now, &n_now));
        CU_ASSERT_EQUAL(n_now, bytes);
        fr_assert_same_bytes("cache", now, good, bytes);
        free(now);
    }
    free(good);
}

static const fr_case CASES[] = {
    FR_CASE(mutated_id_rows_end_clearly),
    FR_CASE(mutated_text_rows_end_clearly),
    FR_CASE(mutated_dialogues_end_clearly),
    FR_CASE(mutated_caches_are_made_again),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_data", CASES, FR_N_CASES(CASES), argc, argv);
}
