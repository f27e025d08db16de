/*
 * How a communicator of NCCL begins and ends.
 *
 * It is made without blocking: NCCL works on it in threads of its own, and the host asks for its state. Where one rank fails, NCCL
 * tells the others late or never, so no rank waits longer than a limit, and what can fail at once is agreed on first. A first sum
 * follows, whose result is compared: what carries bytes between two GPUs is chosen by NCCL, and may be set up wrongly.
 *
 * A communicator that has failed is aborted at once, on every rank: else what it has on the GPU would never end, and with it the
 * device.
 */
#include "comm/link_nccl_impl.h"

#include "base/clock.h"
#include "base/integer.h"
#include "base/mem.h"
#include "comm/device_wait.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRIAL = 4099, CLOSE_SECONDS = 10, MEETING_SECONDS = 2, MS = 1000 };

void fr_nccl_abort(fr_nccl_link *l)
{
    fr_watch *watch = fr_group_watch(l->base.group);
    if (l->comm != NULL) {
        fr_watch_wait_begin(watch, "aborting", FR_ALL_RANKS);
        (void)l->nccl.abort(l->comm);
        fr_watch_wait_end(watch);
        l->comm = NULL;
    }
}

/* ---- waits with a limit ----------------------------------------------------------------------- */

typedef struct limited {
    fr_nccl_link *link;
    int64_t until_ms;
    int state;
    fr_transfer transfer; /* of the trial */
    fr_status status;
    bool is_done;
} limited;

static limited limit(fr_nccl_link *l, int64_t seconds)
{
    return (limited){.link = l,
                     .until_ms = fr_clock_ms() + seconds * MS,
                     .state = FR_NCCL_IN_PROGRESS,
                     .status = FR_OK};
}

static bool has_settled(void *argument)
{
    limited *w = argument;
    w->state = fr_nccl_state(w->link);
    return w->state != FR_NCCL_IN_PROGRESS || fr_clock_ms() >= w->until_ms;
}

static bool has_summed(void *argument)
{
    limited *w = argument;
    w->status = fr_link_test(&w->link->base, &w->transfer, &w->is_done);
    return w->is_done || w->status != FR_OK || fr_clock_ms() >= w->until_ms;
}

/* ---- the start -------------------------------------------------------------------------------- */

/* What NCCL did wrong at its start is a reason to do without it. */
static fr_status judge(fr_nccl_link *l, fr_status status)
{
    enum { TEXT_BYTES = 512 };
    char text[TEXT_BYTES];
    fr_ctx *ctx = l->base.ctx;
    if (status != FR_ERR_COMM) {
        return status;
    }
    (void)snprintf(text, sizeof text, "%s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s", text);
}

static fr_status say_late(fr_nccl_link *l, const char *what)
{
    l->is_late = true;
    return FR_FAIL(l->base.ctx, FR_ERR_UNSUPPORTED,
                   "NCCL failed: %s after %lld seconds; see whether NCCL's choice of "
                   "network is right (NCCL_DEBUG=INFO, NCCL_SOCKET_IFNAME)",
                   what, (long long)l->seconds);
}

/* Whether all ranks came as far; a rank that did not has nothing of NCCL left. */
static fr_status all_have(fr_nccl_link *l, fr_status mine)
{
    int64_t good = mine == FR_OK;
    if (mine != FR_OK) {
        fr_nccl_abort(l);
    }
    fr_status status = fr_group_allreduce(l->base.group, FR_MIN, &good, 1);
    if (mine != FR_OK || status != FR_OK) {
        return mine != FR_OK ? mine : status;
    }
    if (good == 0) {
        fr_nccl_abort(l);
        l->is_late = true;
        return FR_FAIL(l->base.ctx, FR_ERR_UNSUPPORTED,
                       "NCCL failed on another rank of this stage");
    }
    return FR_OK;
}

/* What one rank can do alone; rank 0 makes the number by which the others find it. */
static fr_status prepare(fr_nccl_link *l, fr_nccl_id *id)
{
    FR_TRY(fr_nccl_open(l->base.ctx, &l->nccl));
    FR_TRY(fr_lane_open(l->base.device, &l->lane));
    int result =
        fr_group_rank(l->base.group) == 0 ? l->nccl.get_id(id) : (int)FR_NCCL_SUCCESS;
    return result == FR_NCCL_SUCCESS
               ? FR_OK
               : judge(l, fr_nccl_fail(l->base.ctx, &l->nccl, NULL, "ncclGetUniqueId",
                                       result));
}

static const char INIT[] = "ncclCommInitRankConfig";

static fr_status begin_comm(fr_nccl_link *l, fr_nccl_id id)
{
    fr_nccl_config config = {.size = sizeof config,
                             .magic = FR_NCCL_MAGIC,
                             .version = FR_NCCL_CONFIG_VERSION,
                             .blocking = 0,
                             .cluster_size = FR_NCCL_UNDEFINED,
                             .min_blocks = FR_NCCL_UNDEFINED,
                             .max_blocks = FR_NCCL_UNDEFINED,
                             .network = NULL};
    int result = l->nccl.init(&l->comm, fr_group_size(l->base.group), id,
                              fr_group_rank(l->base.group), &config);
    if (result == FR_NCCL_SUCCESS || result == FR_NCCL_IN_PROGRESS) {
        return FR_OK;
    }
    fr_status status =
        judge(l, fr_nccl_fail(l->base.ctx, &l->nccl, l->comm, INIT, result));
    return status;
}

