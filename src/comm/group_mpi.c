#define _POSIX_C_SOURCE 200809L
#include "comm/group_mpi_impl.h"

#include "base/mem.h"

#include <stdlib.h>

/*
 * Every wait is a loop of MPI_Test (finish): between two tests the advance list and the progress function of the world run
 * and the core is yielded, which a wait inside MPI would not do. Blocking collectives are therefore begun as nonblocking ones.
 * A failed call of any group marks the world as broken, and so does a rank that abandons it. From then on no destroy
 * calls MPI, because freeing and finalising wait for all ranks. Errors of MPI are returned, not fatal.
 */

/* Counts of MPI are int: a message longer than one block is one element of a datatype made of blocks and a rest, and a
 * longer reduction is done in pieces (of 32 MiB: one piece's latency does not count). */
enum { BLOCK_BYTES = 1 << 20, PIECE_VALUES = 1 << 22 };

fr_status fr_mpi_fail(fr_ctx *ctx, const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    (void)MPI_Error_string(code, text, &length);
    return FR_FAIL(ctx, FR_ERR_COMM,
                   "%s failed: %s; see whether every rank and its network are alive",
                   what, text);
}

fr_status fr_mpi_check(fr_mpi_group *group, const char *what, int code)
{
    if (code == MPI_SUCCESS) {
        return FR_OK;
    }
    group->world->is_broken = true;
    return fr_mpi_fail(group->base.ctx, what, code);
}

/* Requests are reused, so that the steps of a run allocate none. MPI needs the request at a fixed address until it
 * completes, hence no array that grows. */
static fr_status take_pending(fr_mpi_group *group, int peer, int64_t wanted_bytes,
                              fr_mpi_pending **out)
{
    *out = group->spares;
    if (*out != NULL) {
        group->spares = (*out)->next;
    } else {
        FR_TRY(fr_alloc(group->base.ctx, 1, sizeof **out, out));
        (*out)->older = group->all;
        group->all = *out;
    }
    **out = (fr_mpi_pending){.request = MPI_REQUEST_NULL,
                             .wanted_bytes = wanted_bytes,
                             .peer = peer,
                             .older = (*out)->older};
    return FR_OK;
}

static void return_pending(fr_mpi_group *group, fr_mpi_pending *used)
{
    used->next = group->spares;
    group->spares = used;
}

/* The watch names ranks of the world. Translation costs a few calls, so it is done only for a wait that has become
 * long. If it fails, the number in this group must do. */
static int world_rank(const fr_mpi_group *group, int rank)
{
    MPI_Group own = MPI_GROUP_NULL;
    MPI_Group all = MPI_GROUP_NULL;
    int out = rank;
    if (rank == FR_ALL_RANKS || group->world == group ||
        MPI_Comm_group(group->comm, &own) != MPI_SUCCESS) {
        return rank;
    }
    if (MPI_Comm_group(group->world->comm, &all) == MPI_SUCCESS) {
        (void)MPI_Group_translate_ranks(own, 1, &rank, all, &out);
        (void)MPI_Group_free(&all);
    }
    (void)MPI_Group_free(&own);
    return out;
}

static int mpi_world_rank(fr_group *base, int rank)
{
    return world_rank(fr_mpi_from_base(base), rank);
}

/* Wait for a request, and yield the core between two tests: ranks may share cores with each other and with threads
 * that compute, and a wait inside MPI would spin for its whole time slice. `what` and `peer` (of this group, or
 * FR_ALL_RANKS) are for the watch. */
static int finish(fr_mpi_group *group, MPI_Request *request, MPI_Status *result,
                  const char *what, int peer)
{
    int is_done = 0;
    int turns = 0;
    int code = MPI_Test(request, &is_done, result);
    while (code == MPI_SUCCESS && !is_done) {
        fr_group_advance(&group->base);
        fr_group_progress(&group->base);
        if (fr_group_turn(&turns)) {
            fr_watch_wait_begin(fr_group_watch(&group->base), what,
                                world_rank(group, peer));
        }
        code = MPI_Test(request, &is_done, result);
    }
    if (fr_group_is_watched(turns)) {
        fr_watch_wait_end(fr_group_watch(&group->base));
    }
    return code;
}

/* bytes / BLOCK_BYTES fits an int up to 2^51 bytes. The type describes blocks followed by the rest, in one
 * element. */
