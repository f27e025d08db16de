/*
 * link_nccl_impl.h - a link over NCCL, shared by link_nccl.c (its sums), link_nccl_start.c (how it begins and ends) and
 * link_nccl_settle.c (whether a run has them).
 */
#ifndef FR_COMM_LINK_NCCL_IMPL_H
#define FR_COMM_LINK_NCCL_IMPL_H

#include "comm/link_impl.h"
#include "comm/nccl.h"
#include "device/lane.h"

typedef struct fr_nccl_sum {
    fr_link_spare spare; /* first */
    fr_i64 *values;
    int64_t n;
    fr_mark mark; /* behind the work before begin */
    bool is_done;
    struct fr_nccl_sum *next; /* of the queue */
} fr_nccl_sum;

/* Of the oldest sum; the others wait behind it. */
typedef enum fr_nccl_phase {
    FR_NCCL_COMPUTING, /* the device has not reached it */
    FR_NCCL_MEETING,   /* some other rank's device has not */
    FR_NCCL_POSTING,   /* NCCL has not put it on the lane yet */
    FR_NCCL_SUMMING
} fr_nccl_phase;

typedef struct fr_nccl_link {
    fr_link base; /* first */
    fr_advance entry;
    fr_nccl nccl;
    fr_nccl_comm comm; /* NULL: none, or it was aborted */
    fr_lane *lane;
    int64_t seconds;  /* that its start may take */
    fr_status status; /* of what failed while it was polled */
    bool is_late;     /* its start failed because another rank did not come */
    bool is_advancing;
    fr_nccl_phase phase;
    int64_t met[2];     /* n and -n, of which the meeting takes the maximum */
    fr_request meeting; /* of all ranks of the group */
    int64_t
        remote_ms; /* when NCCL first said that another rank is gone; 0: it has not */
    fr_nccl_sum *next; /* the oldest; NULL: none */
    fr_nccl_sum *last;
    fr_link_spares spares;
} fr_nccl_link;

static inline fr_nccl_link *fr_nccl_link_of(fr_link *base)
{
    return (fr_nccl_link *)(void *)base;
}

/** A link without a communicator, whose start follows. Local. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_nccl_link_create(fr_ctx *ctx, const fr_link_params *params,
                                            fr_nccl_link **out);

/** What NCCL says of the communicator: FR_NCCL_SUCCESS, FR_NCCL_IN_PROGRESS or an error. */
int fr_nccl_state(const fr_nccl_link *l);

/** Collective over the group: open the library, make the communicator, and sum once over it. A rank that fails alone leaves no
 * other waiting longer than `seconds`. On failure there is no communicator, on any rank, and those that did not fail by themselves
 * are late. FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY, FR_ERR_DEVICE,
 * FR_ERR_COMM. */
FR_MUST_CHECK fr_status fr_nccl_start(fr_nccl_link *l);

/** The end of the communicator, if there is one: in order where nothing failed and all ranks come in time, else by aborting it. */
void fr_nccl_end(fr_nccl_link *l);
/** Of a link whose sums have failed: the meeting that is under way, where the others come to it within a short time. */
void fr_nccl_end_meeting(fr_nccl_link *l);
/** At once, so that nothing of it goes on on the GPU. The others' part of it fails. */
void fr_nccl_abort(fr_nccl_link *l);

#endif
