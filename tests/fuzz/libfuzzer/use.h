/*
 * use.h - use everything that an opened model or tokenizer hands out, and check what its header promises.
 */
#ifndef FR_TESTS_FUZZ_USE_H
#define FR_TESTS_FUZZ_USE_H

#include "model/tokenizer.h"
#include "model/weights.h"

/** Open a GGUF file or a folder as weights; read, describe and digest all of them. @return whether it was accepted */
bool fuzz_use_model(fr_ctx *ctx, const char *path);

/** Open the tokenizer of a GGUF file or folder; encode, decode and make dialogues. @return whether it was accepted */
bool fuzz_use_tokenizer(fr_ctx *ctx, const char *path);

/** Ids of any bytes, with and without special tokens: within the vocabulary, and decoded they are the same bytes. */
void fuzz_use_text(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *text,
                   size_t bytes);

#endif
