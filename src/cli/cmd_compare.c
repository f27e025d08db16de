#include "base/json_out.h"
#include "base/mem.h"
#include "base/print.h"
#include "cli/commands.h"
#include "train/checkpoint/prefix_file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"json", NULL, "print one JSON object"},
    {NULL, NULL, NULL},
};

const fr_command FR_COMPARE_COMMAND = {
    "compare",
    "A.h5[:TASK] B.h5[:TASK]",
    2,
    "compare two files bit for bit; exit code 0: same prefixes, moments, step and "
    "cursor, 1: different. With :TASK, compare single tasks, whose names may differ",
    OPTIONS,
    NULL};

/* One side: a whole file, or the one task of it that the reference names. */
typedef struct side {
    char *file;
    const char *task; /* within `file`; NULL: not named */
    fr_checkpoint *checkpoint;
    int64_t index;
} side;

static fr_status open_side(const fr_cli *cli, int position, side *out)
{
    FR_TRY(fr_copy_string(cli->ctx, fr_options_positional(cli->options, position),
                          &out->file));
    fr_prefix_file_split(out->file, &out->task);
    return fr_checkpoint_read(cli->ctx, out->file, &out->checkpoint);
}

static void close_side(side *s)
{
    fr_checkpoint_destroy(&s->checkpoint);
    free(s->file);
}

/* A task named on one side alone is compared with the only task of the other file. */
static fr_status compare_sides(const fr_cli *cli, side *a, side *b, fr_difference *out)
{
    if (a->task == NULL && b->task == NULL) {
        return fr_checkpoint_compare(cli->ctx, a->checkpoint, b->checkpoint, out);
    }
    FR_TRY(
        fr_checkpoint_find_task(cli->ctx, a->checkpoint, a->file, a->task, &a->index));
    FR_TRY(
        fr_checkpoint_find_task(cli->ctx, b->checkpoint, b->file, b->task, &b->index));
    return fr_checkpoint_compare_task(cli->ctx, &a->checkpoint->tasks[a->index],
                                      &b->checkpoint->tasks[b->index], out);
}

static fr_status print_json(const fr_cli *cli, const fr_difference *difference)
{
    json_t *largest = fr_json_real(difference->largest);
    json_t *object =
        json_pack("{s:b, s:o, s:o}", "identical", (int)difference->identical, "largest",
                  largest, "place", fr_json_string(difference->place));
    char *text = json_dumps(object, JSON_COMPACT);
    fr_status status = fr_check_memory(cli->ctx, text != NULL, sizeof *difference);
    if (status == FR_OK) {
        (void)printf("%s\n", text);
    }
    free(text);
    json_decref(object);
    return status;
}

/* Without a finite difference only the place is known: what differs there is not a number, or is not finite. */
static fr_status print_difference(const fr_cli *cli, const fr_difference *difference)
{
    if (fr_options_has(cli->options, "json")) {
        return print_json(cli, difference);
    }
    if (difference->identical) {
        fr_print_line(stdout, "identical");
    } else if (isfinite(difference->largest)) {
        fr_print_line(stdout, "different: largest difference %g at %s",
                      difference->largest, difference->place);
    } else {
        fr_print_line(stdout, "different: %s", difference->place);
    }
    return FR_OK;
}

fr_status fr_cmd_compare(const fr_cli *cli)
{
    side a = {0};
    side b = {0};
    fr_difference difference;
    fr_status status = open_side(cli, 0, &a);
    if (status == FR_OK) {
        status = open_side(cli, 1, &b);
    }
    if (status == FR_OK) {
        status = compare_sides(cli, &a, &b, &difference);
    }
    if (status == FR_OK) {
        *cli->exit_code = difference.identical ? 0 : 1;
        status = print_difference(cli, &difference);
    }
    close_side(&a);
    close_side(&b);
    return status;
}