static fr_status await_comm(fr_nccl_link *l)
{
    limited w = limit(l, l->seconds);
    fr_group_wait_until(l->base.group, "connecting", has_settled, &w);
    if (w.state == FR_NCCL_IN_PROGRESS) {
        return say_late(l, "its communicator is not there");
    }
    l->is_late = w.state == FR_NCCL_REMOTE_ERROR;
    return w.state == FR_NCCL_SUCCESS
               ? FR_OK
               : judge(l, fr_nccl_fail(l->base.ctx, &l->nccl, l->comm, INIT, w.state));
}

/* ---- the first sum ---------------------------------------------------------------------------- */

/* Of both halves of a number. */
static int64_t term(int64_t factor, int64_t ones, int64_t i)
{
    return factor * (i * i + 1) + ones * ((int64_t)1 << 40);
}

static fr_status compare(fr_nccl_link *l, const int64_t *values)
{
    int64_t size = fr_group_size(l->base.group);
    int64_t wrong = 0;
    for (int64_t i = 0; i < TRIAL; i++) {
        wrong += values[i] != term(size * (size + 1) / 2, size, i);
    }
    return wrong == 0 ? FR_OK
                      : FR_FAIL(l->base.ctx, FR_ERR_UNSUPPORTED,
                                "NCCL failed: %lld of %d numbers of a first sum are "
                                "wrong; see how GPUs and network are set up for it",
                                (long long)wrong, (int)TRIAL);
}

/* Memory that a sum may still write is left to the device's end. */
static fr_status sum_once(fr_nccl_link *l, int64_t *values, fr_i64 **memory)
{
    fr_device *device = l->base.device;
    int64_t bytes = TRIAL * (int64_t)sizeof *values;
    limited w = limit(l, l->seconds);
    FR_TRY(fr_device_alloc(device, TRIAL, sizeof *values, memory));
    FR_TRY(fr_device_load(device, *memory, values, bytes));
    FR_TRY(fr_link_sum_begin(&l->base, *memory, TRIAL, &w.transfer));
    fr_i64 *busy = *memory;
    *memory = NULL;
    fr_group_wait_until(l->base.group, "reduction", has_summed, &w);
    FR_TRY(w.status);
    if (!w.is_done) {
        return say_late(l, "a first sum is not there");
    }
    *memory = busy;
    fr_device_get(device, values, busy, bytes);
    FR_TRY(fr_group_wait_device(l->base.group, device, fr_device_mark(device)));
    return compare(l, values);
}

static fr_status try_sum(fr_nccl_link *l)
{
    int64_t *values = NULL;
    fr_i64 *memory = NULL;
    FR_TRY(fr_alloc(l->base.ctx, TRIAL, sizeof *values, &values));
    for (int64_t i = 0; i < TRIAL; i++) {
        values[i] = term(fr_group_rank(l->base.group) + 1, 1, i);
    }
    fr_status status = judge(l, sum_once(l, values, &memory));
    l->is_late = l->is_late || (status != FR_OK && l->remote_ms != 0);
    fr_device_free(l->base.device, memory);
    free(values);
    return status;
}

fr_status fr_nccl_start(fr_nccl_link *l)
{
    fr_nccl_id id = {{0}};
    FR_TRY(all_have(l, prepare(l, &id)));
    FR_TRY(fr_group_broadcast(l->base.group, 0, &id, sizeof id));
    FR_TRY(all_have(l, begin_comm(l, id)));
    FR_TRY(all_have(l, await_comm(l)));
    return all_have(l, try_sum(l));
}

/* ---- the end ---------------------------------------------------------------------------------- */

static bool finalize(fr_nccl_link *l)
{
    limited w = limit(l, fr_min(l->seconds, CLOSE_SECONDS));
    w.state = l->nccl.finalize(l->comm);
    if (w.state == FR_NCCL_IN_PROGRESS || w.state == FR_NCCL_SUCCESS) {
        fr_group_wait_until(l->base.group, "closing", has_settled, &w);
    }
    return w.state == FR_NCCL_SUCCESS;
}

static bool has_met(void *argument)
{
    limited *w = argument;
    fr_nccl_link *l = w->link;
    w->status = fr_group_test(l->base.group, &l->meeting, &w->is_done);
    return w->is_done || w->status != FR_OK || fr_clock_ms() >= w->until_ms;
}

void fr_nccl_end_meeting(fr_nccl_link *l)
{
    limited w = limit(l, fr_min(l->seconds, MEETING_SECONDS));
    if (l->meeting.handle != NULL && !fr_group_is_abandoned(l->base.group)) {
        fr_group_wait_until(l->base.group, "closing", has_met, &w);
    }
}

/* Where this rank has failed, the others may never come. Results are complete by then, so what goes wrong is a warning. */
void fr_nccl_end(fr_nccl_link *l)
{
    bool is_orderly = l->comm != NULL && l->status == FR_OK && l->next == NULL &&
                      !fr_group_is_abandoned(l->base.group);
    if (is_orderly && finalize(l)) {
        (void)l->nccl.destroy(l->comm);
        l->comm = NULL;
    } else if (is_orderly) {
        fr_log_own(l->base.ctx, FR_LOG_WARN,
                   "NCCL did not end in order (another rank has left, or took longer "
                   "than %lld seconds), and is aborted; results were complete before",
                   (long long)fr_min(l->seconds, CLOSE_SECONDS));
    }
    fr_nccl_abort(l);
}
