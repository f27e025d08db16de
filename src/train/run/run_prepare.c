/* Everything before the first step, in an order that makes a wrong start fail early.
 *
 * Cheap refusals come first: the model's head, the folder, its lock, the checkpoint to resume and its config. Then
 * the rows are read, then the layout is chosen from them, then weights are loaded. The files of an older run are
 * removed or set aside last, when all that the new run reads has been read and found right.
 *
 * Rank 0 alone writes. What only one rank does, or what may fail on one rank alone, ends in fr_group_agree: all
 * ranks then return the same failure instead of waiting for a rank that has left.
 *
 * The watch starts as soon as there is a folder for its log. From then on a rank that does not come ends the
 * others. */
#define _POSIX_C_SOURCE 200809L
#include "train/run/run_impl.h"

#include "base/file.h"
#include "base/mem.h"
#include "device/kinds.h"
#include "train/run/restore.h"
#include "train/run/run_folder.h"
#include "train/run/task_end.h"
#include "train/run/tasks.h"
#include "train/session/rank_share.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new run wants an empty folder, or one that holds only what a start without a checkpoint left. */
static fr_status check_unused(const fr_run_state *run)
{
    return run->options->resume ? FR_OK
                                : fr_run_folder_check(run->ctx, run->config->run.dir,
                                                      run->options->overwrite);
}

/* A restart waits for the ranks of the run before: a rank lives and writes for about a second after its mpirun is
 * killed, and the mpirun of a killed rank takes two seconds to end. */
static fr_status lock_run_folder(fr_run_state *run)
{
    enum { WAIT_SECONDS = 10, WHAT_BYTES = 512 };
    char what[WHAT_BYTES];
    char *path = NULL;
    FR_TRY(fr_join_path(run->ctx, run->config->run.dir, FR_RUN_LOCK, &path));
    (void)snprintf(what, sizeof what, "run folder %s", run->config->run.dir);
    fr_status status = fr_lock_take(run->ctx, path, what, WAIT_SECONDS, &run->lock);
    free(path);
    return status;
}

/* Whether the folder's latest checkpoint is what the run goes on from. */
static bool resumes_latest(const fr_run_options *options)
{
    return options->resume && (options->resume_file == NULL ||
                               strcmp(options->resume_file, "latest") == 0);
}

/* Rank 0, which writes all files: create the run folder, lock it, and refuse a folder in use unless the run resumes. */
static fr_status make_run_folder(fr_run_state *run)
{
    const char *folder = run->config->run.dir;
    char *log = NULL;
    FR_TRY(check_unused(run));
    FR_TRY(fr_make_folder(run->ctx, folder));
    FR_TRY(lock_run_folder(run));
    FR_TRY(check_unused(run)); /* a run may have come and gone since */
    if (resumes_latest(run->options)) {
        FR_TRY(fr_run_folder_check_resume(run->ctx, folder));
    }
    /* Under the lock: unfinished files of a run that still writes must not be removed. */
    FR_TRY(fr_checkpoint_tidy(run->ctx, folder));
    fr_stop_request_forget(&run->stop);
    FR_TRY(fr_join_path(run->ctx, folder, "log", &log));
    fr_status status = fr_make_folder(run->ctx, log);
    if (status == FR_OK) {
        status = fr_watch_clear(run->ctx, log);
    }
    free(log);
    return status;
}

/* Called when the folder exists, which all ranks have agreed on. */
static fr_status start_watch(fr_run_state *run)
{
    char *log = NULL;
    fr_watch_params params = {.rank = fr_group_rank(run->world),
                              .n_ranks = fr_group_size(run->world),
                              .leave = run->options->leave};
    FR_TRY(fr_ctx_timeout(run->ctx, run->config->run.timeout, &params.timeout_seconds));
    FR_TRY(fr_join_path(run->ctx, run->config->run.dir, "log", &log));
    params.folder = log;
    fr_status status = fr_watch_create(run->ctx, &params, run->options->watch);
    free(log);
    run->watch = *run->options->watch;
    fr_group_set_watch(run->world, run->watch);
    fr_watch_busy(run->watch, "loading");
    return status;
}

/* Every rank reads the checkpoint itself: it is small and read once. */
static fr_status load_checkpoint(fr_run_state *run)
{
    const char *file = run->options->resume_file;
    if (!run->options->resume) {
        return FR_OK;
    }
    if (resumes_latest(run->options)) {
        return fr_checkpoint_load_latest(run->ctx, run->config->run.dir, &run->resumed,
                                         &run->resumed_path);
    }
    FR_TRY(fr_checkpoint_read(run->ctx, file, &run->resumed));
    return fr_copy_string(run->ctx, file, &run->resumed_path);
}

