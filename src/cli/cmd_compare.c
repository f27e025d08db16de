#include "cli/commands.h"
#include "train/checkpoint.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"json", NULL, "print one JSON object"},
    {NULL, NULL, NULL},
};

const fr_command FR_COMPARE_COMMAND = {
    "compare", "A.h5 B.h5", 2,
    "exit 0 if prefixes, moments, step and cursor are bit-identical, else 1", OPTIONS};

static fr_status print_json(const fr_cli *cli, const fr_difference *difference)
{
    json_t *largest =
        isfinite(difference->largest) ? json_real(difference->largest) : json_null();
    json_t *object =
        json_pack("{s:b, s:o, s:s}", "identical", (int)difference->identical, "largest",
                  largest, "place", difference->place);
    char *text = json_dumps(object, JSON_COMPACT);
    fr_status status = fr_check_memory(cli->ctx, text != NULL, sizeof *difference);
    if (status == FR_OK) {
        (void)printf("%s\n", text);
    }
    free(text);
    json_decref(object);
    return status;
}

static fr_status print_difference(const fr_cli *cli, const fr_difference *difference)
{
    if (fr_options_has(cli->options, "json")) {
        return print_json(cli, difference);
    }
    if (difference->identical) {
        (void)printf("identical\n");
    } else if (isfinite(difference->largest)) {
        (void)printf("different: largest difference %g at %s\n", difference->largest,
                     difference->place);
    } else {
        (void)printf("different: %s\n", difference->place);
    }
    return FR_OK;
}

fr_status fr_cmd_compare(const fr_cli *cli)
{
    fr_checkpoint *a = NULL;
    fr_checkpoint *b = NULL;
    fr_difference difference;
    fr_status status =
        fr_checkpoint_read(cli->ctx, fr_options_positional(cli->options, 0), &a);
    if (status == FR_OK) {
        status =
            fr_checkpoint_read(cli->ctx, fr_options_positional(cli->options, 1), &b);
    }
    if (status == FR_OK) {
        status = fr_checkpoint_compare(cli->ctx, a, b, &difference);
    }
    if (status == FR_OK) {
        *cli->exit_code = difference.identical ? 0 : 1;
        status = print_difference(cli, &difference);
    }
    fr_checkpoint_destroy(&a);
    fr_checkpoint_destroy(&b);
    return status;
}
