#include "comm/group_impl.h"

#include "base/mem.h"

#include <stdlib.h>

/* The new group keeps the root of the old one, whose watch and progress function hold for it. */
static fr_status self_split(fr_group *group, int color, int key, fr_group **out)
{
    (void)color;
    (void)key;
    FR_TRY(fr_group_create_self(group->ctx, out));
    (*out)->root = group->root;
    return FR_OK;
}

static void self_destroy(fr_group *group)
{
    free(group);
}

static const fr_group_ops SELF_OPS = {.split = self_split, .destroy = self_destroy};

fr_status fr_group_create_self(fr_ctx *ctx, fr_group **out)
{
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    **out = (fr_group){
        .ops = &SELF_OPS,
        .ctx = ctx,
        .size = 1,
        .node_size = 1,
    };
    (*out)->root = *out;
    return FR_OK;
}
