/*
 * vocabulary.h - checks that the model has an embedding row for a token id.
 *
 * A tokenizer may have more tokens than the embedding has rows (tokens were added, the model was not resized), and ids come
 * from files as well. Every reader of ids checks them here, so that the message can name the place. A stage checks its batch
 * once more (batch.h, fr_batch_check), in case a reader forgot.
 */
#ifndef FR_MODEL_TEXT_VOCABULARY_H
#define FR_MODEL_TEXT_VOCABULARY_H

#include "base/ctx.h"

#include <stdint.h>

/** Where ids come from: a file and its line, or a name alone with line 0. Borrowed. */
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
