/* The 46 strings of golden/tokens, with the ids that llama.cpp has for them, under both splitting rules. */
#include "base/rng.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"
#include "support/token_lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_STRINGS = 46 };

static const char NO_MODEL[] = "SmolLM2 is not there: launch/fetch-model.sh gets it";

static fr_tokenizer *open_at(const char *path)
{
    fr_tokenizer *tokenizer = NULL;
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

static fr_tokenizer *open_gpt2(void)
{
    return open_at(fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf"));
}

static void check_strings(const fr_tokenizer *tokenizer, const char *expected)
{
    char path[64];
    (void)snprintf(path, sizeof path, "golden/tokens/%s", expected);
    int n = fr_check_token_list(tokenizer,
                                fr_test_data("golden/tokens/ggml-vocab-gpt-2.gguf.inp"),
                                fr_test_data(path));
    CU_ASSERT_EQUAL(n, N_STRINGS);
}

static void gpt2_ids_are_the_references(void)
{
    fr_tokenizer *tokenizer = open_gpt2();
    check_strings(tokenizer, "ggml-vocab-gpt-2.gguf.out");
    CU_ASSERT_EQUAL(fr_test_n_tokens(tokenizer), 50257);
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), 50256);
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), -1);
    CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, "<|endoftext|>"), 50256);
    CU_ASSERT_PTR_NULL(fr_tokenizer_chat_template(tokenizer));
    fr_tokenizer_close(&tokenizer);
}

static void smollm_ids_are_the_references(void)
{
    if (fr_real_model() == NULL) {
        fr_skip(NO_MODEL);
        return;
    }
    fr_tokenizer *tokenizer = open_at(fr_real_model());
    check_strings(tokenizer, "ggml-vocab-smollm.gguf.out");
    CU_ASSERT_EQUAL(fr_test_n_tokens(tokenizer), 49152);
    CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), 2);
    CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), -1);
    CU_ASSERT_EQUAL(fr_test_special_id(tokenizer, "<|im_end|>"), 2);
    CU_ASSERT_PTR_NOT_NULL(fr_tokenizer_chat_template(tokenizer));
    fr_tokenizer_close(&tokenizer);
}

static void gpt2_gives_any_bytes_back(void)
{
    fr_tokenizer *tokenizer = open_gpt2();
    fr_check_random_bytes(tokenizer, 100);
    fr_tokenizer_close(&tokenizer);
}

/* UTF-8 of a code point; returns its length. */
static size_t put_character(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(LEAD[length] | code);
    return length;
}

/* A random character of planes 0 to 3 without the surrogates and without the control characters that
 * SmolLM2's vocabulary lacks. */
static uint32_t random_character(uint64_t trial, uint64_t index)
{
    static const uint32_t LIMITS[] = {0x80, 0x800, 0x10000, 0x40000};
    uint64_t word = fr_rng_u64(trial, FR_RNG_TEST, 1, index);
    uint32_t code = (uint32_t)(word >> 8) % LIMITS[word % 4];
    bool lacking = code < 0x20 && code != '\n' && code != '\t';
    return lacking || (code >= 0xD800 && code < 0xE000) ? ' ' : code;
}

static void smollm_gives_any_text_back(void)
{
    enum { TRIALS = 100, CHARACTERS = 200 };
    char text[4 * CHARACTERS];
    if (fr_real_model() == NULL) {
        fr_skip(NO_MODEL);
        return;
    }
    fr_tokenizer *tokenizer = open_at(fr_real_model());
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        size_t bytes = 0;
        for (uint64_t i = 0; i < CHARACTERS; i++) {
            bytes += put_character(random_character(trial, i), text + bytes);
        }
        fr_assert_round_trip(tokenizer, text, bytes);
    }
    fr_tokenizer_close(&tokenizer);
}

static void smollm_names_each_byte_that_it_lacks(void)
{
    static const unsigned char LACKING[] = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xC0,
                                            0xC1, 0xF1, 0xF2, 0xF5, 0xF6, 0xF7, 0xF8,
                                            0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF};
    if (fr_real_model() == NULL) {
        fr_skip(NO_MODEL);
        return;
    }
    fr_tokenizer *tokenizer = open_at(fr_real_model());
    for (int i = 0; i < FR_N_CASES(LACKING); i++) {
        char text[] = {'a', ' ', (char)LACKING[i], 'b'};
        char named[32];
        fr_ids ids = {0};
        (void)snprintf(named, sizeof named, "the byte 0x%02X has no token",
                       (unsigned)LACKING[i]);
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &ids, 7));
        FR_ASSERT_FAILS(fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, sizeof text,
                                            false, &ids),
                        FR_ERR_DATA, named);
        CU_ASSERT_EQUAL(ids.count, 1);
        fr_ids_fini(&ids);
    }
    fr_tokenizer_close(&tokenizer);
}

static void the_two_vocabularies_have_different_digests(void)
{
    uint8_t gpt2[FR_DIGEST_BYTES];
    uint8_t smollm[FR_DIGEST_BYTES];
    if (fr_real_model() == NULL) {
        fr_skip(NO_MODEL);
        return;
    }
    fr_tokenizer *tokenizer = open_gpt2();
    fr_tokenizer_digest(tokenizer, gpt2);
    fr_tokenizer_close(&tokenizer);
    tokenizer = open_at(fr_real_model());
    fr_tokenizer_digest(tokenizer, smollm);
    fr_tokenizer_close(&tokenizer);
    CU_ASSERT_NOT_EQUAL(memcmp(gpt2, smollm, FR_DIGEST_BYTES), 0);
}

static const fr_case CASES[] = {FR_CASE(gpt2_ids_are_the_references),
                                FR_CASE(smollm_ids_are_the_references),
                                FR_CASE(gpt2_gives_any_bytes_back),
                                FR_CASE(smollm_gives_any_text_back),
                                FR_CASE(smollm_names_each_byte_that_it_lacks),
                                FR_CASE(the_two_vocabularies_have_different_digests)};

int main(int argc, char **argv)
{
    return fr_suite_main("tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
