/* Groups over MPI with host buffers; the only file that includes mpi.h. */
#define _POSIX_C_SOURCE 200809L
#include "base/mem.h"
#include "comm/group_impl.h"

#include <mpi.h>
#include <sched.h>
#include <stdlib.h>

/* Messages are cut into pieces that an int count can name. */
static const int64_t PIECE_BYTES = 1 << 30;

typedef struct mpi_data {
    MPI_Comm comm;
    bool finalises; /* the world group ends MPI */
} mpi_data;

/* All pieces of one message. */
typedef struct mpi_message {
    int n_pieces;
    MPI_Request pieces[];
} mpi_message;

static MPI_Comm comm_of(const fr_group *group)
{
    const mpi_data *data = group->data;
    return data->comm;
}

static fr_status check_mpi(fr_ctx *ctx, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) {
        return FR_OK;
    }
    (void)MPI_Error_string(code, text, &length);
    return FR_FAIL(ctx, FR_ERR_COMM, "%s failed: %s; a rank or its network is lost",
                   what, text);
}

static void mpi_destroy(fr_group *group)
{
    mpi_data *data = group->data;
    if (data != NULL) {
        (void)MPI_Comm_free(&data->comm);
        if (data->finalises) {
            (void)MPI_Finalize();
        }
        free(data);
    }
    free(group);
}

static fr_status mpi_barrier(fr_group *group)
{
    return check_mpi(group->ctx, MPI_Barrier(comm_of(group)), "barrier");
}

static MPI_Op op_of(fr_reduce op)
{
    return op == FR_SUM ? MPI_SUM : op == FR_MIN ? MPI_MIN : MPI_MAX;
}

static fr_status mpi_allreduce(fr_group *group, fr_reduce op, int64_t *values,
                               int64_t n)
{
    const int64_t most = PIECE_BYTES / (int64_t)sizeof *values;
    for (int64_t at = 0; at < n; at += most) {
        int count = (int)(n - at < most ? n - at : most);
        FR_TRY(check_mpi(group->ctx,
                         MPI_Allreduce(MPI_IN_PLACE, values + at, count, MPI_INT64_T,
                                       op_of(op), comm_of(group)),
                         "allreduce"));
    }
    return FR_OK;
}

static fr_status mpi_broadcast(fr_group *group, int root, void *data, int64_t bytes)
{
    char *next = data;
    for (int64_t at = 0; at < bytes; at += PIECE_BYTES) {
        int count = (int)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES);
        FR_TRY(check_mpi(group->ctx,
                         MPI_Bcast(next + at, count, MPI_BYTE, root, comm_of(group)),
                         "broadcast"));
    }
    return FR_OK;
}

static fr_status message_create(fr_ctx *ctx, int64_t bytes, mpi_message **out)
{
    int64_t pieces = bytes / PIECE_BYTES + 1;
    size_t size = sizeof **out + (size_t)pieces * sizeof(MPI_Request);
    FR_TRY(fr_alloc(ctx, 1, size, out));
    (*out)->n_pieces = (int)pieces;
    for (int i = 0; i < (*out)->n_pieces; i++) {
        (*out)->pieces[i] = MPI_REQUEST_NULL;
    }
    return FR_OK;
}

static int piece_size(int64_t bytes, int64_t at)
{
    return (int)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES);
}

static fr_status mpi_send_begin(fr_group *group, int peer, int tag, const void *data,
                                int64_t bytes, fr_request *request)
{
    mpi_message *message = NULL;
    fr_status status = message_create(group->ctx, bytes, &message);
    for (int i = 0; status == FR_OK && i < message->n_pieces; i++) {
        int64_t at = i * PIECE_BYTES;
        status = check_mpi(group->ctx,
                           MPI_Isend((const char *)data + at, piece_size(bytes, at),
                                     MPI_BYTE, peer, tag, comm_of(group),
                                     &message->pieces[i]),
                           "send");
    }
    if (status != FR_OK) {
        free(message);
        message = NULL;
    }
    request->handle = message;
    return status;
}

static fr_status mpi_receive_begin(fr_group *group, int peer, int tag, void *data,
                                   int64_t bytes, fr_request *request)
{
    mpi_message *message = NULL;
    fr_status status = message_create(group->ctx, bytes, &message);
    for (int i = 0; status == FR_OK && i < message->n_pieces; i++) {
        int64_t at = i * PIECE_BYTES;
        status = check_mpi(group->ctx,
                           MPI_Irecv((char *)data + at, piece_size(bytes, at), MPI_BYTE,
                                     peer, tag, comm_of(group), &message->pieces[i]),
                           "receive");
    }
    if (status != FR_OK) {
        free(message);
        message = NULL;
    }
    request->handle = message;
    return status;
}

