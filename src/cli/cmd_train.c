#include "cli/commands.h"
#include "train/run.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"resume", "[=FILE]", "go on from the newest checkpoint of run.dir, or from FILE"},
    {"set", "a.b=c",
     "override a config key (repeatable), e.g. tasks.NAME.optimizer.lr=1e-2"},
    {"force", NULL, "resume over other weights of the same shape"},
    {"stop-after", "N", "stop with a checkpoint (exit 75) after step N"},
    {"print-dir", NULL,
     "print the run folder (run.dir) that these arguments give; end"},
    {NULL, NULL, NULL},
};

const fr_command FR_TRAIN_COMMAND = {
    "train", "CONFIG", 1, "tune the prefixes of a config's tasks; runs under mpirun",
    OPTIONS};

static int64_t count_sets(const fr_options *options)
{
    int64_t n = 0;
    while (fr_options_nth(options, "set", n) != NULL) {
        n++;
    }
    return n;
}

static fr_status read_config(const fr_cli *cli, fr_config **out)
{
    const char **sets = NULL;
    int64_t n = count_sets(cli->options);
    FR_TRY(fr_alloc(cli->ctx, n, sizeof *sets, &sets));
    for (int64_t i = 0; i < n; i++) {
        sets[i] = fr_options_nth(cli->options, "set", i);
    }
    fr_status status =
        fr_config_read(cli->ctx, fr_options_positional(cli->options, 0), sets, n, out);
    free(sets);
    return status;
}

fr_status fr_cmd_train(const fr_cli *cli)
{
    fr_config *config = NULL;
    fr_run_options options = {.resume = fr_options_has(cli->options, "resume"),
                              .resume_file = fr_options_text(cli->options, "resume"),
                              .force = fr_options_has(cli->options, "force"),
                              .version = FORERUN_VERSION};
    fr_status status = fr_options_int(cli->ctx, cli->options, "stop-after", 1,
                                      INT64_MAX, &options.stop_after);
    if (status == FR_OK) {
        status = read_config(cli, &config);
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
