/*
 * config_options.h - the config of a command line: CONFIG and its --set overrides.
 */
#ifndef FR_CLI_CONFIG_OPTIONS_H
#define FR_CLI_CONFIG_OPTIONS_H

#include "cli/commands.h"
#include "train/config/config.h"

/** Read the first positional with every `set` applied; the caller destroys *out. */
FR_MUST_CHECK fr_status fr_cli_read_config(const fr_cli *cli, fr_config **out);
/** The same of the config at `path`. */
FR_MUST_CHECK fr_status fr_cli_read_config_at(const fr_cli *cli, const char *path,
                                              fr_config **out);

#endif
