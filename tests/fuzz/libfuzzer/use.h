/*
 * use.h - use everything that an opened model or tokenizer hands out, and check what its header promises.
 */
#ifndef FR_TESTS_FUZZ_USE_H
#define FR_TESTS_FUZZ_USE_H

#include "model/text/tokens.h"
#include "model/weights/weights.h"
#include "train/data/data.h"

/** Open a GGUF file or a folder as weights; read, describe and digest all of them. @return whether it was accepted */
bool fuzz_use_model(fr_ctx *ctx, const char *path);

/** Open the tokenizer of a GGUF file or folder; encode, decode and make dialogues. @return whether it was accepted */
bool fuzz_use_tokenizer(fr_ctx *ctx, const char *path);

/** Ids of any bytes, with and without special tokens: within the vocabulary, and decoded they are the same bytes. */
void fuzz_use_text(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *text,
                   size_t bytes);

/** Every row, example and token that a dataset holds, against what data.h promises. */
void fuzz_use_dataset(const fr_dataset *dataset, int64_t vocab_size,
                      int64_t max_tokens);

/** A tokenizer with a token for every byte, some merges, BOS, EOS and ChatML; kept until the program ends. */
const fr_tokenizer *fuzz_tokenizer(bool smollm);

/** Path of a GGUF llama of one layer with that tokenizer (gpt-2 rule); written at the first call. */
const char *fuzz_model(void);

#endif
