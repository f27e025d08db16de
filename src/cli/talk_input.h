/*
 * talk_input.h - what a person types, or a pipe gives, a turn at a time.
 *
 * On a terminal lines can be edited and earlier ones called back (libedit). Elsewhere lines are read as they are. A line that
 * ends in a backslash goes on in the next one.
 */
#ifndef FR_CLI_TALK_INPUT_H
#define FR_CLI_TALK_INPUT_H

#include "base/ctx.h"
#include "comm/signals.h"

typedef struct fr_talk_input fr_talk_input;

/** Most bytes of a turn. */
enum { FR_TURN_BYTES = 1 << 20 };

typedef enum fr_turn_kind {
    FR_TURN_TEXT,
    FR_TURN_END,        /* end of input */
    FR_TURN_INTERRUPTED /* SIGINT, before the turn was complete: what was typed is gone */
} fr_turn_kind;

/** @param signals  counts interrupts; borrowed   @param colours  the prompt is in bold */
FR_MUST_CHECK fr_status fr_talk_input_open(fr_ctx *ctx, const fr_signals *signals,
                                           bool colours, fr_talk_input **out);
void fr_talk_input_close(fr_talk_input **input);

/** Whether a person types. */
bool fr_talk_input_is_terminal(const fr_talk_input *input);

/**
 * The next turn, without its line end.
 * @param[out] text  UTF-8, valid until the next call; "" unless it is FR_TURN_TEXT
 * @return FR_OK; FR_ERR_DATA (too long, a NUL, no UTF-8): the turn has been taken, the next call reads the next one; FR_ERR_NO_MEMORY;
 *         FR_ERR_IO
 */
FR_MUST_CHECK fr_status fr_talk_input_next(fr_talk_input *input, fr_turn_kind *kind,
                                           const char **text);

#endif
