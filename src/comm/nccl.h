/*
 * nccl.h - the functions of NVIDIA's library NCCL that links call. It is opened at run time (libnccl.so.2): a program needs neither
 * the library nor its header to be built or started.
 *
 * Types and constants are declared here; names, types and numbers are those of NCCL's documentation. Its interface grows, but what is
 * here stays: a configuration says its own size and the version that it was written for, and a newer library takes its defaults for
 * what it has beyond.
 */
#ifndef FR_COMM_NCCL_H
#define FR_COMM_NCCL_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/** The oldest version that will do: 2.18, as 10000 major + 100 minor + patch. Communicators that never block came with 2.14 and the
 * configuration below with 2.17. One version more leaves out the first of both; the drivers that Forerun takes are newer than all of these. */
enum { FR_NCCL_OLDEST = 21800, FR_NCCL_CONFIG_VERSION = 21700 };

typedef enum fr_nccl_result {
    FR_NCCL_SUCCESS = 0,
    FR_NCCL_REMOTE_ERROR =
        6, /* another rank of the communicator is gone, or the network */
    FR_NCCL_IN_PROGRESS = 7,
} fr_nccl_result;

enum { FR_NCCL_INT64 = 4 }; /* type of numbers */
enum { FR_NCCL_SUM = 0 };   /* operation */

typedef struct fr_nccl_comm_of *fr_nccl_comm;

typedef struct fr_nccl_id {
    char bytes[128];
} fr_nccl_id;

#define FR_NCCL_MAGIC 0xcafebeefU
enum { FR_NCCL_UNDEFINED = INT32_MIN }; /* the library chooses */

typedef struct fr_nccl_config {
    size_t size;
    unsigned magic;
    unsigned version; /* FR_NCCL_CONFIG_VERSION: the members below */
    int blocking;
    int cluster_size;
    int min_blocks;
    int max_blocks;
    const char *network;
} fr_nccl_config;

/** F(type, name here, name in the library, parameters) */
#define FR_NCCL(F)                                                                     \
    F(int, get_version, "ncclGetVersion", (int *version))                              \
    F(int, get_id, "ncclGetUniqueId", (fr_nccl_id * id))                               \
    F(int, init, "ncclCommInitRankConfig",                                             \
      (fr_nccl_comm * comm, int n_ranks, fr_nccl_id id, int rank,                      \
       fr_nccl_config *config))                                                        \
    F(int, finalize, "ncclCommFinalize", (fr_nccl_comm comm))                          \
    F(int, destroy, "ncclCommDestroy", (fr_nccl_comm comm))                            \
    F(int, abort, "ncclCommAbort", (fr_nccl_comm comm))                                \
    F(int, state, "ncclCommGetAsyncError", (fr_nccl_comm comm, int *state))            \
    F(int, all_reduce, "ncclAllReduce",                                                \
      (const void *from, void *to, size_t count, int type, int operation,              \
       fr_nccl_comm comm, void *stream))                                               \
    F(const char *, last_error, "ncclGetLastError", (fr_nccl_comm comm))

typedef struct fr_nccl {
    void *library;
    int version; /* as FR_NCCL_OLDEST */
#define FR_NCCL_FIELD(type, name, symbol, parameters) type(*name) parameters;
    FR_NCCL(FR_NCCL_FIELD)
#undef FR_NCCL_FIELD
} fr_nccl;

/**
 * Open the library. Local; no GPU is asked.
 * @return FR_OK; FR_ERR_UNSUPPORTED (*out zeroed): there is none, it is older than FR_NCCL_OLDEST, or it lacks a function; the message
 *         says which
 */
FR_MUST_CHECK fr_status fr_nccl_open(fr_ctx *ctx, fr_nccl *out);
/** Accepts a zeroed one. The library itself stays: it has threads of its own. */
void fr_nccl_close(fr_nccl *nccl);

/**
 * What a communicator takes of each GPU, by estimate: 32 channels of two connections, a ring's and a tree's, each with 10 MiB of buffers.
 * 4 MiB of these are NCCL_BUFFSIZE (its user guide), the others those of its protocols for short messages; a connection's 10 MiB and
 * 32 channels on H100s are seen in NVIDIA/nccl, issue 1685. Measured were 544 MB for two A100s and 688 MB for more (issue 964).
 */
enum { FR_NCCL_BYTES = 32 * 2 * (10 << 20) };

enum { FR_NCCL_VERSION_BYTES = 32 };
/** "2.28.9" */
void fr_nccl_version_text(int version, char out[FR_NCCL_VERSION_BYTES]);

/** FR_ERR_COMM with the function's name, the result's, and what NCCL says of it. @param comm  NULL: none yet */
fr_status fr_nccl_fail(fr_ctx *ctx, const fr_nccl *nccl, fr_nccl_comm comm,
                       const char *function, int result);

#endif
