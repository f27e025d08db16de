#include "cli/config_options.h"

#include "base/mem.h"

#include <stdlib.h>

static int64_t count_sets(const fr_options *options)
{
    int64_t n = 0;
    while (fr_options_nth(options, "set", n) != NULL) {
        n++;
    }
    return n;
}

fr_status fr_cli_read_config(const fr_cli *cli, fr_config **out)
{
    return fr_cli_read_config_at(cli, fr_options_positional(cli->options, 0), out);
}

fr_status fr_cli_read_config_at(const fr_cli *cli, const char *path, fr_config **out)
{
    const char **sets = NULL;
    int64_t n = count_sets(cli->options);
    FR_TRY(fr_alloc(cli->ctx, n, sizeof *sets, &sets));
    for (int64_t i = 0; i < n; i++) {
        sets[i] = fr_options_nth(cli->options, "set", i);
    }
    fr_status status = fr_config_read(cli->ctx, path, sets, n, out);
    free(sets);
    return status;
}
