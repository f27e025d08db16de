#include "train/session/rank_share.h"

#include "device/kinds.h"
#include "train/config/config.h"

/* The ranks of a node measure together, since each must know what the others may use too. */
fr_status fr_rank_share(fr_ctx *ctx, fr_group *world, fr_share *out)
{
    fr_limits limits;
    fr_group *node = NULL;
    FR_TRY(fr_group_agree(world, fr_group_split_node(world, &node)));
    fr_limits_read("/", &limits);
    fr_status status = fr_share_measure(ctx, node, &limits, out);
    fr_group_destroy(&node);
    return fr_group_agree(world, status);
}

/* A number that is asked for wins, then OMP_NUM_THREADS, then the rank's part of the processors. A container's quota is
 * logged, because threads beyond it only wait for each other. */
fr_status fr_rank_threads(fr_ctx *ctx, const fr_share *share, int64_t asked, int *out)
{
    int from_environment = 0;
    int good = fr_share_threads(share);
    if (asked == FR_AUTO) {
        FR_TRY(fr_ctx_threads(ctx, &from_environment));
    }
    *out = asked != FR_AUTO       ? (int)asked
           : from_environment > 0 ? from_environment
                                  : good;
    if (from_environment > 0) {
        fr_log(ctx, FR_LOG_INFO, "threads of a rank: %d, from OMP_NUM_THREADS", *out);
    }
    if (share->quota > 0.0 && *out >= good && share->quota < (double)*out + 0.5) {
        fr_log(ctx, FR_LOG_INFO,
               "threads of a rank: %d; the container's limit gives it the time of %.2f "
               "processors%s",
               *out, share->quota,
               *out > good ? ", so threads wait for each other; fewer may be faster"
                           : "");
    }
    return FR_OK;
}

/* The least of all ranks, so that all choose the same layout. Nodes count as shared only if the ranks of each of them
 * are consecutive; otherwise node_ranks is 1. Devices of several kinds are refused later, with the arithmetic. */
fr_status fr_rank_limits_find(fr_ctx *ctx, fr_group *world, const char *device,
                              fr_rank_limits *out)
{
    char text[FR_LIMIT_TEXT];
    fr_share share;
    fr_device_facts facts;
    FR_TRY(fr_rank_share(ctx, world, &share));
    FR_TRY(fr_group_agree(world, fr_device_facts_of(ctx, device, &facts)));
    fr_memory_share_text(&share.memory, text);
    fr_log(ctx, share.memory.bound == FR_BOUND_MACHINE ? FR_LOG_DEBUG : FR_LOG_INFO,
           "memory for a rank: %s", text);
    int64_t n = fr_group_node_size(world);
    int64_t least[] = {share.memory.bytes, fr_group_node_is_run(world) ? n : 1,
                       !facts.in_host_memory, facts.available, facts.work};
    FR_TRY(fr_group_allreduce(world, FR_MIN, least, 5));
    *out = (fr_rank_limits){least[0], least[1], least[2] != 0, least[3],
                            (fr_dtype)least[4]};
    return FR_OK;
}
