/* `forerun prefix`: several prefixes of one base in one file, from which `generate`, `eval` and `init: {file: ...}` take
 * them by FILE:TASK.
 *
 * list and info read any prefix file or checkpoint. The other verbs change a file; it then has no optimizer state, which
 * belongs to a run. */
#include "base/mem.h"
#include "base/print.h"
#include "cli/commands.h"
#include "cli/prefix_change.h"
#include "cli/prefix_show.h"
#include "train/checkpoint/collection.h"
#include "train/checkpoint/prefix_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"as", "NAME", "the new prefix's name in FILE"},
    {NULL, NULL, NULL},
};

enum { LIST, INFO, ADD, REMOVE, RENAME, AVERAGE, STRIP };

static const fr_verb VERBS[] = {
    [LIST] = {"list", "FILE", 1, 1, "", "print one line for each prefix"},
    [INFO] = {"info", "FILE[:TASK]", 1, 1, "",
              "print everything that is known of the file and of a prefix, or of all"},
    [ADD] = {"add", "FILE OTHER[:TASK]", 2, 2, "as",
             "copy a prefix from another file; FILE is made where it is missing"},
    [REMOVE] = {"remove", "FILE TASK...", 2, INT_MAX, "", "remove prefixes"},
    [RENAME] = {"rename", "FILE OLD NEW", 3, 3, "", "rename a prefix"},
    [AVERAGE] = {"average", "FILE TASK...", 3, INT_MAX, "as",
                 "add the mean of two or more prefixes under the name of --as"},
    [STRIP] = {"strip", "FILE", 1, 1, "",
               "leave out config, paths, init texts and digests of data"},
    {NULL, NULL, 0, 0, NULL, NULL},
};

const fr_command FR_PREFIX_COMMAND = {
    "prefix", "VERB ...", 0, "keep several prefixes of one base in one file",
    OPTIONS,  VERBS,
};

static fr_status show_list(const fr_cli *cli, const char *path)
{
    fr_checkpoint *checkpoint = NULL;
    FR_TRY(fr_checkpoint_read(cli->ctx, path, &checkpoint));
    fr_status status = fr_prefix_list(cli->ctx, checkpoint);
    fr_checkpoint_destroy(&checkpoint);
    return status;
}

static fr_status show_info(const fr_cli *cli, const char *reference)
{
    fr_checkpoint *checkpoint = NULL;
    const char *task = NULL;
    char *file = NULL;
    int64_t index = -1;
    FR_TRY(fr_copy_string(cli->ctx, reference, &file));
    fr_prefix_file_split(file, &task);
    fr_status status = fr_checkpoint_read(cli->ctx, file, &checkpoint);
    if (status == FR_OK && task != NULL) {
        status = fr_checkpoint_find_task(cli->ctx, checkpoint, file, task, &index);
    }
    if (status == FR_OK) {
        status = fr_prefix_info(cli->ctx, file, checkpoint, index);
    }
    fr_checkpoint_destroy(&checkpoint);
    free(file);
    return status;
}

/* ---- changes ---------------------------------------------------------------------------------- */

/* The positionals behind FILE. */
static fr_status take_names(const fr_cli *cli, const char ***names,
                            fr_collection_names *out)
{
    out->n = fr_options_n_positionals(cli->options) - 1;
    FR_TRY(fr_alloc(cli->ctx, out->n, sizeof **names, names));
    for (int i = 0; i < out->n; i++) {
        (*names)[i] = fr_options_positional(cli->options, i + 1);
    }
    out->names = *names;
    return FR_OK;
}

static void say(const fr_prefix_change *change, const char *what)
{
    long long n = (long long)change->collection->n_tasks;
    fr_print_line(stdout, "%s: %s; it holds %lld prefix%s", change->path, what, n,
                  n == 1 ? "" : "es");
}

/* The other file is read under the lock, since it may be the same file. */
static fr_status add_from(const fr_cli *cli, fr_prefix_change *change,
                          const char *reference)
{
    enum { WHAT_BYTES = 320 };
    char what[WHAT_BYTES];
    bool trained = false;
    fr_collection_source source = {.path = reference};
    FR_TRY(fr_prefix_file_open(cli->ctx, reference, &source.file, &source.index));
    fr_status status = FR_OK;
    if (change->collection == NULL) {
        status =
            fr_collection_create(cli->ctx, reference, source.file, &change->collection);
    }
    if (status == FR_OK) {
        status = fr_collection_add(cli->ctx, change->collection, change->path, &source,
                                   fr_options_text(cli->options, "as"), &trained);
    }
    if (status == FR_OK) {
        status = fr_prefix_change_write(change);
    }
    if (status == FR_OK) {
        const fr_checkpoint *c = change->collection;
        (void)snprintf(what, sizeof what, "%s is added", c->tasks[c->n_tasks - 1].name);
        say(change, what);
    }
    if (status == FR_OK && trained) {
        fr_print_line(
            stdout,
            "left out: the optimizer's state and, with an MLP, its tensors; "
            "the prefix that is used stays, but a run goes on from that file only");
    }
    fr_checkpoint_destroy(&source.file);
    return status;
}

static fr_status change_names(const fr_cli *cli, fr_prefix_change *change, int verb)
{
    enum { WHAT_BYTES = 320 };
    char what[WHAT_BYTES];
    const char **names = NULL;
    fr_collection_names which;
    const char *as = NULL;
    FR_TRY(take_names(cli, &names, &which));
    fr_status status = FR_OK;
    if (verb == REMOVE) {
        status =
            fr_collection_remove(cli->ctx, change->collection, change->path, &which);
        (void)snprintf(what, sizeof what, "removed what was named");
    } else if (verb == RENAME) {
        status = fr_collection_rename(cli->ctx, change->collection, change->path,
                                      names[0], names[1]);
        (void)snprintf(what, sizeof what, "%.100s is named %.100s", names[0], names[1]);
    } else {
        status = fr_options_need(cli->ctx, cli->options, "as", &as);
        if (status == FR_OK) {
            status = fr_collection_average(cli->ctx, change->collection, change->path,
                                           &which, as);
        }
        (void)snprintf(what, sizeof what, "%.100s is the average of %lld prefixes",
                       as != NULL ? as : "", (long long)which.n);
    }
    if (status == FR_OK) {
        status = fr_prefix_change_write(change);
    }
    if (status == FR_OK) {
        say(change, what);
    }
    free(names);
    return status;
}

static fr_status strip(fr_prefix_change *change)
{
    fr_collection_strip(change->collection);
    FR_TRY(fr_prefix_change_write(change));
    say(change, "config, paths, init texts and digests of data are left out");
    return FR_OK;
}

fr_status fr_cmd_prefix(const fr_cli *cli)
{
    int verb = fr_options_verb(cli->options);
    const char *path = fr_options_positional(cli->options, 0);
    fr_prefix_change change;
    if (verb == LIST) {
        return show_list(cli, path);
    }
    if (verb == INFO) {
        return show_info(cli, path);
    }
    fr_status status = fr_prefix_change_begin(cli->ctx, path, verb == ADD, &change);
    if (status == FR_OK && verb == ADD) {
        status = add_from(cli, &change, fr_options_positional(cli->options, 1));
    } else if (status == FR_OK && verb == STRIP) {
        status = strip(&change);
    } else if (status == FR_OK) {
        status = change_names(cli, &change, verb);
    }
    fr_prefix_change_end(&change);
    return status;
}
