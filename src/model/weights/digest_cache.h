/*
 * digest_cache.h - the digests of a base's layers, kept from one start to the next.
 *
 * Hashing 140 GB takes minutes; that a file is the one that was hashed is told by its
 * path, size, inode and times. Whoever may write as this user can lie here, but could change the model as well.
 */
#ifndef FR_MODEL_WEIGHTS_DIGEST_CACHE_H
#define FR_MODEL_WEIGHTS_DIGEST_CACHE_H

#include "model/weights/weights.h"

/**
 * Read what an earlier start kept. Only what a node hashed itself is kept, so that other files of other nodes do no harm.
 * @param needs  [layers + 1] not 0: this digest is wanted (of what lies outside layers, then of the layers)
 * @param[out] digests  [layers + 1, FR_DIGEST_BYTES]: zeros for those that are not wanted
 * @return false: nothing is known of the files as they are
 */
FR_MUST_CHECK bool fr_digest_cache_read(fr_ctx *ctx, const fr_weights *weights,
                                        const int64_t *needs, uint8_t *digests);

/** Keep them, the same for the same `needs`, unless the files have changed since they were opened, or so lately that the next change could bear the
 * same time. */
void fr_digest_cache_write(fr_ctx *ctx, const fr_weights *weights, const int64_t *needs,
                           const uint8_t *digests);

#endif
