/* Damaged tokenizers whose tokens have scores: refused with a message, or open as a tokenizer that decodes what it encodes. And
 * vocabularies made to take long. */
#include "base/file.h"
#include "base/rng.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_word(uint64_t trial, uint64_t index)
{
    return fr_rng_u64(trial, FR_RNG_TEST, 9, index);
}

/* Random bytes, or bytes of the file, at one to four places. */
static void damage(uint64_t trial, uint8_t *bytes, size_t n)
{
    uint64_t n_places = 1 + random_word(trial, 0) % 4;
    for (uint64_t i = 1; i <= n_places; i++) {
        uint64_t word = random_word(trial, 2 * i);
        size_t at = random_word(trial, 2 * i + 1) % n;
        bytes[at] = word % 2 == 0 ? (uint8_t)(word >> 8) : bytes[(word >> 16) % n];
    }
}

/* Encodes and decodes; a character without a token is a failure by name. */
static void use(const fr_tokenizer *tokenizer, const char *text, size_t bytes)
{
    fr_ids ids = {0};
    char *back = NULL;
    size_t back_bytes = 0;
    fr_status status =
        fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, bytes, true, &ids);
    CU_ASSERT_TRUE(status == FR_OK || status == FR_ERR_DATA);
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                     false, &back, &back_bytes));
    free(back);
    fr_ids_fini(&ids);
}

/* 1 if the file opened. */
static int open_and_use(const char *path)
{
    static const char TEXT[] = " hello  he\n<t></s>xyoo \xC3\xA9\xFF\xE2\x96\x81w ";
    fr_tokenizer *tokenizer = NULL;
    fr_ctx *ctx = fr_test_ctx(); /* a second call would clear the message */
    fr_status status = fr_tokenizer_open(ctx, path, &tokenizer);
    CU_ASSERT_EQUAL(tokenizer != NULL, status == FR_OK);
    if (status != FR_OK) {
        CU_ASSERT_TRUE(status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED ||
                       status == FR_ERR_DATA);
        CU_ASSERT_TRUE(strlen(fr_ctx_error(ctx)) > 0);
        return 0;
    }
    use(tokenizer, TEXT, sizeof TEXT - 1);
    fr_tokenizer_close(&tokenizer);
    return 1;
}

/* Both outcomes must occur, or the damage would test nothing. */
static void check_damaged(const char *path, const char *file, const uint8_t *bytes,
                          size_t n)
{
    enum { TRIALS = 300, CUTS = 40 };
    int n_open = 0;
    uint8_t *copy = fr_test_memory(malloc(n));
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        memcpy(copy, bytes, n);
        damage(trial, copy, n);
        fr_test_write(file, copy, n);
        n_open += open_and_use(path);
    }
    CU_ASSERT_TRUE(n_open > 0 && n_open < TRIALS);
    for (uint64_t trial = 0; trial < CUTS; trial++) {
        fr_test_write(file, bytes, random_word(trial, 100) % n);
        (void)open_and_use(path);
    }
    free(copy);
}

static void damaged_models_are_refused_or_usable(void)
{
    static const char *const NAMES[] = {"bpe", "bpe_unknown", "unigram_rules"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        char name[80];
        char *bytes = NULL;
        size_t n = 0;
        const char *folder = fr_test_folder();
        (void)snprintf(name, sizeof name, "golden/sentencepiece/%s/tokenizer.model",
                       NAMES[i]);
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), fr_test_data(name), &bytes, &n));
        CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
        check_damaged(folder, fr_test_path(folder, "tokenizer.model"), (uint8_t *)bytes,
                      n);
        free(bytes);
    }
}

static void damaged_gguf_is_refused_or_usable(void)
{
    static const char *const MODELS[] = {"llama", "t5"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        size_t n = 0;
        fr_gguf_writer *writer = fr_tiny_scored_gguf(MODELS[i]);
        uint8_t *bytes = fr_gguf_writer_bytes(writer, &n);
        const char *path = fr_test_path(fr_test_folder(), "damaged.gguf");
        check_damaged(path, path, bytes, n);
        free(bytes);
        fr_gguf_writer_destroy(&writer);
    }
}

/* The same letter 1 to n times is a token each; a text of one letter then has the most ways to be cut. */
static void long_words_end(void)
{
    enum { LONGEST = 128, WORD = 1 << 20 };
    static const char *const MODELS[] = {"llama", "t5"};
    const char *texts[LONGEST];
    float scores[LONGEST];
    char *letters = fr_test_memory(malloc(LONGEST + 1));
    char *word = fr_test_memory(malloc(WORD));
    memset(letters, 'a', LONGEST);
    letters[LONGEST] = '\0';
    memset(word, 'a', WORD);
    for (int i = 0; i < LONGEST; i++) {
        texts[i] = letters + i;
        scores[i] = i % 3 == 0 ? -1.0F : -2.0F;
    }
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        fr_tokenizer *tokenizer = NULL;
        fr_gguf_writer *writer = fr_tiny_scored_gguf(MODELS[i]);
        const char *path = fr_test_path(fr_test_folder(), "long.gguf");
        fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", texts, LONGEST);
        fr_gguf_writer_set_reals(writer, "tokenizer.ggml.scores", scores, LONGEST);
        fr_gguf_writer_remove(writer, "tokenizer.ggml.token_type");
        fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", false);
        fr_gguf_writer_write(writer, path);
        fr_gguf_writer_destroy(&writer);
        FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
        CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
        fr_assert_round_trip(tokenizer, word, WORD);
        fr_tokenizer_close(&tokenizer);
    }
    free(letters);
    free(word);
}

/* Every added token begins like the next one, so that a search that began anew at each would not end. */
static void many_added_tokens_end(void)
{
    enum { N = 100000, ROOM = 16, TEXT = 1 << 20 };
    char(*texts)[ROOM] = fr_test_memory(malloc((size_t)N * ROOM));
    const char **views = fr_test_memory(malloc(N * sizeof *views));
    int32_t *types = fr_test_memory(malloc(N * sizeof *types));
    float *scores = fr_test_memory(calloc(N, sizeof *scores));
    char *text = fr_test_memory(malloc(TEXT));
    fr_tokenizer *tokenizer = NULL;
    for (int i = 0; i < N; i++) {
        (void)snprintf(texts[i], ROOM, "aaaaaa%d", i);
        views[i] = texts[i];
        types[i] = i == 0 ? 1 : 4;
    }
    (void)snprintf(texts[0], ROOM, "a");
    memset(text, 'a', TEXT);
    fr_gguf_writer *writer = fr_tiny_scored_gguf("llama");
    const char *path = fr_test_path(fr_test_folder(), "added.gguf");
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", views, N);
    fr_gguf_writer_set_reals(writer, "tokenizer.ggml.scores", scores, N);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", types, N);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", false);
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    fr_assert_round_trip(tokenizer, text, TEXT);
    fr_tokenizer_close(&tokenizer);
    free(texts);
    free(views);
    free(types);
    free(scores);
    free(text);
}

static const fr_case CASES[] = {FR_CASE(damaged_models_are_refused_or_usable),
                                FR_CASE(damaged_gguf_is_refused_or_usable),
                                FR_CASE(long_words_end),
                                FR_CASE(many_added_tokens_end)};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_scores", CASES, FR_N_CASES(CASES), argc, argv);
}
