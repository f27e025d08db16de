#include "train/session/cache_share.h"

#include "device/memory.h"
#include "train/session/rank_share.h"

fr_status fr_cache_share(fr_ctx *ctx, fr_group *world, const fr_session *session,
                         bool own_products, int64_t *out)
{
    fr_rank_limits limits;
    FR_TRY(
        fr_rank_limits_find(ctx, world, session->device_kind, own_products, &limits));
    *out =
        (limits.device_is_apart ? fr_device_room(session->device) : limits.memory) / 2;
    return FR_OK;
}