/* Polling keeps every message of this process moving; yielding lets a peer on the same core work. */
static fr_status mpi_wait(fr_group *group, fr_request *request)
{
    mpi_message *message = request->handle;
    fr_status status = FR_OK;
    int done = 0;
    while (status == FR_OK && !done) {
        status = check_mpi(
            group->ctx,
            MPI_Testall(message->n_pieces, message->pieces, &done, MPI_STATUSES_IGNORE),
            "message");
        if (!done) {
            (void)sched_yield();
        }
    }
    free(message);
    request->handle = NULL;
    return status;
}

static void mpi_poll(fr_group *group)
{
    int flag = 0;
    (void)MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_of(group), &flag,
                     MPI_STATUS_IGNORE);
}

static fr_status mpi_split(fr_group *group, int color, int key, fr_group **out);

static const fr_group_ops MPI_OPS = {
    .split = mpi_split,
    .destroy = mpi_destroy,
    .barrier = mpi_barrier,
    .allreduce = mpi_allreduce,
    .broadcast = mpi_broadcast,
    .send_begin = mpi_send_begin,
    .receive_begin = mpi_receive_begin,
    .wait = mpi_wait,
    .poll = mpi_poll,
};

/* Rank and size of the group and of its part on this node. */
static fr_status find_places(fr_ctx *ctx, MPI_Comm comm, fr_group *group)
{
    MPI_Comm node = MPI_COMM_NULL;
    FR_TRY(check_mpi(ctx, MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "set-up"));
    FR_TRY(check_mpi(ctx, MPI_Comm_rank(comm, &group->rank), "rank"));
    FR_TRY(check_mpi(ctx, MPI_Comm_size(comm, &group->size), "size"));
    FR_TRY(check_mpi(
        ctx, MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
        "node split"));
    fr_status status = check_mpi(ctx, MPI_Comm_rank(node, &group->node_rank), "rank");
    if (status == FR_OK) {
        status = check_mpi(ctx, MPI_Comm_size(node, &group->node_size), "size");
    }
    (void)MPI_Comm_free(&node);
    return status;
}

/* Wrap a communicator, which the group then owns (also on failure, where it is freed). */
static fr_status wrap(fr_ctx *ctx, MPI_Comm comm, bool finalises, fr_group **out)
{
    fr_group *group = NULL;
    mpi_data *data = NULL;
    fr_status status = fr_alloc(ctx, 1, sizeof *group, &group);
    if (status == FR_OK) {
        status = fr_alloc(ctx, 1, sizeof *data, &data);
    }
    if (status == FR_OK) {
        *data = (mpi_data){comm, finalises};
        *group = (fr_group){.ops = &MPI_OPS, .ctx = ctx, .data = data};
        status = find_places(ctx, comm, group);
    }
    if (status != FR_OK) {
        free(data);
        free(group);
        group = NULL;
        (void)MPI_Comm_free(&comm);
    }
    *out = group;
    return status;
}

static fr_status mpi_split(fr_group *group, int color, int key, fr_group **out)
{
    MPI_Comm comm = MPI_COMM_NULL;
    FR_TRY(check_mpi(group->ctx, MPI_Comm_split(comm_of(group), color, key, &comm),
                     "split"));
    return wrap(group->ctx, comm, false, out);
}

fr_status fr_group_create_world(fr_ctx *ctx, int *argc, char ***argv, fr_group **out)
{
    int initialised = 0;
    int level = 0;
    MPI_Comm comm = MPI_COMM_NULL;
    *out = NULL;
    FR_TRY(check_mpi(ctx, MPI_Initialized(&initialised), "MPI"));
    if (!initialised) {
        FR_TRY(check_mpi(ctx, MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level),
                         "MPI_Init"));
    }
    FR_TRY(
        check_mpi(ctx, MPI_Comm_dup(MPI_COMM_WORLD, &comm), "duplicating the world"));
    FR_TRY(wrap(ctx, comm, !initialised, out));
    fr_ctx_set_rank(ctx, (*out)->rank, (*out)->size);
    return FR_OK;
}
