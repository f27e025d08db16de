#define _GNU_SOURCE /* program_invocation_name */
#include "cli/commands.h"
#include "cli/config_options.h"
#include "train/run/run.h"

#include <errno.h>
#include <stdio.h>

static const fr_option OPTIONS[] = {
    {"resume", "[=FILE]",
     "continue from the newest checkpoint in run.dir, or from FILE"},
    {"overwrite", NULL,
     "start again where run.dir holds a run; only that run's files are removed"},
    {"set", "a.b=c",
     "override a config key, e.g. tasks.NAME.optimizer.lr=1e-2 (repeatable)"},
    {"force", NULL, "resume although the base has other weights of the same shape"},
    {"stop-after", "N", "stop after step N with a checkpoint and exit code 75"},
    {"profile", NULL, "print at the end how much time each operator took"},
    {"print-dir", NULL,
     "print the run folder (run.dir) that these arguments select, and exit"},
    {NULL, NULL, NULL},
};

const fr_command FR_TRAIN_COMMAND = {
    "train", "CONFIG", 1, "tune the prefixes of a config's tasks; runs under mpirun",
    OPTIONS, NULL};

/* Options are checked on every rank, and the ranks agree before any of them makes a run folder. --print-dir lets
 * scripts find that folder without repeating the rules of --set. */
fr_status fr_cmd_train(const fr_cli *cli)
{
    fr_config *config = NULL;
    fr_run_options options = {.resume = fr_options_has(cli->options, "resume"),
                              .resume_file = fr_options_text(cli->options, "resume"),
                              .overwrite = fr_options_has(cli->options, "overwrite"),
                              .force = fr_options_has(cli->options, "force"),
                              .profile = fr_options_has(cli->options, "profile"),
                              .version = FORERUN_VERSION,
                              .program = program_invocation_name,
                              .leave = fr_leave,
                              .signals = cli->signals,
                              .watch = cli->watch,
                              .results = stdout};
    fr_status status = fr_options_int(cli->ctx, cli->options, "stop-after", 1,
                                      INT64_MAX, &options.stop_after);
    if (status == FR_OK && options.resume && options.overwrite) {
        status = FR_FAIL(cli->ctx, FR_ERR_ARG,
                         "--resume continues the run that --overwrite removes; give "
                         "only one of them");
    }
    if (status == FR_OK) {
        status = fr_cli_read_config(cli, &config);
    }
    status = fr_group_agree(cli->world, status);
    if (status == FR_OK && fr_options_has(cli->options, "print-dir")) {
        if (fr_ctx_rank(cli->ctx) == 0) {
            (void)printf("%s\n", config->run.dir);
        }
    } else if (status == FR_OK) {
        status = fr_run(cli->ctx, cli->world, config, &options);
    }
    fr_config_destroy(&config);
    return status;
}
