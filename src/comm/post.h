/*
 * post.h - ranks tell each other their slots by messages, where they share no folder.
 *
 * Layer L2; uses group, slot. A star: every rank sends its slot to rank 0 and hears rank 0's, so rank 0 knows of all
 * and the others of rank 0. The messages have a group of their own and never wait, so a thread may send them while
 * the main thread uses the world's other groups; MPI must allow that (fr_group_is_threaded).
 */
#ifndef FR_COMM_POST_H
#define FR_COMM_POST_H

#include "comm/group.h"
#include "comm/rank_line.h"

typedef struct fr_post fr_post;

/** Collective over `world`, which must be threaded and outlive the post. */
FR_MUST_CHECK fr_status fr_post_create(fr_ctx *ctx, fr_group *world, fr_post **out);

/** Collective, with no thread in it any more. Accepts NULL inside, nulls the pointer. */
void fr_post_destroy(fr_post **post);

/**
 * Send this slot to whom it concerns, unless the last one is still on its way, and take what has come. Never blocks.
 * One thread at a time. @return false if a message failed: nothing more will be heard
 */
bool fr_post_exchange(fr_post *post, const fr_rank_line *own);

/** As fr_post_exchange, with the last slot that is ever sent. Call again until *is_over: the others' last ones have
 * come, and no message is under way. */
bool fr_post_close(fr_post *post, const fr_rank_line *last, bool *is_over);

/** The newest slot of a rank; false: nothing was ever heard of it. */
bool fr_post_read(const fr_post *post, int rank, fr_rank_line *out);

#endif