static int make_long_type(int64_t bytes, MPI_Datatype *out)
{
    int counts[2] = {(int)(bytes / BLOCK_BYTES), (int)(bytes % BLOCK_BYTES)};
    MPI_Aint offsets[2] = {0, (MPI_Aint)(bytes - bytes % BLOCK_BYTES)};
    MPI_Datatype types[2] = {MPI_DATATYPE_NULL, MPI_BYTE};
    int code = MPI_Type_contiguous(BLOCK_BYTES, MPI_BYTE, &types[0]);
    if (code == MPI_SUCCESS) {
        code = MPI_Type_create_struct(2, counts, offsets, types, out);
        (void)MPI_Type_free(&types[0]);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Type_commit(out);
    }
    return code;
}

/* `count` elements of `type` cover `bytes`. Call end_layout once the message has begun: MPI keeps a freed type
 * until its messages are complete. */
static int begin_layout(int64_t bytes, MPI_Datatype *type, int *count)
{
    if (bytes <= BLOCK_BYTES) {
        *type = MPI_BYTE;
        *count = (int)bytes;
        return MPI_SUCCESS;
    }
    *count = 1;
    return make_long_type(bytes, type);
}

static void end_layout(MPI_Datatype *type)
{
    if (*type != MPI_BYTE && *type != MPI_DATATYPE_NULL) {
        (void)MPI_Type_free(type);
    }
}

static fr_status mpi_barrier(fr_group *base)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Ibarrier(group->comm, &request);
    if (code == MPI_SUCCESS) {
        code = finish(group, &request, MPI_STATUS_IGNORE, "barrier", FR_ALL_RANKS);
    }
    return fr_mpi_check(group, "barrier", code);
}

static MPI_Op op_of(fr_reduce op)
{
    return op == FR_SUM ? MPI_SUM : op == FR_MIN ? MPI_MIN : MPI_MAX;
}

/* All ranks pass the same n, so they do the same pieces in the same order. */
static fr_status mpi_allreduce(fr_group *base, fr_reduce op, int64_t *values, int64_t n)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    int code = MPI_SUCCESS;
    for (int64_t done = 0; done < n && code == MPI_SUCCESS; done += PIECE_VALUES) {
        int64_t rest = n - done;
        int count = (int)(rest < PIECE_VALUES ? rest : PIECE_VALUES);
        MPI_Request request = MPI_REQUEST_NULL;
        code = MPI_Iallreduce(MPI_IN_PLACE, values + done, count, MPI_INT64_T,
                              op_of(op), group->comm, &request);
        if (code == MPI_SUCCESS) {
            code =
                finish(group, &request, MPI_STATUS_IGNORE, "reduction", FR_ALL_RANKS);
        }
    }
    return fr_mpi_check(group, "reduction over the ranks", code);
}

/* The root waits for all ranks, each other rank for the root: the watch must blame the right one. */
static fr_status mpi_broadcast(fr_group *base, int root, void *data, int64_t bytes)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_Request request = MPI_REQUEST_NULL;
    int count = 0;
    int code = begin_layout(bytes, &type, &count);
    if (code == MPI_SUCCESS) {
        code = MPI_Ibcast(data, count, type, root, group->comm, &request);
    }
    if (code == MPI_SUCCESS) {
        code = finish(group, &request, MPI_STATUS_IGNORE, "broadcast",
                      root == base->rank ? FR_ALL_RANKS : root);
    }
    end_layout(&type);
    return fr_mpi_check(group, "broadcast", code);
}

/* wanted_bytes is -1: a send has no length to check. */
static fr_status mpi_send_begin(fr_group *base, int peer, fr_tag tag, const void *data,
                                int64_t bytes, fr_request *request)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    MPI_Datatype type = MPI_DATATYPE_NULL;
    fr_mpi_pending *used = NULL;
    int count = 0;
    FR_TRY(take_pending(group, peer, -1, &used));
    int code = begin_layout(bytes, &type, &count);
    if (code == MPI_SUCCESS) {
        code =
            MPI_Isend(data, count, type, peer, (int)tag, group->comm, &used->request);
    }
    end_layout(&type);
    if (code != MPI_SUCCESS) {
        return_pending(group, used);
        return fr_mpi_check(group, "send", code);
    }
    request->handle = used;
    return FR_OK;
}

/* MPI takes a shorter message without an error, so the wanted length is kept and compared in `release`. */
static fr_status mpi_receive_begin(fr_group *base, int peer, fr_tag tag, void *data,
                                   int64_t bytes, fr_request *request)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    MPI_Datatype type = MPI_DATATYPE_NULL;
    fr_mpi_pending *used = NULL;
    int count = 0;
    FR_TRY(take_pending(group, peer, bytes, &used));
    int code = begin_layout(bytes, &type, &count);
    if (code == MPI_SUCCESS) {
        code =
            MPI_Irecv(data, count, type, peer, (int)tag, group->comm, &used->request);
    }
    end_layout(&type);
    if (code != MPI_SUCCESS) {
        return_pending(group, used);
        return fr_mpi_check(group, "receive", code);
    }
    request->handle = used;
    return FR_OK;
}

