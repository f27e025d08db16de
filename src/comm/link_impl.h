/*
 * link_impl.h - what link.c and the kinds of link share; callers include link.h only.
 *
 * A kind embeds fr_link as its first member and fills in the operations.
 */
#ifndef FR_COMM_LINK_IMPL_H
#define FR_COMM_LINK_IMPL_H

#include "comm/link.h"

/** Operations of a kind; all are required. link.c has checked the arguments: the peer is another rank, and there is something
 * to sum, over several ranks. A handle that is set to NULL is a transfer that is done. */
typedef struct fr_link_ops {
    fr_status (*send_begin)(fr_link *link, int peer, fr_tag tag, const void *data,
                            int64_t bytes, void **handle);
    fr_status (*receive_begin)(fr_link *link, int peer, fr_tag tag, void *data,
                               int64_t bytes, void **handle);
    fr_status (*sum_begin)(fr_link *link, fr_i64 *values, int64_t n, void **handle);
    /** Called with a live handle; leaves it released whatever the result. */
    fr_status (*join)(fr_link *link, void *handle);
    /** Called with a live handle; released where it is done or fails. */
    fr_status (*test)(fr_link *link, void *handle, bool *is_done);
    void (*close)(fr_link *link);
} fr_link_ops;

struct fr_link {
    const fr_link_ops *ops;
    fr_ctx *ctx;       /* borrowed */
    fr_group *group;   /* borrowed */
    fr_device *device; /* borrowed */
};

/** Make a link of a kind: link_host.c, link_staged.c, link_direct.c. link.c fills in the members of `base`, but for its ops. */
fr_status fr_link_open_host(const fr_link *base, const fr_link_params *params,
                            fr_link **out);
fr_status fr_link_open_staged(const fr_link *base, const fr_link_params *params,
                              fr_link **out);
fr_status fr_link_open_direct(const fr_link *base, const fr_link_params *params,
                              fr_link **out);

#endif
