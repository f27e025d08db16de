/*
 * group.h - a set of ranks that exchange messages: collectives and messages from one rank to another.
 *
 * There are two kinds: self (one rank, no MPI) and mpi (buffers in the host's memory). Callers need no special case for
 * one rank. Not thread-safe. After FR_ERR_COMM a group may only be destroyed.
 *
 * The progress hook. The end of a step is two reductions, and a rank begins the second one when it finds that the first is
 * complete. A rank that only waited for a message of another task would not begin it, and would hold up all ranks. So
 * fr_group_set_progress stores one function for the world and all groups split from it, and every wait (fr_group_wait, send,
 * receive, barrier, allreduce, broadcast) calls it between two tests of what it waits for. The function tests what else is
 * under way and begins what is due; it never blocks, and is not called from within itself. fr_group_wait_until and
 * fr_group_poll do not call it. README.md says more.
 *
 * The advance list. What is under way outside of MPI too, such as a message that goes through blocks of host memory
 * (link.h), moves only while it is polled. Its functions stand in a list of the world, and every wait and every poll calls
 * them.
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
 * wraps a duplicate of the world with errors returned; sets the context's rank. This group's
 * destroy finalises MPI: destroy it last, on every rank.
 * `fr_group_launched_by_mpi` tells from the environment whether this process was started by mpirun
 * or srun with PMIx; callers create the self kind otherwise.
 */
FR_MUST_CHECK fr_status fr_group_create_world(fr_ctx *ctx, int *argc, char ***argv,
                                              fr_group **out);
bool fr_group_launched_by_mpi(void);

/** As fr_group_create_world, and asks MPI for threads: if fr_group_is_threaded says that MPI grants them, each group split
 * from this one may be used by a thread of its own. */
FR_MUST_CHECK fr_status fr_group_create_threaded_world(fr_ctx *ctx, int *argc,
                                                       char ***argv, fr_group **out);
bool fr_group_is_threaded(const fr_group *group);

/** From now on this group reports failures to `ctx` (borrowed): for a group that another thread uses, since a context
 * belongs to one thread. Local. */
void fr_group_set_ctx(fr_group *group, fr_ctx *ctx);

/**
 * Report every wait of this world, and of all groups split from it before or after this call, to `watch` (borrowed,
 * NULL: none). The watch must outlive the world's destroy, which waits too. Local.
 */
void fr_group_set_watch(fr_group *world, fr_watch *watch);
/** The watch of this group's world; NULL: none. Local. */
fr_watch *fr_group_watch(const fr_group *group);

/** Collective. Ranks with the same `color` form a new group, ordered by `key`. */
FR_MUST_CHECK fr_status fr_group_split(fr_group *group, int color, int key,
                                       fr_group **out);

/** Collective. The ranks of each node form a new group, in their order here. */
FR_MUST_CHECK fr_status fr_group_split_node(fr_group *group, fr_group **out);

/**
 * Collective. A group of the same ranks to try something with that may fail: a failed call breaks it alone, its waits call
 * nothing of this group's world and are not watched, and its destroy is local and leaves what is still under way behind.
 */
FR_MUST_CHECK fr_status fr_group_split_trial(fr_group *group, fr_group **out);

/** Collective (for mpi). Accepts NULL inside, nulls the pointer. */
void fr_group_destroy(fr_group **group);

int fr_group_rank(const fr_group *group);
int fr_group_size(const fr_group *group);

/** The number of ranks on this rank's node, and this rank's index among them (1 and 0 for self). Local. */
int fr_group_node_size(const fr_group *group);
int fr_group_node_rank(const fr_group *group);

/** Whether MPI says here that it takes addresses in the memory of NVIDIA's GPUs, in messages at least. Local. */
bool fr_group_takes_cuda(const fr_group *group);

/** Collective. */
FR_MUST_CHECK fr_status fr_group_barrier(fr_group *group);
/** Collective; in place on int64. Integer sums are exact, so any algorithm gives the same bits. */
FR_MUST_CHECK fr_status fr_group_allreduce(fr_group *group, fr_reduce op,
                                           int64_t *values, int64_t n);
/** Collective; `bytes` equal on all ranks. */
FR_MUST_CHECK fr_status fr_group_broadcast(fr_group *group, int root, void *data,
                                           int64_t bytes);

/** Collective: what each rank has, on all of them. @param mine  [n]; equal n on all ranks @param[out] all  [size, n] */
FR_MUST_CHECK fr_status fr_group_gather(fr_group *group, const int64_t *mine, int64_t n,
                                        int64_t *all);

