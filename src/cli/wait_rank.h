/*
 * wait_rank.h - FORERUN_WAIT_RANK: one rank waits at its start until a debugger has attached to it.
 */
#ifndef FR_CLI_WAIT_RANK_H
#define FR_CLI_WAIT_RANK_H

#include "comm/group.h"

/**
 * If the environment's FORERUN_WAIT_RANK is this rank of the world, print its pid and host on standard error and wait
 * until a debugger traces the process. Any other rank returns at once and meets the waiting rank at its next
 * collective call. Collective where the setting is wrong.
 * @return FR_OK; FR_ERR_ARG on all ranks if the setting is not a rank of the world
 */
FR_MUST_CHECK fr_status fr_wait_for_debugger(fr_ctx *ctx, fr_group *world);

#endif
