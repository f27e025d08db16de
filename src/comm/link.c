/* What all kinds of link share: checks of arguments, and transfers of which nothing is under way. */
#include "comm/link_impl.h"

fr_link_kind fr_link_kind_for(const fr_device *device)
{
    return fr_device_in_host_memory(device) ? FR_LINK_HOST : FR_LINK_STAGED;
}

fr_link_kind fr_link_kind_of_sums(fr_link_kind messages)
{
    return messages == FR_LINK_DIRECT ? FR_LINK_STAGED : messages;
}

int64_t fr_link_bytes(fr_link_kind kind, int n_streams, int64_t piece_bytes)
{
    int64_t piece = piece_bytes > 0 ? piece_bytes : FR_LINK_PIECE_BYTES;
    return kind == FR_LINK_STAGED ? FR_LINK_BLOCKS * (int64_t)n_streams * piece : 0;
}

fr_status fr_link_open(fr_ctx *ctx, const fr_link_params *params, fr_link **out)
{
    fr_link base = {.ctx = ctx, .group = params->group, .device = params->device};
    *out = NULL;
    if (params->n_streams < 0 || params->piece_bytes < 0 ||
        params->piece_bytes % (int64_t)sizeof(int64_t) != 0) {
        return FR_FAIL(ctx, FR_ERR_INTERNAL,
                       "a link of %d streams with pieces of %lld bytes; a piece is a "
                       "multiple of 8 bytes",
                       params->n_streams, (long long)params->piece_bytes);
    }
    switch (params->kind) {
    case FR_LINK_STAGED:
        return fr_link_open_staged(&base, params, out);
    case FR_LINK_DIRECT:
        return fr_link_open_direct(&base, params, out);
    case FR_LINK_NCCL:
        return fr_link_open_nccl(&base, params, out);
    case FR_LINK_HOST:
    default:
        return fr_link_open_host(&base, params, out);
    }
}

void fr_link_close(fr_link **link)
{
    if (*link != NULL) {
        (*link)->ops->close(*link);
        *link = NULL;
    }
}

static fr_status check_message(const fr_link *link, int peer, int64_t bytes)
{
    int size = fr_group_size(link->group);
    int rank = fr_group_rank(link->group);
    if (peer < 0 || peer >= size || peer == rank || bytes < 0) {
        return FR_FAIL(link->ctx, FR_ERR_INTERNAL,
                       "transfer of %lld bytes between rank %d and rank %d of %d; the "
                       "peer must be another rank of the group",
                       (long long)bytes, rank, peer, size);
    }
    return FR_OK;
}

fr_status fr_link_send_begin(fr_link *link, int peer, fr_tag tag, const void *data,
                             int64_t bytes, fr_transfer *transfer)
{
    transfer->handle = NULL;
    FR_TRY(check_message(link, peer, bytes));
    return link->ops->send_begin(link, peer, tag, data, bytes, &transfer->handle);
}

fr_status fr_link_receive_begin(fr_link *link, int peer, fr_tag tag, void *data,
                                int64_t bytes, fr_transfer *transfer)
{
    transfer->handle = NULL;
    FR_TRY(check_message(link, peer, bytes));
    return link->ops->receive_begin(link, peer, tag, data, bytes, &transfer->handle);
}

fr_status fr_link_sum_begin(fr_link *link, fr_i64 *values, int64_t n,
                            fr_transfer *transfer)
{
    transfer->handle = NULL;
    if (n < 0 || n > INT32_MAX) {
        return FR_FAIL(link->ctx, FR_ERR_INTERNAL,
                       "sum of %lld values; allowed are 0 to %d", (long long)n,
                       (int)INT32_MAX);
    }
    return fr_group_size(link->group) == 1 || n == 0
               ? FR_OK
               : link->ops->sum_begin(link, values, n, &transfer->handle);
}

/* The transfer is empty before the wait, so that a failed one cannot be joined twice. */
fr_status fr_link_join(fr_link *link, fr_transfer *transfer)
{
    void *handle = transfer->handle;
    transfer->handle = NULL;
    return handle == NULL ? FR_OK : link->ops->join(link, handle);
}

fr_status fr_link_test(fr_link *link, fr_transfer *transfer, bool *is_done)
{
    *is_done = true;
    if (transfer->handle == NULL) {
        return FR_OK;
    }
    fr_status status = link->ops->test(link, transfer->handle, is_done);
    if (*is_done || status != FR_OK) {
        transfer->handle = NULL;
    }
    return status;
}
