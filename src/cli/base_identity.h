/*
 * base_identity.h - a model's files opened by one process to say which base they are: nothing of the model is computed.
 */
#ifndef FR_CLI_BASE_IDENTITY_H
#define FR_CLI_BASE_IDENTITY_H

#include "model/text/tokens.h"
#include "model/weights/identity.h"

typedef struct fr_base_identity {
    char *path; /* fr_model_find */
    fr_weights *weights;
    fr_tokens tokens;
    char *shape; /* fr_identity_shape */
    uint8_t digest[FR_DIGEST_BYTES];
} fr_base_identity;

/** Find the model by its name and open its files; the digest is not known yet. Also after a failure the caller closes it. */
FR_MUST_CHECK fr_status fr_base_identity_open(fr_ctx *ctx, const char *model,
                                              fr_base_identity *out);

/** Find the digest; this reads all weights unless it is in the cache. @param world  of one rank */
FR_MUST_CHECK fr_status fr_base_identity_hash(fr_ctx *ctx, fr_group *world,
                                              fr_base_identity *base);

void fr_base_identity_close(fr_base_identity *base);

#endif
