/* Randomly damaged tokenizer files: refused with a message, or open as a tokenizer that gives texts back. */
#include "base/rng.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIALS = 1500 };

static uint64_t random_word(uint64_t trial, uint64_t index)
{
    return fr_rng_u64(trial, FR_RNG_TEST, 7, index);
}

/* Overwrite, at one to four places, a byte by another one of the file or by a random one. */
static void damage(uint64_t trial, uint8_t *bytes, size_t n)
{
    uint64_t n_places = 1 + random_word(trial, 0) % 4;
    for (uint64_t i = 1; i <= n_places; i++) {
        uint64_t word = random_word(trial, 3 * i);
        size_t at = random_word(trial, 3 * i + 1) % n;
        size_t from = random_word(trial, 3 * i + 2) % n;
        bytes[at] = word % 2 == 0 ? (uint8_t)(word >> 8) : bytes[from];
    }
}

/* Whatever a damaged vocabulary can encode must come back. */
static void use(const fr_tokenizer *tokenizer, uint64_t trial)
{
    enum { BYTES = 64 };
    static const char WORDS[] = "hello w 12\n\n  <|im_end|> he";
    char text[BYTES];
    fr_ids ids = {0};
    for (size_t i = 0; i < BYTES; i++) {
        text[i] = i < sizeof WORDS ? WORDS[i] : (char)random_word(trial, 100 + i);
    }
    fr_status status =
        fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, BYTES, true, &ids);
    if (status == FR_OK) {
        char *back = NULL;
        size_t bytes = 0;
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                         false, &back, &bytes));
        CU_ASSERT_EQUAL(bytes, BYTES);
        fr_assert_same_bytes("round trip", back, text, bytes);
        free(back);
    } else {
        fr_assert_status(status, FR_ERR_DATA, "has no token", __FILE__, __LINE__);
    }
    fr_ids_fini(&ids);
}

/* 1 if the file opened. */
static int64_t open_and_use(const char *path, uint64_t trial)
{
    fr_tokenizer *tokenizer = NULL;
    fr_ctx *ctx = fr_test_ctx();
    fr_status status = fr_tokenizer_open(ctx, path, &tokenizer);
    CU_ASSERT_EQUAL(tokenizer != NULL, status == FR_OK);
    if (status == FR_OK) {
        use(tokenizer, trial);
        fr_tokenizer_close(&tokenizer);
        return 1;
    }
    CU_ASSERT_TRUE(status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED ||
                   status == FR_ERR_DATA);
    CU_ASSERT_TRUE(strlen(fr_ctx_error(ctx)) > 0);
    return 0;
}

/* Both outcomes must occur, or the damage would test nothing. */
static void check_damaged(const char *path, const char *file, const uint8_t *bytes,
                          size_t n)
{
    int64_t n_open = 0;
    uint8_t *copy = fr_test_memory(malloc(n));
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        memcpy(copy, bytes, n);
        damage(trial, copy, n);
        fr_test_write(file, copy, n);
        n_open += open_and_use(path, trial);
    }
    CU_ASSERT_TRUE(n_open > 0 && n_open < TRIALS);
    free(copy);
}

static void damaged_json_is_refused_or_usable(void)
{
    json_t *root = fr_tiny_json();
    const char *folder = fr_test_folder();
    char *text = fr_test_memory(json_dumps(root, 0));
    check_damaged(folder, fr_test_path(folder, "tokenizer.json"), (uint8_t *)text,
                  strlen(text));
    free(text);
    json_decref(root);
}

/* The text of one part of a form, or (one in four) of a random one, damaged one time in eight; the caller frees. */
static char *random_part(const json_t *forms, const json_t *form, const char *key,
                         uint64_t trial, uint64_t index)
{
    uint64_t word = random_word(trial, index);
    form = word % 4 != 0 ? form
                         : json_array_get(forms, (word >> 8) % json_array_size(forms));
    const json_t *part = json_object_get(json_object_get(form, "tokenizer"), key);
    char *text = fr_test_memory(json_dumps(part, JSON_ENCODE_ANY));
    if (random_word(trial, index + 1) % 8 == 0) {
        damage(trial + index, (uint8_t *)text, strlen(text));
    }
    return text;
}

