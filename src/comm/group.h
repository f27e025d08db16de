/*
 * group.h - a set of ranks that talk: collectives and point-to-point messages.
 *
 * Layer L2; uses base. Kinds: self (one rank, no MPI) and mpi (host buffers). Callers have no
 * special case for one rank. Not thread-safe. After FR_ERR_COMM a handle is good only for destroy.
 */
#ifndef FR_COMM_GROUP_H
#define FR_COMM_GROUP_H

#include "base/ctx.h"
#include "comm/tags.h"
#include "comm/watch.h"

#include <stdint.h>

typedef struct fr_group fr_group;

typedef enum fr_reduce { FR_SUM, FR_MIN, FR_MAX } fr_reduce;

/** The one-rank group. */
FR_MUST_CHECK fr_status fr_group_create_self(fr_ctx *ctx, fr_group **out);

/**
 * Collective over all processes of the mpirun. Initialises MPI (thread level FUNNELED at least) and
 * wraps a duplicate of the world with errors returned; sets the context's rank. The group so made
 * finalises MPI in its destroy: destroy it last, on every rank.
 * `fr_group_launched_by_mpi` tells from the environment whether this process was started by mpirun
 * or srun with PMIx; callers create the self kind otherwise.
 */
FR_MUST_CHECK fr_status fr_group_create_world(fr_ctx *ctx, int *argc, char ***argv,
                                              fr_group **out);
bool fr_group_launched_by_mpi(void);

/** As fr_group_create_world, asking MPI for more: groups split from it may then be used by one thread each, if
 * fr_group_is_threaded says that MPI offers that. */
FR_MUST_CHECK fr_status fr_group_create_threaded_world(fr_ctx *ctx, int *argc,
                                                       char ***argv, fr_group **out);
bool fr_group_is_threaded(const fr_group *group);

/**
 * Tell `watch` (borrowed, NULL: none) of every wait of this world and of all groups split from it, before or
 * after this call. It must outlive the world's destroy, which waits too. Local.
 */
void fr_group_set_watch(fr_group *world, fr_watch *watch);
/** The watch of this group's world; NULL: none. Local. */
fr_watch *fr_group_watch(const fr_group *group);

/** Collective. Ranks with the same `color` form a new group, ordered by `key`. */
FR_MUST_CHECK fr_status fr_group_split(fr_group *group, int color, int key,
                                       fr_group **out);

/** Collective. The ranks of each node form a new group, in their order here. */
FR_MUST_CHECK fr_status fr_group_split_node(fr_group *group, fr_group **out);

/** Collective (for mpi). Accepts NULL inside, nulls the pointer. */
void fr_group_destroy(fr_group **group);

int fr_group_rank(const fr_group *group);
int fr_group_size(const fr_group *group);

/** Ranks on this rank's node and this rank's place among them (1 and 0 for self). Local. */
int fr_group_node_size(const fr_group *group);
int fr_group_node_rank(const fr_group *group);
/** Whether the ranks of this rank's node follow one another in this group. Local. */
bool fr_group_node_is_run(const fr_group *group);

/** Collective. */
FR_MUST_CHECK fr_status fr_group_barrier(fr_group *group);
/** Collective; in place on int64. Integer sums are exact, so any algorithm gives the same bits. */
FR_MUST_CHECK fr_status fr_group_allreduce(fr_group *group, fr_reduce op,
                                           int64_t *values, int64_t n);
/** Collective; `bytes` equal on all ranks. */
FR_MUST_CHECK fr_status fr_group_broadcast(fr_group *group, int root, void *data,
                                           int64_t bytes);

/** Blocking message of exactly `bytes` to or from rank `peer` of this group. */
FR_MUST_CHECK fr_status fr_group_send(fr_group *group, int peer, fr_tag tag,
                                      const void *data, int64_t bytes);
FR_MUST_CHECK fr_status fr_group_receive(fr_group *group, int peer, fr_tag tag,
                                         void *data, int64_t bytes);

/** A message under way; the buffer must live until wait. One request struct per message. */
typedef struct fr_request {
    void *handle; /* NULL: nothing under way */
} fr_request;
FR_MUST_CHECK fr_status fr_group_send_begin(fr_group *group, int peer, fr_tag tag,
                                            const void *data, int64_t bytes,
                                            fr_request *request);
FR_MUST_CHECK fr_status fr_group_receive_begin(fr_group *group, int peer, fr_tag tag,
                                               void *data, int64_t bytes,
                                               fr_request *request);
/** Wait and release; FR_OK at once for a request with nothing under way. */
FR_MUST_CHECK fr_status fr_group_wait(fr_group *group, fr_request *request);
/** Whether it is over; if so the request is released as by wait. Never blocks. */
FR_MUST_CHECK fr_status fr_group_test(fr_group *group, fr_request *request,
                                      bool *is_done);

/**
 * Collective; like fr_group_allreduce, under way until wait or test say so. All ranks of a group begin their
 * reductions in the same order. n <= INT32_MAX.
 */
FR_MUST_CHECK fr_status fr_group_allreduce_begin(fr_group *group, fr_reduce op,
                                                 int64_t *values, int64_t n,
                                                 fr_request *request);

/**
 * Call `progress` again and again during every wait of this world and of the groups split from it: what one rank
 * waits for may hang on a reduction that this one has yet to begin. It must not block; it may begin and
 * test, and is not called from within itself. NULL: none. Local.
 */
void fr_group_set_progress(fr_group *world, void (*progress)(void *argument),
                           void *argument);

/**
 * Wait until `is_over` says so, which is asked again and again and drives what it waits for; messages move meanwhile.
 * @param what  one word, a constant, for the watch
 */
void fr_group_wait_until(fr_group *group, const char *what,
                         bool (*is_over)(void *argument), void *argument);

/**
 * This rank cannot go on and the others may be waiting for it in the middle of their work: the context's error gets
 * "rank R on HOST: " in front, and no destroy of this world's groups waits for anybody any more, so that the
 * process ends and the launcher ends the others. Returns `mine`. Local.
 */
fr_status fr_group_abandon(fr_group *group, fr_status mine);
/** Whether this rank abandoned its world: its message is then its own to print. */
bool fr_group_is_abandoned(const fr_group *group);

/** Drive all messages of this process forward without blocking (MPI moves nothing unless polled). */
void fr_group_poll(fr_group *group);

/**
 * Collective phase end: every rank brings its own status and all leave with the same verdict. If any
 * rank failed, the lowest failing rank's status and message are spread: on the others the context's
 * error becomes that message with "rank R on HOST: " in front, and so does the failing rank's own.
 * @return FR_OK if all brought FR_OK, else the failing rank's status on every rank
 */
FR_MUST_CHECK fr_status fr_group_agree(fr_group *group, fr_status mine);

/**
 * Collective: whether every rank brings the same text.
 * @param name  how a message calls it   @param text  its first 127 bytes count   @param remedy  where texts differ
 * @return FR_OK; FR_ERR_UNSUPPORTED on all, naming the lowest rank with another text than rank 0's
 */
FR_MUST_CHECK fr_status fr_group_agree_text(fr_group *group, const char *name,
                                            const char *text, const char *remedy);

#endif
