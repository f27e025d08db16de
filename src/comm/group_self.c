/* The group of one rank: collectives do nothing, there is nobody to send to. */
#include "base/mem.h"
#include "comm/group_impl.h"

#include <stdlib.h>

static fr_status self_split(fr_group *group, int color, int key, fr_group **out)
{
    (void)color;
    (void)key;
    return fr_group_create_self(group->ctx, out);
}

static void self_destroy(fr_group *group)
{
    free(group);
}

static fr_status self_barrier(fr_group *group)
{
    (void)group;
    return FR_OK;
}

static fr_status self_allreduce(fr_group *group, fr_reduce op, int64_t *values,
                                int64_t n)
{
    (void)group;
    (void)op;
    (void)values;
    (void)n;
    return FR_OK;
}

static fr_status self_broadcast(fr_group *group, int root, void *data, int64_t bytes)
{
    (void)group;
    (void)root;
    (void)data;
    (void)bytes;
    return FR_OK;
}

static fr_status no_peer(fr_group *group)
{
    return FR_FAIL(group->ctx, FR_ERR_INTERNAL, "one rank has nobody to talk to");
}

static fr_status self_send(fr_group *group, int peer, int tag, const void *data,
                           int64_t bytes, fr_request *request)
{
    (void)peer;
    (void)tag;
    (void)data;
    (void)bytes;
    (void)request;
    return no_peer(group);
}

/* The signature is the interface's; a message buffer cannot be const here. */
static fr_status self_receive(fr_group *group, int peer, int tag, void *data,
                              int64_t bytes, fr_request *request)
{
    return self_send(group, peer, tag, data, bytes, request);
}

static fr_status self_wait(fr_group *group, fr_request *request)
{
    (void)request;
    return no_peer(group);
}

static void self_poll(fr_group *group)
{
    (void)group;
}

static const fr_group_ops SELF_OPS = {
    .split = self_split,
    .destroy = self_destroy,
    .barrier = self_barrier,
    .allreduce = self_allreduce,
    .broadcast = self_broadcast,
    .send_begin = self_send,
    .receive_begin = self_receive,
    .wait = self_wait,
    .poll = self_poll,
};

fr_status fr_group_create_self(fr_ctx *ctx, fr_group **out)
{
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    **out = (fr_group){.ops = &SELF_OPS, .ctx = ctx, .size = 1, .node_size = 1};
    return FR_OK;
}