/* A part of one model with a part of another, each damaged: refused, or whatever it encodes decodes. */
static int64_t open_mixed(const json_t *forms, const char *folder, uint64_t trial)
{
    static const char *const KEYS[] = {"normalizer", "pre_tokenizer", "post_processor",
                                       "decoder", "added_tokens"};
    static const char TEXT[] = " he <a>  \xC3\xA9\xCC\x81 12,345\n\n \xFF\xE2\x96\x81w";
    const json_t *form =
        json_array_get(forms, random_word(trial, 0) % json_array_size(forms));
    json_t *root = json_object_get(form, "tokenizer");
    char *model = fr_test_memory(json_dumps(json_object_get(root, "model"), 0));
    FILE *file = fopen(fr_test_path(folder, "tokenizer.json"), "w");
    fr_tokenizer *tokenizer = NULL;
    fr_ids ids = {0};
    char *back = NULL;
    size_t bytes = 0;
    (void)fprintf(fr_test_memory(file), "{\"model\": %s", model);
    for (uint64_t i = 0; i < FR_N_CASES(KEYS); i++) {
        char *part = random_part(forms, form, KEYS[i], trial, 10 + 4 * i);
        (void)fprintf(file, ", \"%s\": %s", KEYS[i], part);
        free(part);
    }
    (void)fprintf(file, "}");
    (void)fclose(file);
    free(model);
    fr_status status = fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer);
    if (status == FR_OK) {
        status = fr_tokenizer_encode(fr_test_ctx(), tokenizer, TEXT, sizeof TEXT - 1,
                                     true, &ids);
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                         false, &back, &bytes));
    }
    CU_ASSERT_TRUE(status == FR_OK || status == FR_ERR_FORMAT ||
                   status == FR_ERR_UNSUPPORTED || status == FR_ERR_DATA);
    free(back);
    fr_ids_fini(&ids);
    bool opened = tokenizer != NULL;
    fr_tokenizer_close(&tokenizer);
    return opened;
}

static void mixed_forms_are_refused_or_usable(void)
{
    json_t *all = json_load_file(fr_test_data("golden/tokenizers.json"), 0, NULL);
    const json_t *forms = json_object_get(fr_test_memory(all), "forms");
    const char *folder = fr_test_folder();
    int64_t n_open = 0;
    fr_test_write_text(fr_test_path(folder, "tokenizer_config.json"),
                       "{\"eos_token\": \"</s>\"}");
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        n_open += open_mixed(forms, folder, trial);
    }
    CU_ASSERT_TRUE(n_open > 0 && n_open < TRIALS);
    json_decref(all);
}

static void damaged_gguf_is_refused_or_usable(void)
{
    size_t n = 0;
    const char *path = fr_test_path(fr_test_folder(), "damaged.gguf");
    fr_gguf_writer *writer = fr_tiny_gguf();
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", FR_TINY_IM_END);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", false);
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n);
    check_damaged(path, path, bytes, n);
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

static void files_cut_short_are_refused(void)
{
    size_t n = 0;
    const char *path = fr_test_path(fr_test_folder(), "short.gguf");
    fr_gguf_writer *writer = fr_tiny_gguf();
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n);
    fr_gguf *whole = NULL;
    fr_gguf_writer_write(writer, path);
    FR_ASSERT_OK(fr_gguf_open(fr_test_ctx(), path, &whole));
    fr_gguf_close(&whole);
    /* every length in the header, then steps; the last bytes may be alignment */
    for (size_t length = 0; length + 64 < n; length += length < 256 ? 1 : 29) {
        fr_tokenizer *tokenizer = NULL;
        fr_test_write(path, bytes, length);
        FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer),
                        FR_ERR_FORMAT, "short.gguf");
        CU_ASSERT_PTR_NULL(tokenizer);
    }
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

static void random_bytes_come_back(void)
{
    enum { LONGEST = 3000 };
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    char *text = fr_test_memory(malloc(LONGEST));
    for (uint64_t trial = 0; trial < 200; trial++) {
        size_t n = random_word(trial, 0) % LONGEST;
        uint64_t spread = 1 + random_word(trial, 1) % 256;
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)(random_word(trial, 2 + i) % spread);
        }
        fr_assert_round_trip(tokenizer, text, n);
    }
    free(text);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static const fr_case CASES[] = {FR_CASE(damaged_json_is_refused_or_usable),
                                FR_CASE(mixed_forms_are_refused_or_usable),
                                FR_CASE(damaged_gguf_is_refused_or_usable),
                                FR_CASE(files_cut_short_are_refused),
                                FR_CASE(random_bytes_come_back)};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_tokenizer", CASES, FR_N_CASES(CASES), argc, argv);
}
