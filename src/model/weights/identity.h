/*
 * identity.h - which base a prefix belongs to: a shape fingerprint and a digest of the weights.
 */
#ifndef FR_MODEL_WEIGHTS_IDENTITY_H
#define FR_MODEL_WEIGHTS_IDENTITY_H

#include "comm/grid.h"
#include "model/text/tokenizer.h"
#include "model/weights/weights.h"

/**
 * One line that two bases share iff a prefix of one has a meaning in the other: family, layers, widths,
 * heads, head width, RoPE, and the vocabulary's digest ("-" without a tokenizer).
 * @param tokenizer  may be NULL   @param[out] out  caller frees
 */
FR_MUST_CHECK fr_status fr_identity_shape(fr_ctx *ctx, const fr_weights *weights,
                                          const fr_tokenizer *tokenizer, char **out);

/**
 * SHA-256 over the digests of what lies outside layers and of the layers, in order. Collective over the
 * grid. The ranks of a pipeline answer for the layers [first, first + n) each (together all, each once; the first rank
 * also for the rest); those of a `node` divide among them what any of them answers for, so that it is hashed once.
 * Where the first of them finds the digests in the cache (digest_cache.h), nothing is hashed.
 */
FR_MUST_CHECK fr_status fr_identity_digest(fr_ctx *ctx, const fr_weights *weights,
                                           const fr_grid *grid, fr_group *node,
                                           int64_t first, int64_t n,
                                           uint8_t out[FR_DIGEST_BYTES]);

/**
 * Compare a checkpoint's base with the one at hand. Another shape is refused, both named. Other weights of
 * the same shape: refused with `strict`, else a warning.
 * @return FR_OK; FR_ERR_CHECKPOINT
 */
FR_MUST_CHECK fr_status fr_identity_check(fr_ctx *ctx, const char *file,
                                          const char *saved_shape,
                                          const uint8_t saved_digest[FR_DIGEST_BYTES],
                                          const char *shape,
                                          const uint8_t digest[FR_DIGEST_BYTES],
                                          bool strict);

/**
 * The same for the epsilon of the norms, which the shape does not hold. Compared as f32, as it enters the computation:
 * GGUF files hold no more.
 * @param saved  0: the file does not say   @param eps  of the base at hand
 * @return FR_OK; FR_ERR_CHECKPOINT
 */
FR_MUST_CHECK fr_status fr_identity_check_eps(fr_ctx *ctx, const char *file,
                                              double saved, double eps);

#endif
