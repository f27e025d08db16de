/* Whether sums go over NCCL: what is asked for, what the run is, and whether NCCL is there and works. Each step ends in an agreement of
 * the world, so that all ranks take the same way. */
#include "comm/link_nccl_impl.h"
#include "comm/link_settle.h"

#include <stdio.h>
#include <string.h>

/* What keeps a run from sums over NCCL is an error where they are asked for, and is said otherwise. */
static fr_status do_without(fr_ctx *ctx, fr_status why, bool must, fr_log_level level)
{
    if (must || why != FR_ERR_UNSUPPORTED) {
        return why;
    }
    fr_log(ctx, level, "sums of gradients go through the host's memory: %s",
           fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return FR_OK;
}

static fr_status refuse_shared(fr_ctx *ctx)
{
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "ranks share a GPU, and NCCL takes one rank a GPU; start as many "
                   "ranks as there are GPUs, or set run.sums to staged");
}

/* On every rank, and the same: NCCL promises nothing between two versions. */
static fr_status find_library(fr_ctx *ctx, fr_group *world)
{
    fr_nccl nccl = {0};
    char text[FR_NCCL_VERSION_BYTES];
    fr_status status = fr_group_agree(world, fr_nccl_open(ctx, &nccl));
    if (status == FR_OK) {
        fr_nccl_version_text(nccl.version, text);
        status = fr_group_agree_text(world, "the version of NCCL", text,
                                     "install one on all hosts");
    }
    fr_nccl_close(&nccl);
    return status;
}

/* A rank that failed by itself is the reason why others waited. */
static fr_status start(fr_group *world, const fr_link_params *params, fr_ctx *ctx,
                       fr_link **out)
{
    fr_nccl_link *l = NULL;
    fr_status status = fr_group_agree(world, fr_nccl_link_create(ctx, params, &l));
    if (status == FR_OK) {
        fr_status mine = fr_nccl_start(l);
        status = fr_group_agree(world, l->is_late ? FR_OK : mine);
        if (status == FR_OK) {
            status = fr_group_agree(world, mine);
        }
        l->status = status;
    }
    if (status == FR_OK) {
        *out = &l->base;
        return FR_OK;
    }
    fr_link *failed = l != NULL ? &l->base : NULL;
    fr_link_close(&failed);
    return status;
}

static void likely_without(fr_ctx *ctx, char out[FR_SUMS_TEXT])
{
    (void)snprintf(out, FR_SUMS_TEXT, "the host's memory: %s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
}

void fr_sums_likely(fr_ctx *ctx, const fr_sums_wanted *wanted, int n_replicas,
                    char out[FR_SUMS_TEXT])
{
    fr_nccl nccl;
    char text[FR_NCCL_VERSION_BYTES];
    if (strcmp(wanted->kind, "cuda") != 0) {
        out[0] = '\0';
    } else if (strcmp(wanted->asked, "staged") == 0) {
        (void)snprintf(out, FR_SUMS_TEXT, "the host's memory, as run.sums says");
    } else if (n_replicas == 1) {
        (void)snprintf(out, FR_SUMS_TEXT, "nothing, since there is one replica");
    } else if (wanted->is_shared) {
        (void)refuse_shared(ctx);
        likely_without(ctx, out);
    } else if (fr_nccl_open(ctx, &nccl) != FR_OK) {
        likely_without(ctx, out);
    } else {
        fr_nccl_version_text(nccl.version, text);
        (void)snprintf(out, FR_SUMS_TEXT, "NCCL %s", text);
        fr_nccl_close(&nccl);
    }
}

fr_status fr_link_settle_sums(fr_ctx *ctx, const fr_grid *grid, fr_device *device,
                              const fr_sums_wanted *wanted, fr_link **out)
{
    char text[FR_NCCL_VERSION_BYTES];
    bool must = strcmp(wanted->asked, "nccl") == 0;
    fr_link_params params = {.group = grid->replicas,
                             .device = device,
                             .kind = FR_LINK_NCCL,
                             .seconds = wanted->seconds};
    *out = NULL;
    if (must && strcmp(wanted->kind, "cuda") != 0) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "run.sums is nccl, but no GPU computes, and sums need no other "
                       "way; set run.sums to auto");
    }
    if (strcmp(wanted->kind, "cuda") != 0 || strcmp(wanted->asked, "staged") == 0 ||
        grid->n_replicas == 1) {
        return FR_OK;
    }
    if (wanted->is_shared) {
        return do_without(ctx, refuse_shared(ctx), must, FR_LOG_INFO);
    }
    fr_status status = find_library(ctx, grid->world);
    if (status != FR_OK) {
        return do_without(ctx, status, must, FR_LOG_INFO);
    }
    status = start(grid->world, &params, ctx, out);
    if (status != FR_OK) {
        return do_without(ctx, status, must, FR_LOG_WARN);
    }
    fr_nccl_version_text(fr_nccl_link_of(*out)->nccl.version, text);
    fr_log(ctx, FR_LOG_INFO, "sums of gradients go from GPU to GPU over NCCL %s", text);
    return FR_OK;
}

void fr_link_name_of_sums(const fr_link *sums, char out[FR_LINK_NAME_BYTES])
{
    char text[FR_NCCL_VERSION_BYTES];
    out[0] = '\0';
    if (sums != NULL) {
        fr_nccl_version_text(((const fr_nccl_link *)(const void *)sums)->nccl.version,
                             text);
        (void)snprintf(out, FR_LINK_NAME_BYTES, "NCCL %s", text);
    }
}
