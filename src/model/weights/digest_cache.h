/*
 * digest_cache.h - the digests of a base's layers, kept from one start to the next.
 *
 * Hashing 140 GB takes minutes. A file counts as the one that was hashed if its path, size, inode and times are the
 * same. A process of the same user can forge an entry, but it could change the model as well.
 */
#ifndef FR_MODEL_WEIGHTS_DIGEST_CACHE_H
#define FR_MODEL_WEIGHTS_DIGEST_CACHE_H

#include "model/weights/weights.h"

/**
 * Read the digests that an earlier start kept. A node keeps only what it hashed itself, so that different files on
 * another node do no harm.
 * @param needs  [layers + 1], first for what lies outside layers, then for each layer: not 0 if its digest is wanted
 * @param[out] digests  [layers + 1, FR_DIGEST_BYTES]: zeros for those that are not wanted
 * @return false if the cache has no entry for the files in their present state
 */
FR_MUST_CHECK bool fr_digest_cache_read(fr_ctx *ctx, const fr_weights *weights,
                                        const int64_t *needs, uint8_t *digests);

/** Keep the digests for a later read with the same `needs`. Nothing is kept if a file has changed since it was opened,
 * or changed so lately that a further change could carry the same time. */
void fr_digest_cache_write(fr_ctx *ctx, const fr_weights *weights, const int64_t *needs,
                           const uint8_t *digests);

#endif
