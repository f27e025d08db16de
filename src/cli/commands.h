/*
 * commands.h - the commands of forerun, one file each. Collective over the world if the command works on ranks; other
 * commands run on rank 0 alone.
 */
#ifndef FR_CLI_COMMANDS_H
#define FR_CLI_COMMANDS_H

#include "base/options.h"
#include "comm/group.h"
#include "comm/signals.h"

/** What this process prints if it must exit early: how to continue from what it has done. */
typedef struct fr_farewell fr_farewell;

/** Never destroyed, since threads that may end the process read it until the end. NULL without memory. */
fr_farewell *fr_farewell_create(void);
/** From now on `text` (copied; whole lines, escaped) is printed after the message that ends the process. Takes effect once
 * in a process; a NULL text or farewell does nothing. */
void fr_farewell_set(fr_farewell *farewell, const char *text);
/** The text no longer applies. */
void fr_farewell_take_back(fr_farewell *farewell);

/** Called where the watch gives up a wait for other ranks, before the process ends. It returns within a second or two. */
typedef void fr_farewell_call(void *user);
/** From now on; NULL: not any more. */
void fr_farewell_tell(fr_farewell *farewell, fr_farewell_call *tell, void *user);

/** What a command gets. */
typedef struct fr_cli {
    fr_ctx *ctx;
    fr_group *world;
    const fr_options *options;
    fr_signals *signals;
    fr_watch **watch; /* out: outlives the world; `main` destroys it; may stay NULL */
    int *
        exit_code; /* for results that are not errors, such as a difference that `compare` finds */
    fr_farewell *farewell;
} fr_cli;

fr_status fr_cmd_train(const fr_cli *cli);
fr_status fr_cmd_plan(const fr_cli *cli);
fr_status fr_cmd_preflight(const fr_cli *cli);
fr_status fr_cmd_eval(const fr_cli *cli);
fr_status fr_cmd_generate(const fr_cli *cli);
fr_status fr_cmd_chat(const fr_cli *cli);
fr_status fr_cmd_inspect(const fr_cli *cli);
fr_status fr_cmd_compare(const fr_cli *cli);
fr_status fr_cmd_convert(const fr_cli *cli);
fr_status fr_cmd_import(const fr_cli *cli);
fr_status fr_cmd_export(const fr_cli *cli);
fr_status fr_cmd_data(const fr_cli *cli);
fr_status fr_cmd_tokenize(const fr_cli *cli);
fr_status fr_cmd_prefix(const fr_cli *cli);
fr_status fr_cmd_serve(const fr_cli *cli);

/** A fr_watch_leave: `text` to standard error, then the farewell, without ever blocking for long; then the end of the
 * process. @param argument  fr_farewell; NULL: none */
_Noreturn void fr_leave(void *argument, int exit_code, const char *text);

extern const fr_command FR_TRAIN_COMMAND;
extern const fr_command FR_PLAN_COMMAND;
extern const fr_command FR_PREFLIGHT_COMMAND;
extern const fr_command FR_EVAL_COMMAND;
extern const fr_command FR_GENERATE_COMMAND;
extern const fr_command FR_CHAT_COMMAND;
extern const fr_command FR_INSPECT_COMMAND;
extern const fr_command FR_COMPARE_COMMAND;
extern const fr_command FR_CONVERT_COMMAND;
extern const fr_command FR_IMPORT_COMMAND;
extern const fr_command FR_EXPORT_COMMAND;
extern const fr_command FR_DATA_COMMAND;
extern const fr_command FR_TOKENIZE_COMMAND;
extern const fr_command FR_PREFIX_COMMAND;
extern const fr_command FR_SERVE_COMMAND;

#endif
