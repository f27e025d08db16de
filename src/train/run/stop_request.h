/*
 * stop_request.h - requests to end a run early: a signal to any rank, or a file STOP in the run folder.
 *
 * The order of events: `forget` at the start; `is_made` once a round, whose answer travels in a step summary, so that all
 * ranks stop after the same step; `answer` after the checkpoint is committed. Rank 0 alone looks at the folder.
 */
#ifndef FR_TRAIN_RUN_STOP_REQUEST_H
#define FR_TRAIN_RUN_STOP_REQUEST_H

#include "comm/signals.h"

typedef struct fr_stop_request {
    fr_ctx *ctx;         /* borrowed, as all below */
    fr_signals *signals; /* NULL: none are answered */
    const char *folder;  /* of the run; NULL on ranks other than 0 */
} fr_stop_request;

/** Remove a file STOPPED, which an earlier run has left. */
void fr_stop_request_forget(const fr_stop_request *request);
/** Whether a signal asked this rank to stop, or a file STOP lies in the folder. */
bool fr_stop_request_is_made(const fr_stop_request *request);
/** STOP becomes STOPPED: the next start does not stop for it again, and whoever started this run can see that it was
 * asked to stop. A failure is logged as a warning. */
void fr_stop_request_answer(const fr_stop_request *request);

#endif
