/*
 * pool.h - a device's memory in one piece, handed out in blocks: for backends whose memory is not the host's.
 *
 * A pool never touches the memory that it hands out, which may be out of the host's reach. The piece begins at one address
 * and grows at its end alone: fr_pool_reserve takes at once what a run needs by forecast, and a run that needs more than that
 * takes the rest later, as long as the device has it.
 *
 * A block is the smallest free place that is large enough, and free places that touch become one.
 */
#ifndef FR_DEVICE_POOL_H
#define FR_DEVICE_POOL_H

#include "base/ctx.h"

#include <stdint.h>

typedef struct fr_pool fr_pool;

/** What a message of too little memory of a device advises. */
#define FR_POOL_REMEDY                                                                 \
    "use more stages, a larger base.offload, a smaller batch.microbatch_tokens or "    \
    "run.warmup_depth, or run.recompute=layer"

enum {
    FR_POOL_ALIGNMENT = 256, /* bytes; of blocks and their sizes */
    FR_POOL_GRAIN_BYTES =
        2 << 20 /* a pool grows by multiples of this while there is so much */
};

/** Where a pool's memory comes from. */
typedef struct fr_pool_source {
    char *base; /* the first byte, aligned to FR_POOL_ALIGNMENT; only computed with */
    void *context; /* for the functions */
    /** The first `bytes` from `base` can be used from now on, more than before. FR_ERR_NO_MEMORY: they cannot. */
    fr_status (*grow)(void *context, int64_t bytes);
    /** Bytes that the pool may still grow by. */
    int64_t (*available)(void *context);
} fr_pool_source;

FR_MUST_CHECK fr_status fr_pool_create(fr_ctx *ctx, const fr_pool_source *source,
                                       fr_pool **out);
/** Blocks that were not freed are lost; the memory itself is the source's. Accepts NULL inside, nulls the pointer. */
void fr_pool_destroy(fr_pool **pool);

/** Make the pool at least this large. FR_ERR_NO_MEMORY, which names what was asked and what was free. */
FR_MUST_CHECK fr_status fr_pool_reserve(fr_pool *pool, int64_t bytes);

/** A block of at least `bytes` (0: of some), whose contents are undefined. FR_ERR_NO_MEMORY likewise (*out = NULL). */
FR_MUST_CHECK fr_status fr_pool_take(fr_pool *pool, int64_t bytes, void **out);
/** Bytes of the block, whose memory others may get from now on. @param block  from fr_pool_take */
int64_t fr_pool_give(fr_pool *pool, void *block);
/** Bytes of a block. */
int64_t fr_pool_block_bytes(const fr_pool *pool, const void *block);

/** Bytes of the pool, of its blocks now, and of its blocks when they were the most. */
int64_t fr_pool_bytes(const fr_pool *pool);
int64_t fr_pool_used(const fr_pool *pool);
int64_t fr_pool_most_used(const fr_pool *pool);

#endif