/* Where a run cannot be resumed, a new run can still start from its prefix: the message says how. */
static fr_status name_other_way(const fr_run_state *run, fr_status status)
{
    enum { MESSAGE_BYTES = 2048 };
    char message[MESSAGE_BYTES];
    char *best = NULL;
    (void)snprintf(message, sizeof message, "%s", fr_ctx_error(run->ctx));
    if (status != FR_ERR_CHECKPOINT || run->resumed_path == NULL ||
        fr_join_path(run->ctx, run->config->run.dir, "best.h5", &best) != FR_OK) {
        return status;
    }
    const char *file = fr_file_exists(best) ? best : run->resumed_path;
    fr_ctx_clear_error(run->ctx);
    status =
        FR_FAIL(run->ctx, status,
                "%s; to go on from these weights with other settings, start another "
                "run with prefix: {init: {file: \"%s%s\"}}",
                message, file, run->n_tasks > 1 ? ":TASK" : "");
    free(best);
    return status;
}

/* Check the saved run's identity keys against the config at hand. */
static fr_status check_config(fr_run_state *run)
{
    enum { NAME_BYTES = 32 };
    fr_config *saved = NULL;
    if (run->resumed == NULL || run->resumed->config == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_config_parse_saved(run->ctx, run->resumed_path, run->resumed->config,
                                 &saved));
    fr_status status = fr_config_check_resume(run->ctx, saved, run->config);
    fr_config_destroy(&saved);
    return name_other_way(run, status);
}

/* Each rank falls back from a damaged checkpoint by itself, and a folder that is not shared differs from node to
 * node: so the ranks check that they have read the same step. */
static fr_status agree_on_checkpoint(fr_run_state *run)
{
    int64_t range[2] = {-1, 0}; /* highest step, and the lowest negated */
    for (int64_t i = 0; run->resumed != NULL && i < run->resumed->n_tasks; i++) {
        int64_t step = run->resumed->tasks[i].progress.step;
        range[0] = step > range[0] ? step : range[0];
    }
    range[1] = -range[0];
    FR_TRY(fr_group_allreduce(run->world, FR_MAX, range, 2));
    if (range[0] == -range[1]) {
        return FR_OK;
    }
    return FR_FAIL(run->ctx, FR_ERR_CHECKPOINT,
                   "the ranks read checkpoints of different steps from %s: %lld and "
                   "%lld (-1: none); every rank needs the same, readable run folder",
                   run->config->run.dir, (long long)-range[1], (long long)range[0]);
}

/* The watch starts before the checkpoint is read, so that a rank that hangs there ends the run. A resume without
 * any checkpoint starts at step 0: a script may pass --resume at every start. */
static fr_status open_resume(fr_run_state *run)
{
    fr_status status = FR_OK;
    if (fr_group_rank(run->world) == 0) {
        status = make_run_folder(run);
    }
    FR_TRY(fr_group_agree(run->world, status));
    FR_TRY(fr_group_agree(run->world, start_watch(run)));
    status = load_checkpoint(run);
    if (status == FR_OK) {
        status = check_config(run);
    }
    FR_TRY(fr_group_agree(run->world, status));
    FR_TRY(agree_on_checkpoint(run));
    if (run->options->resume) {
        fr_log(run->ctx, FR_LOG_INFO, "resuming from %s",
               run->resumed_path != NULL ? run->resumed_path
                                         : "nothing: starting at step 0");
    }
    return FR_OK;
}

static fr_status open_tasks(fr_run_state *run)
{
    for (int64_t i = 0; i < run->n_tasks; i++) {
        FR_TRY(fr_task_open(&run->env, &run->config->tasks[i], &run->tasks[i]));
    }
    return FR_OK;
}

/* Three turns. One rank of all tokenises and fills the cache in the run folder, which the nodes share. Then one rank of each node
 * maps it, or tokenises where there is no cache that it can use; then the others. */
static fr_status open_tasks_by_turns(fr_run_state *run)
{
    enum { TURNS = 3 };
    const bool first_here = fr_group_node_rank(run->world) == 0;
    const int mine = fr_group_rank(run->world) == 0 ? 0 : first_here ? 1 : 2;
    fr_status status =
        fr_alloc(run->ctx, run->n_tasks, sizeof *run->tasks, &run->tasks);
    for (int turn = 0; turn < TURNS; turn++) {
        if (status == FR_OK && turn == mine) {
            status = open_tasks(run);
        }
        FR_TRY(fr_group_agree(run->world, status));
    }
    return FR_OK;
}

/* One more than the last position that any row takes. It bounds the tables of positions for all tasks. */
static int64_t last_position(const fr_run_state *run)
{
    int64_t max = 1;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        int64_t own = fr_task_max_position(&run->tasks[i]);
        /* the text that a prefix starts from is at most this long as well */
        max = own > max ? own : max;
    }
    return max;
}

