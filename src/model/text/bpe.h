/*
 * bpe.h - byte-pair merges over ids: the merge of lowest rank comes first, the leftmost of equals.
 *
 * Merging n symbols takes O(n log n) time for any input, so a piece may have megabytes.
 */
#ifndef FR_MODEL_TEXT_BPE_H
#define FR_MODEL_TEXT_BPE_H

#include "base/ctx.h"

#include <stdint.h>

/** Two neighbours and the id that they become. */
typedef struct fr_merge {
    int32_t left;
    int32_t right;
    int32_t merged;
} fr_merge;

typedef struct fr_bpe fr_bpe;

/**
 * @param path    for messages
 * @param merges  copied; ids >= 0
 * @param ranks   [n], >= 0, copied; several merges may share one; NULL: their positions
 * @return FR_OK; FR_ERR_FORMAT if a pair occurs twice (its rank would be ambiguous)
 */
FR_MUST_CHECK fr_status fr_bpe_create(fr_ctx *ctx, const char *path,
                                      const fr_merge *merges, const int32_t *ranks,
                                      int64_t n, fr_bpe **out);
void fr_bpe_destroy(fr_bpe **bpe);

/** Working memory that calls reuse. Zero-initialise it; release it with fr_bpe_scratch_fini. */
typedef struct fr_bpe_scratch {
    int32_t *
        neighbours; /* [capacity, 2]: index of the symbol before and after, -1 at the ends */
    uint64_t *heap; /* [2 capacity] */
    int64_t capacity;
} fr_bpe_scratch;

void fr_bpe_scratch_fini(fr_bpe_scratch *scratch);

/**
 * Merge the symbols of one piece in place.
 * @param[in,out] ids  n symbols, each >= 0; on return the first *n_left of them are the result
 * @return FR_OK; FR_ERR_DATA if n exceeds INT32_MAX; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_bpe_merge(fr_ctx *ctx, const fr_bpe *bpe,
                                     fr_bpe_scratch *scratch, int32_t *ids, int64_t n,
                                     int64_t *n_left);

#endif
