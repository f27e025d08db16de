/*
 * tiny_tokenizer.h - a byte-level tokenizer.json of a few hundred tokens, to be changed and opened by tests.
 *
 * A failed write or allocation ends the program: it is no failure of what is tested.
 */
#ifndef FR_TESTS_TINY_TOKENIZER_H
#define FR_TESTS_TINY_TOKENIZER_H

#include "model/text/tokens.h"
#include "support/gguf_writer.h"

#include <jansson.h>

/** Ids: the bytes 0 to 255 are their own ids, the merged tokens follow, the special tokens come last. */
enum {
    FR_TINY_HE =
        256, /* "he", then "ll", "hell", "hello", " w", two line ends, two spaces, "12" */
    FR_TINY_LL,
    FR_TINY_HELL,
    FR_TINY_HELLO,
    FR_TINY_SPACE_W,
    FR_TINY_LINES,
    FR_TINY_SPACES,
    FR_TINY_TWELVE,
    FR_TINY_END, /* <|endoftext|> */
    FR_TINY_IM_START,
    FR_TINY_IM_END,
    FR_TINY_VOCABULARY
};

/** A new tokenizer.json with the gpt-2 rule; json_decref it. */
json_t *fr_tiny_json(void);

/** The same tokenizer as metadata of a GGUF file (architecture gpt2), without bos, eos and template. */
fr_gguf_writer *fr_tiny_gguf(void);

/** The same with one token more, of a given tokenizer.ggml.token_type. */
fr_gguf_writer *fr_tiny_gguf_with(const char *token, int32_t type);

/** A vocabulary with scores, bytes and unused tokens; `model`: llama or t5, by tokenizer.ggml.model. */
fr_gguf_writer *fr_tiny_scored_gguf(const char *model);

/** The pre_tokenizer of the smollm rule; a new value. */
json_t *fr_tiny_smollm_rule(void);

/** Write a folder with this tokenizer.json and, unless NULL, the text of a tokenizer_config.json. */
const char *fr_tiny_folder(const json_t *tokenizer, const char *config);

/** Write and open; fails the test unless that works. The caller closes it. */
fr_tokenizer *fr_tiny_tokenizer(const json_t *tokenizer, const char *config);

/** That of fr_tiny_json. The caller closes it. */
fr_tokenizer *fr_tiny_plain_tokenizer(void);

/** Ids in a list of their own, and how FR_IDS gives them. The caller releases it. */
fr_ids fr_test_ids(const int32_t *data, int64_t n);
#define FR_IDS(...)                                                                    \
    (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

/** Assert that the ids of `bytes` bytes of text are the first n of `wanted`. */
void fr_assert_encodes(const fr_tokenizer *tokenizer, const char *text, size_t bytes,
                       bool parse_special, const int32_t *wanted, int64_t n);

/** Assert that encoding (special tokens not parsed) and decoding gives the same bytes. */
void fr_assert_round_trip(const fr_tokenizer *tokenizer, const char *text,
                          size_t bytes);

/** How many ids the tokenizer has, those that only fill up the vocabulary among them. */
int64_t fr_test_n_tokens(const fr_tokenizer *tokenizer);

/** Id of a special token by its text; -1 if there is none, or if it is an added token that is not special. */
int32_t fr_test_special_id(const fr_tokenizer *tokenizer, const char *text);

#endif
