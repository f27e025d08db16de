/*
 * commands.h - the subcommands of forerun, one file each.
 *
 * Layer L5. Collective over the world where the command works on ranks; the others run on rank 0 alone.
 */
#ifndef FR_CLI_COMMANDS_H
#define FR_CLI_COMMANDS_H

#include "base/options.h"
#include "comm/group.h"
#include "comm/signals.h"

/** Last words of this process, should it have to leave in the middle: how to go on from what it has done. */
typedef struct fr_farewell fr_farewell;

/** Never destroyed: threads that may end the process read it until it has ended. NULL without memory. */
fr_farewell *fr_farewell_create(void);
/** From now on `text` (copied, whole lines, escaped) is said after what makes the process leave. Once in a process, NULL text or NULL
 * farewell: nothing. */
void fr_farewell_set(fr_farewell *farewell, const char *text);
/** It is no longer true. */
void fr_farewell_take_back(fr_farewell *farewell);

/** What a command gets. */
typedef struct fr_cli {
    fr_ctx *ctx;
    fr_group *world;
    const fr_options *options;
    fr_signals *signals;
    fr_watch **watch; /* out: outlives the world, destroyed by `main`; may stay NULL */
    int *
        exit_code; /* set for a result that is no error, such as `compare` finding a difference */
    fr_farewell *farewell;
} fr_cli;

fr_status fr_cmd_train(const fr_cli *cli);
fr_status fr_cmd_plan(const fr_cli *cli);
fr_status fr_cmd_preflight(const fr_cli *cli);
fr_status fr_cmd_eval(const fr_cli *cli);
fr_status fr_cmd_generate(const fr_cli *cli);
fr_status fr_cmd_inspect(const fr_cli *cli);
fr_status fr_cmd_compare(const fr_cli *cli);
fr_status fr_cmd_convert(const fr_cli *cli);
fr_status fr_cmd_tokenize(const fr_cli *cli);

/** A fr_watch_leave: `text` to standard error, then the farewell, without ever blocking for long; then the end of the
 * process. @param argument  fr_farewell; NULL: none */
_Noreturn void fr_leave(void *argument, int exit_code, const char *text);

extern const fr_command FR_TRAIN_COMMAND;
extern const fr_command FR_PLAN_COMMAND;
extern const fr_command FR_PREFLIGHT_COMMAND;
extern const fr_command FR_EVAL_COMMAND;
extern const fr_command FR_GENERATE_COMMAND;
extern const fr_command FR_INSPECT_COMMAND;
extern const fr_command FR_COMPARE_COMMAND;
extern const fr_command FR_CONVERT_COMMAND;
extern const fr_command FR_TOKENIZE_COMMAND;

#endif
