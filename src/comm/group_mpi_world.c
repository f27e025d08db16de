#include "comm/group_mpi_impl.h"

#include "base/mem.h"

#include <stdlib.h>

/*
 * How groups over MPI come to be: MPI's start, the world, and groups split from it.
 *
 * The world is a duplicate of MPI_COMM_WORLD whose errors are returned. It owns MPI only where this program started it,
 * and its destroy then finalises MPI. Every group that is split from it points to it, for the watch, the progress
 * function and the mark that a call has failed. The calls here are collective and blocking.
 */

/* Local questions about the node are answered from these three numbers, without a message. */
static int find_node(MPI_Comm comm, fr_group *out)
{
    MPI_Comm node = MPI_COMM_NULL;
    int code = MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (code == MPI_SUCCESS) {
        (void)MPI_Comm_rank(node, &out->node_rank);
        (void)MPI_Comm_size(node, &out->node_size);
        out->node_leader = out->rank;
        code = MPI_Bcast(&out->node_leader, 1, MPI_INT, 0, node);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_free(&node);
    }
    return code;
}

/* Owns `comm` from the call on, also on failure. Collective calls come before what can fail on one rank alone, so
 * that no other rank waits for such a rank. */
static fr_status wrap(fr_ctx *ctx, MPI_Comm comm, fr_mpi_group *world,
                      fr_mpi_group **out)
{
    fr_group base = {.ops = &FR_MPI_OPS, .ctx = ctx};
    (void)MPI_Comm_rank(comm, &base.rank);
    (void)MPI_Comm_size(comm, &base.size);
    int code = find_node(comm, &base);
    if (code != MPI_SUCCESS) {
        (void)MPI_Comm_free(&comm);
        (void)fr_mpi_fail(ctx, "finding the ranks of this node", code);
        return FR_ERR_COMM;
    }
    fr_status status = fr_alloc(ctx, 1, sizeof **out, out);
    if (status != FR_OK) {
        (void)MPI_Comm_free(&comm);
        return status;
    }
    **out = (fr_mpi_group){.base = base, .comm = comm};
    (*out)->world = world != NULL ? world : *out;
    (*out)->base.root = &(*out)->world->base;
    return FR_OK;
}

/* MPI has no nonblocking split, so the watch is told of this wait at once and no progress function runs in it. */
fr_status fr_mpi_split(fr_group *base, int color, int key, fr_group **out)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    fr_mpi_group *part = NULL;
    MPI_Comm comm = MPI_COMM_NULL;
    fr_watch_wait_begin(fr_group_watch(base), "splitting", FR_ALL_RANKS);
    fr_status status = fr_mpi_check(group, "splitting the ranks",
                                    MPI_Comm_split(group->comm, color, key, &comm));
    if (status == FR_OK) {
        status = wrap(base->ctx, comm, group->world, &part);
    }
    fr_watch_wait_end(fr_group_watch(base));
    *out = part != NULL ? &part->base : NULL;
    return status;
}

/* Its own world, which counts as broken from the start: nobody waits for others to free it. MPI's end frees its communicator,
 * behind all that may still be under way there. */
fr_status fr_mpi_split_trial(fr_group *base, fr_group **out)
{
    fr_mpi_group *group = fr_mpi_from_base(base);
    fr_mpi_group *trial = NULL;
    MPI_Comm comm = MPI_COMM_NULL;
    fr_watch_wait_begin(fr_group_watch(base), "splitting", FR_ALL_RANKS);
    fr_status status =
        fr_mpi_check(group, "duplicating the ranks", MPI_Comm_dup(group->comm, &comm));
    if (status == FR_OK) {
        (void)MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
        status = wrap(base->ctx, comm, NULL, &trial);
    }
    fr_watch_wait_end(fr_group_watch(base));
    if (status == FR_OK) {
        trial->is_broken = true;
        *out = &trial->base;
    }
    return status;
}

/* MPI that was started by somebody else (a test) is used as it is, and not finalised here. `granted` holds the
 * wanted level first. */
static fr_status start_mpi(fr_ctx *ctx, int *argc, char ***argv, int *granted,
                           bool *owns_mpi)
{
    int is_running = 0;
    int level = MPI_THREAD_SINGLE;
    int code = MPI_Initialized(&is_running);
    if (code == MPI_SUCCESS && !is_running) {
        code = MPI_Init_thread(argc, argv, *granted, &level);
    } else if (code == MPI_SUCCESS) {
        code = MPI_Query_thread(&level);
    }
    if (code != MPI_SUCCESS) {
        return fr_mpi_fail(ctx, "starting MPI", code);
    }
    *owns_mpi = !is_running;
    *granted = level;
    if (level < MPI_THREAD_FUNNELED) {
        return FR_FAIL(ctx, FR_ERR_COMM,
                       "MPI offers thread level %d, but FUNNELED (%d) is needed; use "
                       "an MPI built with threads",
                       level, MPI_THREAD_FUNNELED);
    }
    return FR_OK;
}

static fr_status create_world(fr_ctx *ctx, int *argc, char ***argv, int level,
                              fr_group **out)
{
    bool owns_mpi = false;
    fr_mpi_group *world = NULL;
    MPI_Comm comm = MPI_COMM_NULL;
    *out = NULL;
    fr_status status = start_mpi(ctx, argc, argv, &level, &owns_mpi);
    if (status != FR_OK) {
        goto out;
    }
    if (owns_mpi) {
        /* calls without a communicator of their own report to these two */
        (void)MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        (void)MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    }
    /* messages of this program never mix with those of a library that uses the world itself */
    int code = MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    if (code != MPI_SUCCESS) {
        status = fr_mpi_fail(ctx, "duplicating the world", code);
        goto out;
    }
    (void)MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    status = wrap(ctx, comm, NULL, &world);
    if (status != FR_OK) {
        goto out;
    }
    world->owns_mpi = owns_mpi;
    world->base.is_threaded = level >= MPI_THREAD_MULTIPLE;
    fr_ctx_set_rank(ctx, world->base.rank, world->base.size);
    *out = &world->base;
out:
    if (status != FR_OK && owns_mpi) {
        (void)MPI_Finalize();
    }
    return status;
}

fr_status fr_group_create_world(fr_ctx *ctx, int *argc, char ***argv, fr_group **out)
{
    return create_world(ctx, argc, argv, MPI_THREAD_FUNNELED, out);
}

fr_status fr_group_create_threaded_world(fr_ctx *ctx, int *argc, char ***argv,
                                         fr_group **out)
{
    return create_world(ctx, argc, argv, MPI_THREAD_MULTIPLE, out);
}
