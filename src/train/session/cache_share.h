/*
 * cache_share.h - how much memory of a rank the keys and values of a generation may take.
 */
#ifndef FR_TRAIN_SESSION_CACHE_SHARE_H
#define FR_TRAIN_SESSION_CACHE_SHARE_H

#include "train/session/session.h"

/**
 * Half of a rank's memory, since the weights and the activations need the rest; half of what the weights left where the device
 * has memory of its own. Collective, after the weights are loaded.
 * @param own_products  as in fr_device_params
 */
FR_MUST_CHECK fr_status fr_cache_share(fr_ctx *ctx, fr_group *world,
                                       const fr_session *session, bool own_products,
                                       int64_t *out);

#endif
