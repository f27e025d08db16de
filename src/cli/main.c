/* The program: choose the command, make the world of ranks, run it, print a failure once, choose the exit code.
 *
 * Order in run_command, which undoes everything in reverse:
 *   signals    first, so that a signal ends the process at once as long as there is nothing to save
 *   world      MPI if a launcher started this process and the command works on ranks, else one rank
 *   guard      a watch over ranks by messages, for commands that have no run folder (train makes its own watch)
 *   options    parsed on all ranks alike, so every rank fails or prints help together
 *   command    gets fr_cli; returns a status and may set an exit code of its own
 *   output     flushed and checked: a full disk behind standard output is a failure
 *
 * Signals and farewell are never destroyed, because their thread may need them until the process has ended. The watch
 * is destroyed after the world, so that it still sees a rank that hangs while MPI is finalised.
 */
#include "cli/commands.h"
#include "cli/wait_rank.h"
#include "comm/post.h"
#include "device/kinds.h"
#include "model/families/families.h"
#include "train/config/config.h"
#include "train/run/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One command. */
typedef struct entry {
    const fr_command *command;
    fr_status (*run)(const fr_cli *cli);
    bool on_ranks; /* works on all ranks of mpirun */
    bool
        trains; /* saves what it has when a signal asks, and watches its ranks through its run folder */
} entry;

static const entry ENTRIES[] = {
    {&FR_TRAIN_COMMAND, fr_cmd_train, true, true},
    {&FR_PLAN_COMMAND, fr_cmd_plan, false, false},
    {&FR_PREFLIGHT_COMMAND, fr_cmd_preflight, true, false},
    {&FR_EVAL_COMMAND, fr_cmd_eval, true, false},
    {&FR_GENERATE_COMMAND, fr_cmd_generate, true, false},
    {&FR_CHAT_COMMAND, fr_cmd_chat, true, false},
    {&FR_SERVE_COMMAND, fr_cmd_serve, true, false},
    {&FR_INSPECT_COMMAND, fr_cmd_inspect, false, false},
    {&FR_COMPARE_COMMAND, fr_cmd_compare, false, false},
    {&FR_CONVERT_COMMAND, fr_cmd_convert, false, false},
    {&FR_IMPORT_COMMAND, fr_cmd_import, false, false},
    {&FR_EXPORT_COMMAND, fr_cmd_export, false, false},
    {&FR_PREFIX_COMMAND, fr_cmd_prefix, false, false},
    {&FR_DATA_COMMAND, fr_cmd_data, false, false},
    {&FR_TOKENIZE_COMMAND, fr_cmd_tokenize, false, false},
};
enum { N_ENTRIES = sizeof ENTRIES / sizeof ENTRIES[0] };

static void print_usage(FILE *out)
{
    (void)fprintf(out, "forerun " FORERUN_VERSION
                       ": tune prefixes over a frozen transformer\n\n"
                       "usage: forerun COMMAND [options]\n\ncommands:\n");
    for (int i = 0; i < N_ENTRIES; i++) {
        (void)fprintf(out, "  %-10s %s\n", ENTRIES[i].command->name,
                      ENTRIES[i].command->summary);
    }
    (void)fprintf(
        out,
        "\nforerun COMMAND --help    print the options of a command\n"
        "forerun --help-config     print every key of a training config\n"
        "forerun --help-models     print the families of models that are taken\n"
        "forerun --version         print the version\n\n"
        "environment variables, none of which changes a result:\n"
        "  FORERUN_LOG        error, warn, info (default) or debug\n"
        "  FORERUN_LOG_RANKS  all: every rank logs (default: only rank 0)\n"
        "  FORERUN_TIMEOUT    end a run after this many seconds without progress; 0: "
        "never\n"
        "  FORERUN_ISA        highest instruction set to compute with: generic, avx2,\n"
        "                     avx512 or avx512_vnni (default: the processor's best)\n"
        "  FORERUN_SYNC       1: wait after each kernel of a GPU and name one that "
        "fails\n"
        "  FORERUN_CACHE      folder that keeps digests of weights; 0: keep none\n"
        "  FORERUN_WAIT_RANK  this rank waits at its start for a debugger\n"
        "  OMP_NUM_THREADS    threads of a rank, unless --threads or run.threads is "
        "given\n");
}

static const entry *find_entry(const char *name)
{
    for (int i = 0; i < N_ENTRIES; i++) {
        if (strcmp(ENTRIES[i].command->name, name) == 0) {
            return &ENTRIES[i];
        }
    }
    return NULL;
}

/* Options without a command: the exit code, or -1 if `word` is not one of them. */
static int run_simple(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(word, "--help-config") == 0) {
        fr_config_print_help(stdout);
        return 0;
    }
    if (strcmp(word, "--help-models") == 0) {
        fr_families_print(stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        (void)printf("forerun " FORERUN_VERSION "\n");
        return 0;
    }
    return -1;
}

/* Print the failure once: all ranks that agreed have the same; a rank that abandoned the others prints its own. */
static void report(const fr_ctx *ctx, const fr_group *world, fr_status status)
{
    const char *message = fr_ctx_error(ctx);
    bool is_alone = world != NULL && fr_group_is_abandoned(world);
    if (fr_ctx_rank(ctx) != 0 && !is_alone) {
        return;
    }
    if (status == FR_ERR_STOPPED) {
        fr_log(ctx, FR_LOG_INFO, "%s", message);
    } else {
        fr_log_own(ctx, FR_LOG_ERROR, "%s [%s, %s]",
                   message[0] != '\0' ? message : fr_status_text(status),
                   fr_status_text(status), fr_ctx_error_place(ctx));
    }
}

