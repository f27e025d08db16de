#include "train/session/rank_share.h"

#include "base/mem.h"
#include "base/quantity.h"
#include "device/kinds.h"
#include "train/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* How many ranks of the node have this rank's device. */
static fr_status count_sharers(fr_ctx *ctx, fr_group *node, const char *which,
                               int64_t *out)
{
    enum { WORDS = sizeof((fr_device_facts){0}.which) / sizeof(int64_t) };
    int64_t n = fr_group_size(node);
    int64_t mine[WORDS] = {0};
    int64_t *words = NULL;
    *out = 0;
    fr_status status = fr_alloc(ctx, n * WORDS, sizeof *words, &words);
    status = fr_group_agree(node, status);
    if (status == FR_OK) {
        (void)snprintf((char *)mine, sizeof mine, "%s", which);
        status = fr_group_gather(node, mine, WORDS, words);
    }
    for (int64_t i = 0; i < n && status == FR_OK; i++) {
        *out += strcmp((const char *)(words + i * WORDS), which) == 0;
    }
    free(words);
    return status;
}

/* Ranks that share a device get equal parts of its memory. */
static fr_status share_device(fr_ctx *ctx, fr_group *world, fr_device_facts *facts,
                              bool *is_shared)
{
    char text[FR_SIZE_BYTES];
    fr_group *node = NULL;
    int64_t n = 0;
    FR_TRY(fr_group_agree(world, fr_group_split_node(world, &node)));
    fr_status status = count_sharers(ctx, node, facts->which, &n);
    fr_group_destroy(&node);
    FR_TRY(fr_group_agree(world, status));
    *is_shared = !facts->in_host_memory && n > 1;
    if (*is_shared) {
        facts->available /= n;
        fr_size_text((double)facts->available, text);
        fr_log(ctx, FR_LOG_INFO, "%lld ranks share a device: each may use %s of it",
               (long long)n, text);
    }
    return FR_OK;
}

/* The least of all ranks, so that all choose the same layout. Devices of one kind that compute otherwise are refused
 * later, by their arithmetic. */
fr_status fr_rank_limits_find(fr_ctx *ctx, fr_group *world, const char *device,
                              bool own_products, fr_rank_limits *out)
{
    char text[FR_LIMIT_TEXT];
    fr_share share;
    fr_device_facts facts;
    bool is_shared = false;
    int node_rank = fr_group_node_rank(world);
    FR_TRY(fr_rank_share(ctx, world, &share));
    FR_TRY(fr_group_agree(world, fr_device_settle(ctx, device, node_rank, &device)));
    FR_TRY(fr_group_agree_text(
        world, "the device that \"auto\" chooses", device,
        "give every rank a GPU (FORERUN_LOG_RANKS=all shows why one has none), or set "
        "run.device to cpu"));
    FR_TRY(fr_group_agree(world, fr_device_facts_of(ctx, device, node_rank, &facts)));
    FR_TRY(share_device(ctx, world, &facts, &is_shared));
    fr_memory_share_text(&share.memory, text);
    fr_log(ctx, share.memory.bound == FR_BOUND_MACHINE ? FR_LOG_DEBUG : FR_LOG_INFO,
           "memory for a rank: %s", text);
    int64_t n = fr_group_node_size(world);
    int64_t least[] = {share.memory.bytes, n,          !facts.in_host_memory,
                       facts.available,    facts.work, !is_shared};
    FR_TRY(fr_group_allreduce(world, FR_MIN, least, 6));
    int64_t most[] = {n, own_products ? 0 : fr_device_products_bytes(ctx, device)};
    FR_TRY(fr_group_allreduce(world, FR_MAX, most, 2));
    *out = (fr_rank_limits){.memory = least[0],
                            .node_ranks = least[1],
                            .node_ranks_most = most[0],
                            .device_is_apart = least[2] != 0,
                            .device_memory = least[3],
                            .scratch = facts.scratch,
                            .products = most[1],
                            .sums_by_library = facts.sums_by_library,
                            .work = (fr_dtype)least[4],
                            .device_is_shared = least[5] == 0,
                            .device = device};
    return FR_OK;
}