/** Collective. @param[out] nodes  [size] of each rank: the lowest rank of this group on its node */
FR_MUST_CHECK fr_status fr_group_nodes(fr_group *group, int64_t *nodes);

/** Blocking message of exactly `bytes` to or from rank `peer` of this group. */
FR_MUST_CHECK fr_status fr_group_send(fr_group *group, int peer, fr_tag tag,
                                      const void *data, int64_t bytes);
FR_MUST_CHECK fr_status fr_group_receive(fr_group *group, int peer, fr_tag tag,
                                         void *data, int64_t bytes);

/** A message under way. Its buffer must live until wait returns. Each message has its own request. */
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
/** Whether it is complete; if so, the request is released as by wait. Never blocks. */
FR_MUST_CHECK fr_status fr_group_test(fr_group *group, fr_request *request,
                                      bool *is_done);

/**
 * Collective; begins what fr_group_allreduce does, which is complete when wait or test say so. All ranks of a group must
 * begin their reductions in the same order. n <= INT32_MAX.
 */
FR_MUST_CHECK fr_status fr_group_allreduce_begin(fr_group *group, fr_reduce op,
                                                 int64_t *values, int64_t n,
                                                 fr_request *request);

/**
 * Call `progress` repeatedly during every wait of this world and of the groups split from it (see above). It must not
 * block; it may begin and test messages and reductions. NULL: none. Local.
 */
void fr_group_set_progress(fr_group *world, void (*progress)(void *argument),
                           void *argument);

/** In place of a peer: all are waited for. */
enum { FR_ALL_RANKS = -1 };

/** An entry of the advance list. The function must not block, wait or poll; it may begin and test messages. It is called once more
 * when this rank abandons its world. */
typedef struct fr_advance {
    void (*advance)(void *argument);
    void *argument;
    struct fr_advance *next; /* the list's */
} fr_advance;

/** Call it in every wait and every poll of this group's world, until it is removed; borrowed until then. Local. */
void fr_group_add_advance(fr_group *group, fr_advance *entry);
/** Does nothing for an entry that is not in the list. Local. */
void fr_group_remove_advance(fr_group *group, const fr_advance *entry);

/**
 * Poll `is_over` until it returns true. The function may itself advance what it waits for, and messages are advanced
 * between two calls. The progress function is not called.
 * @param what  one word, a constant of the program: what the watch says that this rank waits for
 */
void fr_group_wait_until(fr_group *group, const char *what,
                         bool (*is_over)(void *argument), void *argument);

/**
 * Poll `waits_for` until it returns NULL, in a wait as that of fr_group_wait: the progress function is called, messages are
 * advanced, and the watch is told of a long wait. Where the answer changes, that is a new wait for the watch.
 * @param waits_for  what this rank waits for: one word, a constant of the program; "device" counts as computing (hang.h).
 *                   Sets *peer: the rank of this group; FR_ALL_RANKS: all, or none
 */
void fr_group_wait_for(fr_group *group,
                       const char *(*waits_for)(void *argument, int *peer),
                       void *argument);

/**
 * This rank cannot go on, and the others may be waiting for it in the middle of their work. Puts "rank R on HOST: " in
 * front of the context's error. From now on no destroy of this world's groups waits for other ranks, so that this
 * process ends and the launcher ends the others. Does nothing in a world of one rank. Returns `mine`. Local.
 */
fr_status fr_group_abandon(fr_group *group, fr_status mine);
/** Whether this rank abandoned its world: it then prints its own message, because no other rank knows it. */
bool fr_group_is_abandoned(const fr_group *group);

/** Advance all messages of this process without blocking, and all in the advance list: MPI moves most messages only while it is
 * called. */
void fr_group_poll(fr_group *group);

/**
 * Collective, at the end of a phase: every rank passes its own status, and all get the same result. If any rank failed,
 * all ranks get the status and the message of the lowest failing rank. The context's error becomes that message with
 * "rank R on HOST: " in front, on the failing rank too. A rank that has abandoned the others keeps its own failure.
 * @return FR_OK if all passed FR_OK, else the status of the lowest failing rank, on every rank
 */
FR_MUST_CHECK fr_status fr_group_agree(fr_group *group, fr_status mine);

/**
 * Collective: whether every rank passes the same text.
 * @param name    what the text is, for the message
 * @param text    its first 127 bytes are compared
 * @param remedy  what the message advises where texts differ
 * @return FR_OK; FR_ERR_UNSUPPORTED on all, naming the lowest rank with another text than rank 0's
 */
FR_MUST_CHECK fr_status fr_group_agree_text(fr_group *group, const char *name,
                                            const char *text, const char *remedy);

#endif
