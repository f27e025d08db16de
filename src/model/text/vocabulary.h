/*
 * vocabulary.h - token ids that the model has a row for.
 *
 * Layer L3. A tokenizer may know more tokens than the embedding has rows (tokens added, model not resized), and ids
 * come from files as well. Whoever reads ids checks them here and names the place; a batch is checked once more when
 * a stage takes it (batch.h, fr_batch_check), so that no entry can be forgotten.
 */
#ifndef FR_MODEL_TEXT_VOCABULARY_H
#define FR_MODEL_TEXT_VOCABULARY_H

#include "base/ctx.h"

#include <stdint.h>

/** Where ids came from: a file and its line, or a name alone with line 0. Borrowed. */
typedef struct fr_place {
    const char *name;
    int64_t line;
} fr_place;

/** FR_ERR_DATA naming the place and the id unless 0 <= id < vocab_size. */
FR_MUST_CHECK fr_status fr_vocabulary_check_id(fr_ctx *ctx, fr_place place, int64_t id,
                                               int64_t vocab_size);

/** The same for n ids. */
FR_MUST_CHECK fr_status fr_vocabulary_check(fr_ctx *ctx, fr_place place,
                                            const int32_t *ids, int64_t n,
                                            int64_t vocab_size);

#endif
