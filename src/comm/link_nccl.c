/*
 * The kind of link that sums over NCCL, from GPU to GPU.
 *
 * NCCL's part of a sum is a kernel that spins on the GPU until all ranks have theirs there. CUDA promises nobody that two kernels
 * run at once, so one that waits for a rank whose device computes yet may hold up this rank's own work, on which that rank may
 * wait. So NCCL is asked only when nobody has to be waited for:
 *
 *   COMPUTING  the mark behind the work before begin has not passed
 *   MEETING    a reduction of two numbers over the group: every rank has come as far, and sums as many values
 *   POSTING    NCCL was asked, and has not put its part on the lane yet: it never blocks
 *   SUMMING    on the lane, a stream of its own; done when the lane's mark passes
 *
 * All waiting for other ranks is thus a wait for MPI, in which the watch sees who is missing, and what is on the GPU is short.
 * The sums of a link go one after the other in the order of begin: at no time two of its operations are under way.
 *
 * `advance` takes each step that is possible and never waits. It runs at begin, test and join, and from the world's advance list.
 */
#include "comm/link_nccl_impl.h"

#include "base/clock.h"
#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>

/* Another rank's failure may be noticed by NCCL here before that rank has said what it was. It ends this run with the right
 * message, so this one holds its own back for so long. */
enum { REMOTE_SECONDS = 10, MS = 1000 };

static const char FUNCTION[] = "ncclAllReduce";

int fr_nccl_state(const fr_nccl_link *l)
{
    int state = FR_NCCL_SUCCESS;
    int result = l->nccl.state(l->comm, &state);
    return result != FR_NCCL_SUCCESS ? result : state;
}

/* @param[out] is_there  NCCL is done with what it was asked, as far as the host can tell */
static fr_status ask_state(fr_nccl_link *l, bool *is_there)
{
    int state = fr_nccl_state(l);
    *is_there = state == FR_NCCL_SUCCESS;
    if (state == FR_NCCL_REMOTE_ERROR) {
        int64_t now = fr_clock_ms();
        l->remote_ms = l->remote_ms != 0 ? l->remote_ms : now;
        state = now - l->remote_ms < fr_min(l->seconds, REMOTE_SECONDS) * MS
                    ? FR_NCCL_IN_PROGRESS
                    : state;
    }
    return state == FR_NCCL_SUCCESS || state == FR_NCCL_IN_PROGRESS
               ? FR_OK
               : fr_nccl_fail(l->base.ctx, &l->nccl, l->comm, FUNCTION, state);
}

/* Marks of a device that has failed have passed, but its memory must not be touched then. */
static fr_status begin_meeting(fr_nccl_link *l)
{
    FR_TRY(fr_device_check(l->base.device));
    l->phase = FR_NCCL_MEETING;
    l->met[0] = l->next->n;
    l->met[1] = -l->next->n;
    return fr_group_allreduce_begin(l->base.group, FR_MAX, l->met, 2, &l->meeting);
}

static fr_status begin_posting(fr_nccl_link *l)
{
    const fr_nccl_sum *s = l->next;
    if (l->met[0] != s->n || l->met[1] != -s->n) {
        return FR_FAIL(l->base.ctx, FR_ERR_COMM,
                       "a sum of %lld values meets one of %lld to %lld; start every "
                       "rank from the same program and config",
                       (long long)s->n, -(long long)l->met[1], (long long)l->met[0]);
    }
    l->phase = FR_NCCL_POSTING;
    int result = l->nccl.all_reduce(s->values, s->values, (size_t)s->n, FR_NCCL_INT64,
                                    FR_NCCL_SUM, l->comm, fr_lane_stream(l->lane));
    return result == FR_NCCL_SUCCESS || result == FR_NCCL_IN_PROGRESS
               ? FR_OK
               : fr_nccl_fail(l->base.ctx, &l->nccl, l->comm, FUNCTION, result);
}

static void end_sum(fr_nccl_link *l)
{
    l->next->is_done = true;
    l->next = l->next->next;
    l->phase = FR_NCCL_COMPUTING;
}

/* The step that the oldest sum can take now, if there is one. */
static fr_status move(fr_nccl_link *l, bool *moved)
{
    switch (l->phase) {
    case FR_NCCL_COMPUTING:
        *moved = fr_device_passed(l->base.device, l->next->mark);
        return *moved ? begin_meeting(l) : FR_OK;
    case FR_NCCL_MEETING:
        FR_TRY(fr_group_test(l->base.group, &l->meeting, moved));
        return *moved ? begin_posting(l) : FR_OK;
    case FR_NCCL_POSTING:
        FR_TRY(ask_state(l, moved));
        if (*moved) {
            fr_lane_mark(l->lane);
            l->phase = FR_NCCL_SUMMING;
        }
        return FR_OK;
    case FR_NCCL_SUMMING:
    default:
        FR_TRY(ask_state(l, moved));
        *moved = *moved && fr_lane_passed(l->lane);
        if (*moved) {
            FR_TRY(fr_device_check(l->base.device));
            end_sum(l);
        }
        return FR_OK;
    }
}

static bool is_stopped(const fr_nccl_link *l)
{
    return l->status != FR_OK || l->comm == NULL ||
           fr_group_is_abandoned(l->base.group);
}

/* Not within itself, should a question to the device poll. What stands on the GPU when this rank fails would never end there, and
 * whatever frees the device's memory waits for the GPU. */
