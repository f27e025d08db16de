/*
 * eval_generate.h - `forerun eval --generate`: answers to rows, and scores of the answers.
 */
#ifndef FR_CLI_EVAL_GENERATE_H
#define FR_CLI_EVAL_GENERATE_H

#include "cli/commands.h"

/** The command with --generate. Collective over the world. */
FR_MUST_CHECK fr_status fr_eval_generate(const fr_cli *cli);

#endif
