/*
 * ends.h - the ids that end a text, as a model's files name them.
 *
 * Layer L3. Files name them in many places, with or without a tokenizer that can be used (tokens.h reads them all).
 * An id beyond the model's vocabulary stays where it was named: who uses it refuses it (`eos`) or leaves it out (`stop`).
 */
#ifndef FR_MODEL_TEXT_ENDS_H
#define FR_MODEL_TEXT_ENDS_H

#include "base/ctx.h"

#include <stdint.h>

/** Several times what any known model names. */
enum { FR_MAX_ENDS = 64 };

typedef struct fr_ends {
    int32_t eos;    /* what training puts behind a target; -1: the files name none */
    int32_t n_stop; /* ids that end a generation, each once, `eos` among them */
    int32_t stop[FR_MAX_ENDS];
} fr_ends;

/** Nothing named. */
#define FR_NO_ENDS ((fr_ends){.eos = -1})

/** The id that a number of a file means: -1 where it says "none" (negative, or the 32-bit pattern of -1). One that no
 * model can have is the largest number. */
int32_t fr_named_id(int64_t number);

/**
 * An id more that ends a generation; -1 and repeated ones change nothing.
 * @param name  the file, for the message
 * @return FR_OK; FR_ERR_UNSUPPORTED if there are more than FR_MAX_ENDS
 */
FR_MUST_CHECK fr_status fr_ends_add(fr_ctx *ctx, const char *name, int32_t id,
                                    fr_ends *ends);

/** Take the ids from `stop` that the model has no row for, with a warning: they cannot come. */
void fr_ends_within(fr_ctx *ctx, const char *name, int64_t vocab_size, fr_ends *ends);

#endif