/* The size of microbatches where a task leaves it open: the device decides. */
static fr_status choose_microbatch(fr_run_state *run, fr_layout_problem *problem)
{
    int64_t tokens = 0;
    FR_TRY(fr_layout_microbatch(run->ctx, problem, &tokens));
    problem->microbatch_tokens = tokens;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        run->tasks[i].microbatch_tokens =
            fr_microbatch_tokens(&run->config->tasks[i], tokens);
    }
    if (problem->limits.device_is_apart) {
        fr_log(run->ctx, FR_LOG_INFO,
               "batch.microbatch_tokens: auto is %lld on these devices",
               (long long)tokens);
    }
    return FR_OK;
}

/* The layout, and the share of rows with a target that its split of layers stands on. */
static fr_status choose_layout(fr_run_state *run, const fr_rank_limits *limits,
                               fr_session_params *params)
{
    fr_workload_source *sources = NULL;
    FR_TRY(fr_alloc(run->ctx, run->n_tasks, sizeof *sources, &sources));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        fr_workload_from_rows(run->tasks[i].train, run->tasks[i].length, &sources[i]);
    }
    fr_layout_problem problem =
        fr_layout_problem_of(run->config, run->env.arch, run->session.weights);
    problem.n_ranks = fr_group_size(run->world);
    problem.nodes = run->session.nodes;
    problem.limits = *limits;
    problem.sources = sources;
    fr_status status = choose_microbatch(run, &problem);
    if (status == FR_OK) {
        status = fr_layout_settle(run->ctx, &problem, &params->layout, &params->needs);
    }
    params->target_share = fr_workload_target_share(sources, run->n_tasks);
    free(sources);
    return status;
}

/* Each rank has its own limits, and all must choose the same layout: fr_rank_limits_find has agreed on them. */
static fr_status load_session(fr_run_state *run)
{
    fr_session *s = &run->session;
    fr_session_params params = {.precision = run->config->run.precision,
                                .quantised = run->config->base.quantised,
                                .own_products = fr_config_own_products(run->config),
                                .links = run->config->run.links,
                                .sums = run->config->run.sums,
                                .threads = run->config->run.threads,
                                .max_position = last_position(run),
                                .warmup_depth = run->config->run.warmup_depth,
                                .recompute = run->config->run.recompute};
    fr_rank_limits limits;
    FR_TRY(fr_rank_limits_find(run->ctx, run->world, run->config->run.device,
                               params.own_products, &limits));
    params.device = limits.device;
    params.device_is_shared = limits.device_is_shared;
    FR_TRY(fr_group_agree(run->world, choose_layout(run, &limits, &params)));
    return fr_session_load(s, &params);
}

/* Local: take the task's best prefix so far from best.h5. */
static fr_status read_best(const fr_run_state *run, fr_task *task, bool *found)
{
    char *path = NULL;
    fr_checkpoint *best = NULL;
    *found = false;
    fr_status status = fr_join_path(run->ctx, run->config->run.dir, "best.h5", &path);
    if (status == FR_OK) {
        status = fr_checkpoint_read(run->ctx, path, &best);
    }
    for (int64_t i = 0; status == FR_OK && i < best->n_tasks; i++) {
        const fr_checkpoint_task *saved = &best->tasks[i];
        if (strcmp(saved->name, task->config->name) == 0 &&
            saved->length == task->length && saved->first_layer == task->layers.first &&
            saved->n_layers == task->layers.count &&
            saved->length * saved->n_kv_heads * saved->head_dim == task->layer_floats) {
            int64_t from =
                (task->local.first - task->layers.first) * task->layer_floats;
            /* Only this rank's layers: the file has those of all stages, without a gap. */
            size_t bytes = (size_t)task->n_local * sizeof(float);
            memcpy(task->best.k, saved->state.k + from, bytes);
            memcpy(task->best.v, saved->state.v + from, bytes);
            *found = true;
        }
    }
    fr_checkpoint_destroy(&best);
    free(path);
    return status;
}

/* The best prefix so far, so that a later best.h5 still holds every task's. Where a rank cannot read it, the best
 * validation is forgotten on all of them: the next one counts as the best and is kept. */
static fr_status restore_best(fr_run_state *run, fr_task *task)
{
    bool found = false;
    fr_status status = read_best(run, task, &found);
    int64_t n_found = found ? 1 : 0;
    if (status != FR_OK || !found) {
        fr_log_own(run->ctx, FR_LOG_WARN, "task %s: its best prefix so far is lost%s%s",
                   task->config->name, status != FR_OK ? ": " : "",
                   fr_ctx_error(run->ctx));
        fr_ctx_clear_error(run->ctx);
    }
    FR_TRY(fr_group_allreduce(run->world, FR_MIN, &n_found, 1));
    if (n_found == 0) {
        task->progress.best_loss = (double)INFINITY;
        task->progress.best_step = -1;
    }
    return FR_OK;
}

