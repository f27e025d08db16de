/* The kind of link whose device works in the host's memory: a transfer is a request of the group, and its handle is the
 * request's. */
#include "comm/link_impl.h"

#include "base/mem.h"

#include <stdlib.h>

static fr_status host_send_begin(fr_link *link, int peer, fr_tag tag, const void *data,
                                 int64_t bytes, void **handle)
{
    fr_request request;
    FR_TRY(fr_group_send_begin(link->group, peer, tag, data, bytes, &request));
    *handle = request.handle;
    return FR_OK;
}

static fr_status host_receive_begin(fr_link *link, int peer, fr_tag tag, void *data,
                                    int64_t bytes, void **handle)
{
    fr_request request;
    FR_TRY(fr_group_receive_begin(link->group, peer, tag, data, bytes, &request));
    *handle = request.handle;
    return FR_OK;
}

static fr_status host_sum_begin(fr_link *link, fr_i64 *values, int64_t n, void **handle)
{
    fr_request request;
    FR_TRY(fr_group_allreduce_begin(link->group, FR_SUM, (int64_t *)(void *)values, n,
                                    &request));
    *handle = request.handle;
    return FR_OK;
}

static fr_status host_join(fr_link *link, void *handle)
{
    fr_request request = {handle};
    return fr_group_wait(link->group, &request);
}

static fr_status host_test(fr_link *link, void *handle, bool *is_done)
{
    fr_request request = {handle};
    return fr_group_test(link->group, &request, is_done);
}

static void host_close(fr_link *link)
{
    free(link);
}

static const fr_link_ops HOST_OPS = {
    .send_begin = host_send_begin,
    .receive_begin = host_receive_begin,
    .sum_begin = host_sum_begin,
    .join = host_join,
    .test = host_test,
    .close = host_close,
};

fr_status fr_link_open_host(const fr_link *base, const fr_link_params *params,
                            fr_link **out)
{
    (void)params;
    FR_TRY(fr_alloc(base->ctx, 1, sizeof **out, out));
    **out = *base;
    (*out)->ops = &HOST_OPS;
    return FR_OK;
}
