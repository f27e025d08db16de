/*
 * talk.h - a dialogue with a base and its prefixes: turns are read, answered as they are computed, and kept.
 */
#ifndef FR_CLI_TALK_H
#define FR_CLI_TALK_H

#include "cli/commands.h"
#include "cli/sampling.h"
#include "train/inference/inference.h"

typedef struct fr_talk_params {
    fr_inference_params inference; /* without its prefix: `prefix` below */
    const char *prefix;            /* FILE[:TASK] whose tasks can be used; NULL: none */
    const char *system;            /* system turn; NULL: none */
    fr_sampling sampling;
    int64_t
        context; /* most positions of a dialogue with its prefix; the base may have fewer */
} fr_talk_params;

/** Until the input ends or asks for the end. Collective: rank 0 reads and writes. @param params  borrowed   @return FR_OK; FR_ERR_CHECKPOINT,
 *  FR_ERR_FORMAT ... where the session cannot begin; FR_ERR_COMM ... where it cannot go on. What a turn fails at is told, and
 *  the session goes on; without a terminal the first such failure decides cli->exit_code */
FR_MUST_CHECK fr_status fr_talk(const fr_cli *cli, const fr_talk_params *params);

#endif