/* One word each: the watch shows it, and messages begin with it. */
static const char *kind_of(const fr_mpi_pending *used)
{
    return used->peer == FR_ALL_RANKS ? "reduction"
           : used->wanted_bytes >= 0  ? "receive"
                                      : "send";
}

/* After MPI has completed a request with `code` and `result`. */
static fr_status release(fr_mpi_group *group, fr_mpi_pending *used, int code,
                         MPI_Status *result)
{
    const char *kind = kind_of(used);
    int64_t wanted = used->wanted_bytes;
    MPI_Count got = 0;
    return_pending(group, used);
    if (code == MPI_SUCCESS && wanted >= 0) {
        code = MPI_Get_elements_x(result, MPI_BYTE, &got);
    }
    FR_TRY(fr_mpi_check(group, kind, code));
    if (wanted >= 0 && got != wanted) {
        group->world->is_broken = true;
        return FR_FAIL(group->base.ctx, FR_ERR_COMM,
                       "rank %d sent %lld bytes with tag %d where rank %d expects "
                       "%lld; start every rank from the same program and config",
                       result->MPI_SOURCE, (long long)got, result->MPI_TAG,
                       group->base.rank, (long long)wanted);
    }
    return FR_OK;
}

static fr_status mpi_wait(fr_group *base, void *handle)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    fr_mpi_pending *used = handle;
    MPI_Status result;
    int code = finish(group, &used->request, &result, kind_of(used), used->peer);
    return release(group, used, code, &result);
}

/* A failed call counts as done: the request is released, and its error is returned. */
static fr_status mpi_test(fr_group *base, void *handle, bool *is_done)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    fr_mpi_pending *used = handle;
    MPI_Status result;
    int done = 0;
    int code = MPI_Test(&used->request, &done, &result);
    *is_done = done != 0 || code != MPI_SUCCESS;
    return *is_done ? release(group, used, code, &result) : FR_OK;
}

/* In one piece, since n fits an int here (checked in group.c). */
static fr_status mpi_allreduce_begin(fr_group *base, fr_reduce op, int64_t *values,
                                     int64_t n, fr_request *request)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    fr_mpi_pending *used = NULL;
    FR_TRY(take_pending(group, FR_ALL_RANKS, -1, &used));
    int code = MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_INT64_T, op_of(op),
                              group->comm, &used->request);
    if (code != MPI_SUCCESS) {
        return_pending(group, used);
        return fr_mpi_check(group, "reduction over the ranks", code);
    }
    request->handle = used;
    return FR_OK;
}

/* A probe advances all messages unless it finds one, so probe where no message ever arrives: nobody sends over
 * MPI_COMM_SELF. */
static void mpi_poll(fr_group *base)
{
    (void)base;
    int found = 0;
    (void)MPI_Iprobe(0, (int)FR_TAG_POLL, MPI_COMM_SELF, &found, MPI_STATUS_IGNORE);
}

/* The watch must know of this wait: freeing and finalising are collective, and a rank that has died would hold up
 * the others here. */
static void mpi_destroy(fr_group *base)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    bool is_broken = group->world->is_broken || fr_group_is_abandoned(base);
    bool finalises = group->owns_mpi;
    fr_watch *watch = fr_group_watch(base);
    while (group->all !=
           NULL) { /* what MPI has under way, it goes on with without them */
        fr_mpi_pending *older = group->all->older;
        free(group->all);
        group->all = older;
    }
    fr_watch_wait_begin(watch, finalises ? "finalising" : "freeing", FR_ALL_RANKS);
    /* With a rank lost, finalising would wait for it for ever. A process that ends without
     * finalising makes the launcher end the others. */
    if (!is_broken) {
        (void)MPI_Comm_free(&group->comm);
    }
    free(group);
    if (finalises && !is_broken) {
        (void)MPI_Finalize();
    }
    fr_watch_wait_end(watch);
}

/* In the order of fr_group_ops. */
const fr_group_ops FR_MPI_OPS = {
    .split = fr_mpi_split,
    .split_trial = fr_mpi_split_trial,
    .takes_cuda = fr_mpi_takes_cuda,
    .destroy = mpi_destroy,
    .barrier = mpi_barrier,
    .allreduce = mpi_allreduce,
    .allreduce_begin = mpi_allreduce_begin,
    .broadcast = mpi_broadcast,
    .send_begin = mpi_send_begin,
    .receive_begin = mpi_receive_begin,
    .wait = mpi_wait,
    .test = mpi_test,
    .poll = mpi_poll,
    .world_rank = mpi_world_rank,
};
