/*
 * post.h - ranks exchange their rank lines by messages, where they share no folder.
 *
 * The messages form a star: every rank sends its line to rank 0, and rank 0 sends its own line to every rank. So rank 0
 * knows of all ranks, and each other rank knows of rank 0. The messages have a group of their own and never wait. A
 * thread may therefore send them while the main thread uses the world's other groups; MPI must allow that
 * (fr_group_is_threaded).
 */
#ifndef FR_COMM_POST_H
#define FR_COMM_POST_H

#include "comm/group.h"
#include "comm/rank_line.h"
#include "comm/watch.h"

typedef struct fr_post fr_post;

/** Collective over `world`, which must be threaded and outlive the post. */
FR_MUST_CHECK fr_status fr_post_create(fr_ctx *ctx, fr_group *world, fr_post **out);

/** Collective, after the last thread that used it. Accepts NULL inside, nulls the pointer. */
void fr_post_destroy(fr_post **post);

/** The three calls below as a watch makes them. Owned by the post. */
const fr_watch_channel *fr_post_channel(const fr_post *post);

/**
 * Send this line to the ranks that hear of this one, and take in what has arrived. A peer to which the last line is
 * still on its way gets none this time. Never blocks. One thread at a time.
 * @return false if a message failed: no further line will come
 */
bool fr_post_exchange(fr_post *post, const fr_rank_line *own);

/** As fr_post_exchange, with the last line that is ever sent. Call again until *is_over: the last lines of the others
 * have arrived, and no message is under way. */
bool fr_post_close(fr_post *post, const fr_rank_line *last, bool *is_over);

/** The newest line of a rank; false: none has ever arrived. */
bool fr_post_read(const fr_post *post, int rank, fr_rank_line *out);

#endif
