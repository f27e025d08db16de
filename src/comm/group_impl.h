/*
 * group_impl.h - what a kind of group implements.
 *
 * Layer L2. Arguments are checked by group.c; an implementation may assume them valid.
 */
#ifndef FR_COMM_GROUP_IMPL_H
#define FR_COMM_GROUP_IMPL_H

#include "comm/group.h"

/** All operations are required. */
typedef struct fr_group_ops {
    fr_status (*split)(fr_group *group, int color, int key, fr_group **out);
    void (*destroy)(fr_group *group);
    fr_status (*barrier)(fr_group *group);
    fr_status (*allreduce)(fr_group *group, fr_reduce op, int64_t *values, int64_t n);
    fr_status (*broadcast)(fr_group *group, int root, void *data, int64_t bytes);
    fr_status (*send_begin)(fr_group *group, int peer, int tag, const void *data,
                            int64_t bytes, fr_request *request);
    fr_status (*receive_begin)(fr_group *group, int peer, int tag, void *data,
                               int64_t bytes, fr_request *request);
    fr_status (*wait)(fr_group *group, fr_request *request);
    void (*poll)(fr_group *group);
} fr_group_ops;

struct fr_group {
    const fr_group_ops *ops;
    fr_ctx *ctx;
    int rank;
    int size;
    int node_rank;
    int node_size;
    void *data; /* of the kind */
};

#endif
