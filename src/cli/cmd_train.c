#define _GNU_SOURCE /* program_invocation_name */
#include "cli/commands.h"
#include "cli/config_options.h"
#include "train/run/run.h"

#include <errno.h>
#include <stdio.h>

static const fr_option OPTIONS[] = {
    {"resume", "[=FILE]", "go on from the newest checkpoint of run.dir, or from FILE"},
    {"overwrite", NULL,
     "start anew where run.dir holds a run, and remove that run's files alone"},
    {"set", "a.b=c",
     "override a config key (repeatable), e.g. tasks.NAME.optimizer.lr=1e-2"},
    {"force", NULL, "resume over other weights of the same shape"},
    {"stop-after", "N", "stop with a checkpoint (exit 75) after step N"},
    {"profile", NULL, "tell at the end what each operator took of the time"},
    {"print-dir", NULL,
     "print the run folder (run.dir) that these arguments give; end"},
    {NULL, NULL, NULL},
};

const fr_command FR_TRAIN_COMMAND = {
    "train", "CONFIG", 1, "tune the prefixes of a config's tasks; runs under mpirun",
    OPTIONS};

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
        status =
            FR_FAIL(cli->ctx, FR_ERR_ARG,
                    "--resume goes on with the run that --overwrite removes; leave "
                    "one of them out");
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