static void advance(void *argument)
{
    fr_nccl_link *l = argument;
    bool moved = !l->is_advancing;
    if (l->is_advancing) {
        return;
    }
    l->is_advancing = true;
    while (moved && !is_stopped(l) && l->next != NULL) {
        l->status = move(l, &moved);
    }
    if (is_stopped(l)) {
        fr_nccl_abort(l);
    }
    l->is_advancing = false;
}

/* ---- transfers -------------------------------------------------------------------------------- */

static fr_status nccl_sum_begin(fr_link *base, fr_i64 *values, int64_t n, void **handle)
{
    fr_nccl_link *l = fr_nccl_link_of(base);
    fr_link_spare *spare = NULL;
    FR_TRY(l->status);
    FR_TRY(fr_link_take(base->ctx, &l->spares, sizeof(fr_nccl_sum), &spare));
    fr_nccl_sum *s = (fr_nccl_sum *)(void *)spare;
    *s = (fr_nccl_sum){.spare = *spare,
                       .values = values,
                       .n = n,
                       .mark = fr_device_mark(base->device)};
    if (l->next == NULL) {
        l->next = s;
    } else {
        l->last->next = s;
    }
    l->last = s;
    advance(l);
    *handle = l->status == FR_OK ? s : NULL;
    return l->status;
}

static fr_status refuse_message(const fr_link *base)
{
    return FR_FAIL(
        base->ctx, FR_ERR_INTERNAL,
        "message over a link of NCCL, which sums alone; open one of the kind "
        "that fr_link_settle says");
}

static fr_status nccl_send_begin(fr_link *base, int peer, fr_tag tag, const void *data,
                                 int64_t bytes, void **handle)
{
    (void)peer;
    (void)tag;
    (void)data;
    (void)bytes;
    (void)handle;
    return refuse_message(base);
}

static fr_status nccl_receive_begin(fr_link *base, int peer, fr_tag tag, void *data,
                                    int64_t bytes, void **handle)
{
    (void)peer;
    (void)tag;
    (void)data;
    (void)bytes;
    (void)handle;
    return refuse_message(base);
}

/* One that failed stays where the queue may name it, until the link is closed. */
static bool release_done(fr_nccl_link *l, fr_nccl_sum *s)
{
    if (s->is_done) {
        fr_link_give_back(&l->spares, &s->spare);
    }
    return s->is_done;
}

static fr_status nccl_test(fr_link *base, void *handle, bool *is_done)
{
    fr_nccl_link *l = fr_nccl_link_of(base);
    advance(l);
    *is_done = release_done(l, handle);
    return *is_done ? FR_OK : l->status;
}

typedef struct joined {
    fr_nccl_link *link;
    fr_nccl_sum *sum;
} joined;

/* It waits for the oldest sum, be it itself or one before it. */
static const char *waits_for(void *argument, int *peer)
{
    joined *j = argument;
    advance(j->link);
    *peer = FR_ALL_RANKS;
    if (j->sum->is_done || is_stopped(j->link)) {
        return NULL;
    }
    return j->link->phase == FR_NCCL_COMPUTING ? "device" : "reduction";
}

static fr_status nccl_join(fr_link *base, void *handle)
{
    fr_nccl_link *l = fr_nccl_link_of(base);
    joined j = {l, handle};
    fr_group_wait_for(base->group, waits_for, &j);
    if (release_done(l, j.sum)) {
        return FR_OK;
    }
    return l->status != FR_OK
               ? l->status
               : FR_FAIL(base->ctx, FR_ERR_COMM,
                         "this rank abandoned the others in the middle of a reduction");
}

/* ---- the link --------------------------------------------------------------------------------- */

/* Where a meeting is still under way, MPI may write its two numbers yet: so the link's own memory is left behind. */
static void nccl_close(fr_link *base)
{
    fr_nccl_link *l = fr_nccl_link_of(base);
    fr_nccl_end(l);
    fr_nccl_end_meeting(l);
    fr_group_remove_advance(base->group, &l->entry);
    fr_lane_close(&l->lane);
    fr_nccl_close(&l->nccl);
    fr_link_free_spares(&l->spares);
    if (l->meeting.handle == NULL) {
        free(l);
    }
}

static const fr_link_ops NCCL_OPS = {
    .send_begin = nccl_send_begin,
    .receive_begin = nccl_receive_begin,
    .sum_begin = nccl_sum_begin,
    .join = nccl_join,
    .test = nccl_test,
    .close = nccl_close,
};

fr_status fr_nccl_link_create(fr_ctx *ctx, const fr_link_params *params,
                              fr_nccl_link **out)
{
    fr_nccl_link *l = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *l, &l));
    l->base = (fr_link){
        .ops = &NCCL_OPS, .ctx = ctx, .group = params->group, .device = params->device};
    l->entry = (fr_advance){.advance = advance, .argument = l};
    l->seconds = params->seconds > 0 ? params->seconds : FR_LINK_START_SECONDS;
    fr_group_add_advance(params->group, &l->entry);
    *out = l;
    return FR_OK;
}

fr_status fr_link_open_nccl(const fr_link *base, const fr_link_params *params,
                            fr_link **out)
{
    fr_nccl_link *l = NULL;
    FR_TRY(fr_nccl_link_create(base->ctx, params, &l));
    l->status = fr_nccl_start(l);
    if (l->status != FR_OK) {
        fr_status status = l->status;
        nccl_close(&l->base);
        return status;
    }
    *out = &l->base;
    return FR_OK;
}
