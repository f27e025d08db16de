/*
 * group_impl.h - what group.c and the kinds of group share; callers include group.h only.
 *
 * A kind embeds fr_group as its first member and fills in the operations.
 */
#ifndef FR_COMM_GROUP_IMPL_H
#define FR_COMM_GROUP_IMPL_H

#include "comm/group.h"

/**
 * Operations of a kind. group.c has checked the arguments: ranks and tags are in range, a peer is
 * another rank, counts are not negative. `split` and `destroy` are required. The others are called
 * only where there is more than one rank, so the self kind leaves them NULL.
 */
typedef struct fr_group_ops {
    fr_status (*split)(fr_group *group, int color, int key, fr_group **out);
    void (*destroy)(fr_group *group);
    fr_status (*split_trial)(fr_group *group, fr_group **out);
    bool (*takes_cuda)(void);
    fr_status (*barrier)(fr_group *group);
    fr_status (*allreduce)(fr_group *group, fr_reduce op, int64_t *values, int64_t n);
    fr_status (*broadcast)(fr_group *group, int root, void *data, int64_t bytes);
    fr_status (*send_begin)(fr_group *group, int peer, fr_tag tag, const void *data,
                            int64_t bytes, fr_request *request);
    fr_status (*receive_begin)(fr_group *group, int peer, fr_tag tag, void *data,
                               int64_t bytes, fr_request *request);
    fr_status (*allreduce_begin)(fr_group *group, fr_reduce op, int64_t *values,
                                 int64_t n, fr_request *request);
    /** Called with a live handle; leaves it released whatever the result. */
    fr_status (*wait)(fr_group *group, void *handle);
    /** Called with a live handle; released where it is done or fails. */
    fr_status (*test)(fr_group *group, void *handle, bool *is_done);
    void (*poll)(fr_group *group);
    /** The number in the world of a rank of this group; for the watch. */
    int (*world_rank)(fr_group *group, int rank);
} fr_group_ops;

struct fr_group {
    const fr_group_ops *ops;
    fr_ctx *ctx; /* borrowed */
    int rank;
    int size;
    int node_rank;
    int node_size;
    int node_leader; /* the lowest rank of this group on this node */
    struct fr_group
        *root; /* the world: the group that was not split from another one */
    /* Of the root alone: */
    bool is_threaded;         /* threads may use groups of their own */
    fr_watch *watch;          /* borrowed; NULL: nothing is watched */
    void (*progress)(void *); /* see fr_group_set_progress */
    void *progress_argument;
    bool in_progress;
    fr_advance *advances; /* borrowed, linked */
    bool is_abandoned;
};

/**
 * One turn of a wait in which the caller polls. Yields the core; after about a millisecond of turns it sleeps for a
 * moment instead. So a long wait takes no processor time, and a short one is noticed without delay.
 *
 * @param turns  0 before the first turn
 * @return true on the one turn after which the wait is long enough for the watch
 */
bool fr_group_turn(int *turns);
/** Whether some turn returned true: the watch then knows of the wait. */
bool fr_group_is_watched(int turns);

/** One call of the root's progress function, unless it is running. */
void fr_group_progress(fr_group *group);

/** One call of each function in the root's advance list. */
void fr_group_advance(fr_group *group);

#endif
