/*
 * identity.h - which base a prefix belongs to: a shape fingerprint and a digest of the weights.
 */
#ifndef FR_MODEL_WEIGHTS_IDENTITY_H
#define FR_MODEL_WEIGHTS_IDENTITY_H

#include "comm/grid.h"
#include "model/text/tokenizer.h"
#include "model/weights/weights.h"

/**
 * Write one line that is the same for two bases exactly if a prefix of one has a meaning in the other: family, layers,
 * widths, heads, head width, RoPE, the vocabulary's digest ("-" without a tokenizer), and each feature of the description
 * that a plain Llama and GPT-2 lack. A GGUF file and the folder that it was made from have the same line.
 * @param tokenizer  may be NULL   @param[out] out  caller frees
 */
FR_MUST_CHECK fr_status fr_identity_shape(fr_ctx *ctx, const fr_weights *weights,
                                          const fr_tokenizer *tokenizer, char **out);

/** Whether a shape line is of a base that has layers with a window. */
bool fr_identity_has_windows(const char *shape);

/**
 * Compute SHA-256 over the digests of what lies outside layers and of the layers, in order. Collective over the grid.
 * Each rank of a pipeline is responsible for the layers [first, first + n), which together are all layers once. The
 * first rank is also responsible for what lies outside layers. The ranks of a `node` divide the hashing of all that any
 * of them is responsible for, so that it is hashed once. If the first rank of the node finds the digests in the cache
 * (digest_cache.h), nothing is hashed.
 */
FR_MUST_CHECK fr_status fr_identity_digest(fr_ctx *ctx, const fr_weights *weights,
                                           const fr_grid *grid, fr_group *node,
                                           int64_t first, int64_t n,
                                           uint8_t out[FR_DIGEST_BYTES]);

/**
 * Compare a checkpoint's base with the model. Another shape is refused, and the message names what differs. A vocabulary
 * that one side does not know ("-": no tokenizer, or one that could not be read) fits any of the same size. Other weights
 * of the same shape are refused with `strict`, and give a warning without it.
 * @return FR_OK; FR_ERR_CHECKPOINT
 */
FR_MUST_CHECK fr_status fr_identity_check(fr_ctx *ctx, const char *file,
                                          const char *saved_shape,
                                          const uint8_t saved_digest[FR_DIGEST_BYTES],
                                          const char *shape,
                                          const uint8_t digest[FR_DIGEST_BYTES],
                                          bool strict);

/**
 * Compare the epsilon of the norms, which the shape line does not hold. The comparison is in f32, as the computation
 * uses it and as GGUF files store it.
 * @param saved  0 if the file does not name it   @param eps  the model's
 * @return FR_OK; FR_ERR_CHECKPOINT
 */
FR_MUST_CHECK fr_status fr_identity_check_eps(fr_ctx *ctx, const char *file,
                                              double saved, double eps);

#endif
