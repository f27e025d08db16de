/*
 * group_mpi_impl.h - the state of a group over MPI, shared by group_mpi*.c, the only files that call MPI.
 */
#ifndef FR_COMM_GROUP_MPI_IMPL_H
#define FR_COMM_GROUP_MPI_IMPL_H

#include "comm/group_impl.h"

#include <mpi.h>
#include <stdatomic.h>

/* A message or reduction under way. Completed ones are kept as spares: after a few steps no step allocates any. */
typedef struct fr_mpi_pending {
    MPI_Request request;
    int64_t wanted_bytes; /* of a receive; -1 otherwise */
    int peer;
    struct fr_mpi_pending *next;  /* of the spares */
    struct fr_mpi_pending *older; /* of all that the group ever made */
} fr_mpi_pending;

typedef struct fr_mpi_group {
    fr_group base;
    MPI_Comm comm;
    struct fr_mpi_group *world; /* itself for the world */
    fr_mpi_pending *spares;
    fr_mpi_pending *all;
    bool owns_mpi;
    atomic_bool is_broken; /* of the world: some call of any of its groups failed */
} fr_mpi_group;

static inline fr_mpi_group *fr_mpi_from_base(fr_group *group)
{
    return (fr_mpi_group *)(void *)group;
}

/** The operations: group_mpi.c. */
extern const fr_group_ops FR_MPI_OPS;

/** Fails with FR_ERR_COMM and MPI's text for `code`. */
fr_status fr_mpi_fail(fr_ctx *ctx, const char *what, int code);
/** FR_OK for MPI_SUCCESS; else marks the world as broken and fails. */
fr_status fr_mpi_check(fr_mpi_group *group, const char *what, int code);

/** The operation `split`: group_mpi_world.c. */
fr_status fr_mpi_split(fr_group *base, int color, int key, fr_group **out);
/** The operation `split_trial`: group_mpi_world.c. */
fr_status fr_mpi_split_trial(fr_group *base, fr_group **out);

/** The operation `takes_cuda`: group_mpi_cuda.c, or group_mpi_no_cuda.c for an MPI that cannot be asked (cmake/options.cmake). */
bool fr_mpi_takes_cuda(void);

#endif
