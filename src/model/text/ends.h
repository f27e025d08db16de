/*
 * ends.h - the ids that end a text, as a model's files name them.
 *
 * tokens.h reads them from all files of a model, also if its tokenizer cannot be used. Files may name an id beyond the model's
 * vocabulary: training refuses it as `eos`, and fr_ends_within removes it from `stop`.
 */
#ifndef FR_MODEL_TEXT_ENDS_H
#define FR_MODEL_TEXT_ENDS_H

#include "base/ctx.h"

#include <stdint.h>

/** Several times what any known model names. */
enum { FR_MAX_ENDS = 64 };

typedef struct fr_ends {
    int32_t eos;    /* training puts it behind a target; -1: the files name none */
    int32_t n_stop; /* ids that end a generation, each once, `eos` among them */
    int32_t stop[FR_MAX_ENDS];
} fr_ends;

/** Nothing named. */
#define FR_NO_ENDS ((fr_ends){.eos = -1})

/** The id that a number in a file means. A negative number, or the 32-bit pattern of -1, means "none": -1. A number above
 * INT32_MAX becomes INT32_MAX, which is outside every vocabulary. */
int32_t fr_named_id(int64_t number);

/**
 * Adds an id that ends a generation; -1 and repeated ids change nothing.
 * @param name  the file, for the message
 * @return FR_OK; FR_ERR_UNSUPPORTED if there are more than FR_MAX_ENDS
 */
FR_MUST_CHECK fr_status fr_ends_add(fr_ctx *ctx, const char *name, int32_t id,
                                    fr_ends *ends);

/** Removes the ids from `stop` that lie beyond the vocabulary, with a warning: the model cannot choose them. */
void fr_ends_within(fr_ctx *ctx, const char *name, int64_t vocab_size, fr_ends *ends);

#endif
