/*
 * node.h - memory that the ranks of one node share.
 *
 * It lies on no file system, and the kernel frees it with the last process that maps it, however that process ends.
 */
#ifndef FR_COMM_NODE_H
#define FR_COMM_NODE_H

#include "comm/group.h"

typedef struct fr_node_memory {
    void *data; /* 64-byte aligned */
    int64_t bytes;
    bool is_shared; /* all ranks see one memory; else it is this rank's own */
} fr_node_memory;

/**
 * Collective over `node`, the ranks of one node (fr_group_split_node): `bytes` (equal on all) of memory, contents
 * undefined, for all of them. Where some rank cannot open the memory of rank 0 (another process namespace,
 * no `proc`), every rank gets memory of its own, and rank 0 warns. A single rank always has its own.
 *
 * @param proc  where processes show their open files: "/proc"
 * @return the same on all ranks of the node: FR_OK; FR_ERR_NO_MEMORY; FR_ERR_COMM
 */
FR_MUST_CHECK fr_status fr_node_memory_init(fr_ctx *ctx, fr_group *node, int64_t bytes,
                                            const char *proc, fr_node_memory *out);

/** Collective over `node`, when this rank has written its part. On return every rank sees the parts of all; where the
 * memory is shared, it can no longer be written: a write ends the process. */
FR_MUST_CHECK fr_status fr_node_memory_seal(fr_ctx *ctx, fr_group *node,
                                            fr_node_memory *memory);

/** Local. Accepts a zeroed struct. */
void fr_node_memory_fini(fr_node_memory *memory);

#endif
