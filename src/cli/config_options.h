/*
 * config_options.h - the CONFIG of a command with its --set overrides.
 *
 * Layer L5.
 */
#ifndef FR_CLI_CONFIG_OPTIONS_H
#define FR_CLI_CONFIG_OPTIONS_H

#include "cli/commands.h"
#include "train/config.h"

/** Read the first positional as fr_config_read does, with every --set. */
FR_MUST_CHECK fr_status fr_cli_config(const fr_cli *cli, fr_config **out);

#endif
