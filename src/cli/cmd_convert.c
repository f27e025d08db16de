#include "cli/commands.h"
#include "cli/convert.h"

#include <stdio.h>

static const fr_option OPTIONS[] = {
    {NULL, NULL, NULL},
};

const fr_command FR_CONVERT_COMMAND = {"convert",
                                       "OLD.h5 NEW.h5",
                                       2,
                                       "convert a prefix or checkpoint of an older "
                                       "Forerun (format 1) to this version's format",
                                       OPTIONS,
                                       NULL};

fr_status fr_cmd_convert(const fr_cli *cli)
{
    const char *new_path = fr_options_positional(cli->options, 1);
    int64_t n_tasks = 0;
    int64_t minor = 0;
    FR_TRY(fr_convert(cli->ctx, fr_options_positional(cli->options, 0), new_path,
                      &n_tasks, &minor));
    (void)printf("%s: format %d.%lld, %lld task%s\n", new_path, FR_CHECKPOINT_MAJOR,
                 (long long)minor, (long long)n_tasks, n_tasks == 1 ? "" : "s");
    return FR_OK;
}
