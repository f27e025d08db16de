/*
 * tags.h - every tag that a message between two ranks carries, and who sends what to whom.
 *
 * A receive takes the oldest message of its group, sender and tag. Two kinds of messages that may be under way at the
 * same time between the same two ranks therefore need two tags. Collectives carry none.
 */
#ifndef FR_COMM_TAGS_H
#define FR_COMM_TAGS_H

#include <stdint.h>

typedef enum fr_tag {
    /** Nobody sends it: a poll looks for it on MPI_COMM_SELF, which makes MPI advance all other messages. */
    FR_TAG_POLL = 0,
    /** post: each rank sends its rank line to rank 0, and rank 0 sends its own to each, in a group of their own. */
    FR_TAG_RANK_LINE,
    /** step/engine: a stage sends a microbatch's hidden states to the next stage, in training and in evaluation. link_try: to the
     * next stage, in a group of its own; with the next tag, to the one before. */
    FR_TAG_FORWARD,
    /** step/engine: a stage sends the gradient of those hidden states back to the stage that sent them. */
    FR_TAG_BACKWARD,
    /** network/generate: a stage sends the hidden states of the tokens being generated to the next stage. */
    FR_TAG_GENERATE,
    /** preflight: rank 0 and each other rank exchange times of day; two ranks at a time send each other blocks to
     * measure their link. */
    FR_TAG_PREFLIGHT_LINK,
    /** preflight: each rank sends what it found on its host to rank 0. */
    FR_TAG_PREFLIGHT_REPORT,
    /** serve/images: rank 0 sends each other rank its layers of a prefix, K and then V. */
    FR_TAG_SERVE_PREFIX,
    FR_TAG_SINGLE_END, /* behind the tags above */
    /** run/gather: a stage sends the arrays of one task to stage 0 of its pipeline, in order; one tag a task
     * (fr_tag_gather), because tasks are sent in any order. */
    FR_TAG_GATHER_FIRST = 10,
    FR_TAG_GATHER_LAST = 30000
} fr_tag;

_Static_assert((int)FR_TAG_SINGLE_END <= (int)FR_TAG_GATHER_FIRST,
               "a single tag lies within the range of the gather");
/* MPI promises tags up to 32767. */
_Static_assert((int)FR_TAG_GATHER_LAST <= 32767, "MPI may not offer the highest tag");

/** The tag of a task's arrays; behind FR_TAG_GATHER_LAST, a message is refused. */
static inline fr_tag fr_tag_gather(int64_t task)
{
    return (fr_tag)((int64_t)FR_TAG_GATHER_FIRST + task);
}

#endif
