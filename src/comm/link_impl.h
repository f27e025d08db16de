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

/** What a kind keeps of a transfer begins with this, so that it can be used again: link_spares.c. */
typedef struct fr_link_spare {
    struct fr_link_spare *next;  /* of the spares */
    struct fr_link_spare *older; /* of all */
} fr_link_spare;

typedef struct fr_link_spares {
    fr_link_spare *first;
    fr_link_spare *all; /* that were ever made */
} fr_link_spares;

/** One of `bytes`, whatever it holds but for its fr_link_spare, which stays as it is. */
FR_MUST_CHECK fr_status fr_link_take(fr_ctx *ctx, fr_link_spares *spares, size_t bytes,
                                     fr_link_spare **out);
void fr_link_give_back(fr_link_spares *spares, fr_link_spare *one);
/** All that were ever made. */
void fr_link_free_spares(fr_link_spares *spares);

/** Make a link of a kind: link_host.c, link_staged.c, link_direct.c, link_nccl.c. link.c fills in the members of `base`, but for its ops. */
fr_status fr_link_open_host(const fr_link *base, const fr_link_params *params,
                            fr_link **out);
fr_status fr_link_open_staged(const fr_link *base, const fr_link_params *params,
                              fr_link **out);
fr_status fr_link_open_direct(const fr_link *base, const fr_link_params *params,
                              fr_link **out);
fr_status fr_link_open_nccl(const fr_link *base, const fr_link_params *params,
                            fr_link **out);

#endif