/* The task's prefix comes from the checkpoint if that holds the task, else from its init. */
static fr_status start_task(fr_run_state *run, fr_task *task)
{
    const fr_session *s = &run->session;
    bool found = false;
    fr_status status = fr_task_alloc(&run->env, s->stage, s->host, task);
    if (status == FR_OK && run->resumed != NULL) {
        status =
            fr_restore_task(&run->env, run->resumed_path, run->resumed, task, &found);
        status = name_other_way(run, status);
    }
    FR_TRY(fr_group_agree(run->world, status));
    if (found) {
        fr_task_show_prefix(task);
        fr_task_end_repeat(&run->env, task);
        return isfinite(task->progress.best_loss) ? restore_best(run, task) : FR_OK;
    }
    return fr_group_agree(run->world, fr_task_init_prefix(&run->env, s->engine, task));
}

/* The resolved config: what `auto` became, with overrides and the sweep, so that a run can be repeated from it. */
static fr_status write_config(fr_run_state *run)
{
    char *path = NULL;
    FR_TRY(fr_join_path(run->ctx, run->config->run.dir, "config.yaml", &path));
    fr_status status =
        fr_file_replace(run->ctx, path, run->config_text, strlen(run->config_text));
    free(path);
    return status;
}

/* A task that has stopped does no more steps, so it counts with those it has done. */
static fr_status start_files(fr_run_state *run)
{
    int64_t total = 0;
    for (int64_t i = 0; i < run->n_tasks; i++) {
        const fr_task *task = &run->tasks[i];
        total += task->progress.stopped ? task->progress.step : task->n_steps;
    }
    if (fr_group_rank(run->world) == 0) {
        /* only now, when all is read that the new run needs: its data may be wrong, its init may be one of these
         * files */
        if (run->options->overwrite) {
            FR_TRY(fr_run_folder_clear(run->ctx, run->config->run.dir));
        } else if (run->resumed == NULL) {
            FR_TRY(fr_run_folder_set_best_aside(run->ctx, run->config->run.dir));
        }
        FR_TRY(write_config(run));
    }
    return fr_metrics_open(run->ctx, run->config->run.dir, run->tasks, run->n_tasks,
                           total, &run->metrics);
}

/* `newest` tells that a checkpoint of these very steps exists, so a run that is resumed and stops at once writes
 * none. */
static fr_status open_saves(fr_run_state *run)
{
    const fr_session *s = &run->session;
    fr_saves_params params = {
        .env = &run->env,
        .grid = &run->session.grid,
        .tasks = run->tasks,
        .n_tasks = run->n_tasks,
        .metrics = run->metrics,
        .watch = run->watch,
        .folder = run->config->run.dir,
        .keep = run->config->run.keep,
        .newest = run->resumed != NULL ? fr_tasks_total(run->tasks, run->n_tasks) : -1,
        .identity = {.shape = s->shape,
                     .isa = s->variants,
                     .arithmetic = fr_device_arithmetic(s->device),
                     .version = run->options->version,
                     .layout = s->layout,
                     .config = run->config_text}};
    memcpy(params.identity.digest, s->digest, FR_DIGEST_BYTES);
    return fr_saves_open(&params, &run->saves);
}

/* The folder is opened after fr_session_open, because that reads the model's head only and refuses a wrong base
 * before any folder is made. */
fr_status fr_run_prepare(fr_run_state *run)
{
    run->n_tasks = run->config->n_tasks;
    FR_TRY(fr_group_agree(run->world, fr_device_check_kind(run->ctx, "run.device",
                                                           run->config->run.device)));
    FR_TRY(fr_group_agree(run->world,
                          fr_config_write(run->ctx, run->config, &run->config_text)));
    FR_TRY(
        fr_session_open(run->ctx, run->world, run->config->base.path, &run->session));
    run->env = (fr_task_env){.ctx = run->ctx,
                             .config = run->config,
                             .tokenizer = run->session.tokenizer,
                             .no_tokenizer = run->session.no_tokenizer,
                             .eos = run->session.ends.eos,
                             .arch = fr_weights_arch(run->session.weights)};
    FR_TRY(open_resume(run));
    fr_watch_busy(run->watch, "tokenising");
    FR_TRY(open_tasks_by_turns(run));
    fr_watch_busy(run->watch, "loading");
    FR_TRY(load_session(run));
    FR_TRY(fr_group_agree(run->world, fr_run_check_base(run)));
    for (int64_t i = 0; i < run->n_tasks; i++) {
        FR_TRY(start_task(run, &run->tasks[i]));
    }
    FR_TRY(fr_group_agree(run->world, start_files(run)));
    return open_saves(run);
}