/* A watch by messages needs an MPI that lets several threads send; training watches through its run folder instead. */
static fr_status make_world(fr_ctx *ctx, const entry *chosen, int *argc, char ***argv,
                            fr_group **world)
{
    if (!chosen->on_ranks || !fr_group_launched_by_mpi()) {
        return fr_group_create_self(ctx, world);
    }
    return chosen->trains ? fr_group_create_world(ctx, argc, argv, world)
                          : fr_group_create_threaded_world(ctx, argc, argv, world);
}

/* The watch of a command on ranks without a run folder, and the group that carries its messages. */
typedef struct guard {
    fr_post *post;
    fr_watch *watch;
} guard;

static fr_status open_guard(fr_ctx *ctx, const entry *chosen, fr_group *world,
                            fr_farewell *farewell, guard *g)
{
    enum { DEFAULT_SECONDS = 600 }; /* as run.timeout */
    fr_watch_params params = {.rank = fr_group_rank(world),
                              .n_ranks = fr_group_size(world),
                              .leave = fr_leave,
                              .argument = farewell};
    if (chosen->trains || params.n_ranks == 1) {
        return FR_OK;
    }
    FR_TRY(fr_group_agree(
        world, fr_ctx_timeout(ctx, DEFAULT_SECONDS, &params.timeout_seconds)));
    FR_TRY(fr_group_allreduce(world, FR_MAX, &params.timeout_seconds, 1));
    if (params.timeout_seconds > 0 && !fr_group_is_threaded(world)) {
        fr_log(ctx, FR_LOG_WARN,
               "this MPI lets one thread send messages, so Forerun waits without limit "
               "for a rank that stops");
    } else if (params.timeout_seconds > 0) {
        FR_TRY(fr_post_create(ctx, world, &g->post));
        params.channel = fr_post_channel(g->post);
        FR_TRY(fr_group_agree(world, fr_watch_create(ctx, &params, &g->watch)));
        fr_group_set_watch(world, g->watch);
        fr_watch_busy(g->watch, "loading");
    }
    return FR_OK;
}

/* A rank that abandons the others does not wait for them: when it exits, the launcher ends them. */
static void close_guard(guard *g, const fr_group *world, fr_status status)
{
    if (g->post != NULL && g->watch != NULL && status != FR_ERR_COMM &&
        !fr_group_is_abandoned(world)) {
        fr_watch_busy(g->watch, "closing");
        fr_watch_close(g->watch);
        fr_post_destroy(&g->post);
    }
}

/* Results must have reached standard output: a full disk behind it is a failure too. */
static fr_status flush_output(fr_ctx *ctx)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        return FR_FAIL(ctx, FR_ERR_IO,
                       "cannot write to standard output; is the disk full?");
    }
    return FR_OK;
}

/* A wrong FORERUN_ISA fails every command, also those that do not compute. */
static fr_status check_settings(fr_ctx *ctx, fr_group *world)
{
    return fr_group_agree(world, fr_device_check_kind(ctx, "the device", "auto"));
}

/* The order and its reasons are in the opening comment. A failure skips to the report; the rest is undone in any
 * case. */
static int run_command(fr_ctx *ctx, const entry *chosen, int argc, char **argv)
{
    fr_group *world = NULL;
    fr_watch *watch = NULL;
    fr_options *options = NULL;
    guard own = {NULL, NULL};
    int exit_code = 0;
    /* never destroyed: it answers until the process has ended */
    fr_signals *signals = NULL;
    fr_farewell *farewell = fr_farewell_create();
    fr_signals_params params = {
        .trains = chosen->trains, .leave = fr_leave, .argument = farewell};
    fr_status status = fr_signals_create(ctx, &params, &signals);
    if (status == FR_OK) {
        status = make_world(ctx, chosen, &argc, &argv, &world);
    }
    if (status == FR_OK) {
        status = fr_wait_for_debugger(ctx, world);
    }
    if (status == FR_OK) {
        status = open_guard(ctx, chosen, world, farewell, &own);
    }
    if (status == FR_OK) {
        status = fr_options_parse(ctx, chosen->command, argc, argv, &options);
    }
    if (status == FR_OK && fr_options_help(options)) {
        if (fr_ctx_rank(ctx) == 0) {
            fr_command_help(chosen->command, stdout);
        }
    } else if (status == FR_OK) {
        fr_cli cli = {ctx, world, options, signals, &watch, &exit_code, farewell};
        status = check_settings(ctx, world);
        if (status == FR_OK) {
            status = chosen->run(&cli);
        }
    }
    if (status == FR_OK) {
        status = flush_output(ctx);
    }
    if (status != FR_OK) {
        report(ctx, world, status);
        exit_code = fr_status_exit_code(status);
    }
    fr_options_destroy(&options);
    if (world != NULL) {
        close_guard(&own, world, status);
    }
    fr_group_destroy(&world);
    fr_watch_destroy(&watch);
    fr_watch_destroy(&own.watch);
    return exit_code;
}

int main(int argc, char **argv)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond a limit fails and is reported */
    if (argc < 2) {
        print_usage(stderr);
        return fr_status_exit_code(FR_ERR_ARG);
    }
    int simple = run_simple(argv[1]);
    if (simple >= 0) {
        return simple;
    }
    fr_ctx *ctx = fr_ctx_create();
    if (ctx == NULL) {
        return fr_status_exit_code(FR_ERR_NO_MEMORY);
    }
    const entry *chosen = find_entry(argv[1]);
    int exit_code = fr_status_exit_code(FR_ERR_ARG);
    if (chosen != NULL) {
        exit_code = run_command(ctx, chosen, argc - 1, argv + 1);
    } else {
        fr_log(ctx, FR_LOG_ERROR, "unknown command %s; forerun --help lists them",
               argv[1]);
    }
    fr_ctx_destroy(&ctx);
    return exit_code;
}
