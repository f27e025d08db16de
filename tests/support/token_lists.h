/*
 * token_lists.h - lists of strings with the ids that a reference has for them, in the form of llama.cpp's models/ggml-vocab-*:
 * FILE.inp has the strings, with a line "__ggml_vocab_test__" behind each (the last may lack it), FILE.out a line of ids for each.
 */
#ifndef FR_TESTS_TOKEN_LISTS_H
#define FR_TESTS_TOKEN_LISTS_H

#include "model/text/tokens.h"

/** Assert that a tokenizer has these ids, and that decoding gives the strings back. Returns how many strings there are. */
int fr_check_token_list(const fr_tokenizer *tokenizer, const char *strings_path,
                        const char *ids_path);

/** Assert that random bytes come back, `trials` times. */
void fr_check_random_bytes(const fr_tokenizer *tokenizer, int trials);

#endif
