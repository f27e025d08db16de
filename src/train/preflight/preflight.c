/* Preflight: what each rank sees of its node, its model, the run folder and the links, gathered on rank 0.
 *
 * The order is that of `measure`: the node, the model's shape and the forecast of its memory, the run folder, the
 * digests of the layers, and then clocks and links. A barrier stands before the last two, so that no node still reads
 * its disk while messages are timed. At the end rank 0 gets everything, and preflight_judge.c finds the odd nodes.
 *
 * A fault of one node must not end the measurement, since the others are to be reported too. `note` therefore keeps
 * the first message of a rank as its problem, clears the error, and the rank goes on. Only what stops all ranks
 * together is returned as a failure: memory for the report, and the exchange itself.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/preflight/preflight_impl.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"
#include "comm/link_settle.h"
#include "device/kinds.h"
#include "device/products.h"
#include "model/files/where.h"
#include "model/weights/weights.h"
#include "train/forecast/layout.h"
#include "train/session/rank_share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For ".preflight-" and a rank; for the seconds of a clock and a process number. */
enum { NAME_BYTES = 64, TOKEN_BYTES = 32 };
/* Preflight as a whole is to take less than a minute, and the links need a part of it. A node that does not finish its
 * layers in this time is compared by those that it has hashed. */
static const double HASH_BUDGET_S = 15.0;
/* A shared folder may show a new file of another node only some seconds later. */
static const double SIGHT_BUDGET_S = 4.0;
enum { SIGHT_PAUSE_NS = 100000000 }; /* between two looks */

typedef struct state {
    fr_ctx *ctx;
    fr_group *world;
    const fr_config *config;
    fr_weights *weights; /* NULL: the base could not be opened */
    fr_preflight_rank mine;
    bool is_first; /* rank of its node */
    const char
        *device; /* the kind that run.device means here; NULL: none can be made */
    uint8_t *digests;
    fr_preflight_link *links;
    int64_t *nodes; /* [N] of each rank (fr_group_nodes) */
} state;

/* Keeps the first problem of this rank and clears the context for what follows. */
static void note(fr_ctx *ctx, fr_status status, fr_preflight_rank *mine)
{
    if (status != FR_OK) {
        if (mine->problem[0] == '\0') {
            (void)snprintf(mine->problem, sizeof mine->problem, "%s",
                           fr_ctx_error(ctx));
        }
        fr_ctx_clear_error(ctx);
    }
}

/* A device with one thread is enough to learn the name of the arithmetic. */
static fr_status look_at_device(state *s)
{
    fr_device *device = NULL;
    fr_device_params params = {.kind = s->config->run.device,
                               .n_threads = 1,
                               .node_rank = fr_group_node_rank(s->world),
                               .own_products = fr_config_own_products(s->config)};
    fr_device_facts facts;
    FR_TRY(fr_device_check_kind(s->ctx, "run.device", params.kind));
    FR_TRY(fr_device_settle(s->ctx, params.kind, params.node_rank, &params.kind));
    FR_TRY(fr_device_facts_of(s->ctx, params.kind, params.node_rank, &facts));
    s->mine.device_total = facts.bytes;
    s->mine.device_free = facts.available;
    s->mine.device_bytes = facts.available;
    (void)snprintf(s->mine.device, sizeof s->mine.device, "%s", facts.which);
    (void)snprintf(s->mine.device_name, sizeof s->mine.device_name, "%s", facts.name);
    FR_TRY(fr_device_create(s->ctx, &params, &device));
    (void)snprintf(s->mine.arithmetic, sizeof s->mine.arithmetic, "%s",
                   fr_device_arithmetic(device));
    (void)snprintf(s->mine.products, sizeof s->mine.products, "%s",
                   fr_device_products(device));
    s->mine.variant = fr_device_variant_of(device);
    fr_device_destroy(&device);
    s->device = params.kind;
    return FR_OK;
}

static fr_status look_at_node(state *s)
{
    fr_share share;
    int n_threads = 1;
    FR_TRY(fr_rank_share(s->ctx, s->world, &share));
    fr_status status =
        fr_rank_threads(s->ctx, &share, s->config->run.threads, &n_threads);
    note(s->ctx, status, &s->mine);
    note(s->ctx, look_at_device(s), &s->mine);
    s->mine.n_processors = fr_machine_processors();
    s->mine.n_threads = n_threads;
    fr_machine_host("unknown", s->mine.host, sizeof s->mine.host);
    s->mine.memory_bytes = share.memory.bytes;
    s->mine.is_limited = share.memory.bound != FR_BOUND_MACHINE;
    fr_memory_share_text(&share.memory, s->mine.memory);
    s->mine.node_ranks = fr_group_node_size(s->world);
    s->mine.node_rank = fr_group_node_rank(s->world);
    s->is_first = s->mine.node_rank == 0;
    return FR_OK;
}

/* This rank's stage, and what there is to say of where all ranks are. */
static fr_status find_stage(state *s, const fr_layout *layout, int *stage)
{
    fr_placement placement;
    int replica = 0;
    FR_TRY(fr_placement_init(s->ctx, s->nodes, fr_group_size(s->world),
                             layout->n_stages, &placement));
    fr_placement_of_rank(&placement, fr_group_rank(s->world), stage, &replica);
    fr_placement_text(&placement, s->mine.placement);
    fr_placement_fini(&placement);
    return FR_OK;
}

/* What this rank needs on a layout, at least and at most. */
static fr_status forecast_memory(state *s, const fr_layout_problem *problem,
                                 const fr_layout *layout)
{
    fr_layout_forecast input;
    fr_rank_memory memory;
    int stage = 0;
    FR_TRY(find_stage(s, layout, &stage));
    FR_TRY(fr_layout_forecast_init(s->ctx, problem, layout, &input));
    fr_forecast_memory(&input.params, stage, &memory);
    fr_layout_forecast_fini(&input);
    bool is_apart = problem->limits.device_is_apart;
    s->mine.need_bytes =
        memory.tasks + memory.process + (is_apart ? memory.copies : memory.weights);
    s->mine.likely_bytes = memory.total;
    s->mine.device_need =
        is_apart ? memory.weights + memory.images + memory.products : 0;
    s->mine.device_likely = memory.device;
    return FR_OK;
}

/* The layout that train would choose without reading its rows. */
static fr_status likely_layout(state *s, const fr_rank_limits *limits)
{
    const fr_config *config = s->config;
    const fr_arch *arch = fr_weights_arch(s->weights);
    fr_workload_source *sources = NULL;
    fr_layout layout;
    FR_TRY(fr_alloc(s->ctx, config->n_tasks, sizeof *sources, &sources));
    for (int64_t i = 0; i < config->n_tasks; i++) {
        fr_workload_from_config(arch, &config->tasks[i], &sources[i]);
    }
    fr_layout_problem problem = fr_layout_problem_of(config, arch, s->weights);
    problem.n_ranks = fr_group_size(s->world);
    problem.nodes = s->nodes;
    problem.limits = *limits;
    problem.sources = sources;
    fr_status status =
        fr_layout_microbatch(s->ctx, &problem, &problem.microbatch_tokens);
    if (status == FR_OK) {
        status = fr_layout_resolve(s->ctx, &problem, &layout);
    }
    if (status == FR_OK) {
        fr_sums_wanted sums = {.asked = config->run.sums,
                               .kind = limits->device,
                               .is_shared = limits->device_is_shared};
        fr_sums_likely(s->ctx, &sums, layout.n_replicas, s->mine.sums);
        status = forecast_memory(s, &problem, &layout);
    }
    free(sources);
    return status;
}

/* The kind of device that all ranks have; where some lack it, memory is judged as for CPUs. */
static fr_status common_device(state *s, const char **out)
{
    int64_t is_other = s->device != NULL && strcmp(s->device, "cpu") != 0;
    FR_TRY(fr_group_allreduce(s->world, FR_MIN, &is_other, 1));
    *out = is_other != 0 ? s->device : "cpu";
    return FR_OK;
}

static fr_status open_model(state *s)
{
    char *path = NULL;
    FR_TRY(fr_model_find(s->ctx, s->config->base.path, FR_MODEL_WHOLE, &path));
    fr_status status = fr_weights_open(s->ctx, path, &s->weights);
    free(path);
    return status;
}

/* A missing or damaged model is this node's problem; the others continue. The largest number of layers that any rank
 * sees sets the size of the report, so that every rank sends equally many digests. */
static fr_status look_at_model(state *s, fr_preflight_report *out)
{
    fr_status status = open_model(s);
    note(s->ctx, status, &s->mine);
    int64_t n_layers = 0;
    if (s->weights != NULL) {
        n_layers = fr_weights_arch(s->weights)->n_layers;
    }
    fr_rank_limits limits;
    const char *device = NULL;
    FR_TRY(common_device(s, &device));
    FR_TRY(fr_rank_limits_find(s->ctx, s->world, device,
                               fr_config_own_products(s->config), &limits));
    FR_TRY(fr_group_allreduce(s->world, FR_MAX, &n_layers, 1));
    out->n_digests = n_layers > 0 ? n_layers + 1 : 0;
    status = FR_OK;
    if (s->weights != NULL) {
        status = likely_layout(s, &limits);
    }
    return fr_group_agree(s->world, status);
}

/* Every rank of a node hashes some of the layers; item 0 is what is outside the layers. */
static fr_status hash_model(state *s, int64_t n_digests)
{
    double begin = fr_clock_seconds();
    fr_status status = fr_alloc(s->ctx, n_digests, FR_DIGEST_BYTES, &s->digests);
    FR_TRY(fr_group_agree(s->world, status));
    if (s->weights == NULL) {
        return FR_OK;
    }
    int64_t n_own = fr_weights_arch(s->weights)->n_layers + 1;
    for (int64_t i = s->mine.node_rank;
         i < n_own && status == FR_OK && fr_clock_seconds() - begin < HASH_BUDGET_S;
         i += s->mine.node_ranks) {
        status = fr_weights_digest(s->ctx, s->weights, i - 1,
                                   s->digests + i * FR_DIGEST_BYTES);
    }
    note(s->ctx, status, &s->mine);
    return FR_OK;
}

/* One name for each rank, so that the files of several nodes do not replace each other. */
static fr_status probe_path(state *s, int rank, char **out)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, ".preflight-%d", rank);
    return fr_join_path(s->ctx, s->config->run.dir, name, out);
}

/* The file that `rank` wrote, as this node sees it. */
static fr_status see_probe(state *s, int rank, const char *token)
{
    double begin = fr_clock_seconds();
    char *path = NULL;
    bool seen = false;
    FR_TRY(probe_path(s, rank, &path));
    while (!seen && fr_clock_seconds() - begin < SIGHT_BUDGET_S) {
        char *text = NULL;
        size_t bytes = 0;
        if (fr_file_read(s->ctx, path, &text, &bytes) == FR_OK) {
            seen = strcmp(text, token) == 0;
        } else {
            fr_ctx_clear_error(s->ctx);
        }
        free(text);
        if (!seen) {
            fr_sleep_ns(SIGHT_PAUSE_NS);
        }
    }
    free(path);
    return seen
               ? FR_OK
               : FR_FAIL(
                     s->ctx, FR_ERR_IO,
                     "a file that rank %d wrote in the run folder %s is not visible to "
                     "rank %d; run.dir must be on a file system that all nodes share",
                     rank, s->config->run.dir, fr_group_rank(s->world));
}

/* The first rank of each node writes a file with the token of this preflight; one left by an earlier preflight has
 * another token and so does not count as seen. */
static fr_status write_probe(state *s, const char *token)
{
    char *path = NULL;
    FR_TRY(probe_path(s, fr_group_rank(s->world), &path));
    fr_status status = fr_file_replace(s->ctx, path, token, strlen(token));
    free(path);
    return status;
}

/* Rank 0 and every other node look for each other's file. unseen[N], on rank 0: ranks whose file it cannot see. */
static void see_others(state *s, const char *token, const int64_t *writers,
                       bool *unseen)
{
    if (fr_group_rank(s->world) != 0) {
        if (s->is_first) {
            note(s->ctx, see_probe(s, 0, token), &s->mine);
        }
        return;
    }
    bool give_up = false; /* only the first missing file is waited for */
    for (int r = 1; r < fr_group_size(s->world); r++) {
        if (writers[r] == 1 && !give_up) {
            unseen[r] = see_probe(s, r, token) != FR_OK;
            give_up = unseen[r];
            fr_ctx_clear_error(s->ctx);
        }
    }
}

static void remove_probe(state *s)
{
    char *path = NULL;
    if (probe_path(s, fr_group_rank(s->world), &path) == FR_OK) {
        (void)unlink(path);
    }
    free(path);
}

static fr_status make_token(state *s, char token[TOKEN_BYTES], bool *made_folder)
{
    fr_status status = FR_OK;
    if (fr_group_rank(s->world) == 0) {
        (void)snprintf(token, TOKEN_BYTES, "%lld %ld\n",
                       (long long)(fr_clock_wall_ns() / 1000000000), (long)getpid());
        *made_folder = !fr_is_folder(s->config->run.dir);
        status = fr_make_folder(s->ctx, s->config->run.dir);
        note(s->ctx, status, &s->mine);
    }
    return fr_group_broadcast(s->world, 0, token, TOKEN_BYTES);
}

/* Leaves the run folder as it was. Between the barriers every rank removes its file: not before all have looked, and
 * all before the folder is removed. */
static fr_status clean_folder(state *s, bool made_folder)
{
    FR_TRY(fr_group_barrier(s->world));
    remove_probe(s);
    FR_TRY(fr_group_barrier(s->world));
    if (made_folder) {
        (void)rmdir(s->config->run.dir);
    }
    return FR_OK;
}

/* If rank 0 itself cannot write, that is the problem to report, and looking for the others' files would only take
 * time. */
static fr_status look_at_folder(state *s, bool *unseen)
{
    char token[TOKEN_BYTES] = "";
    bool made_folder = false;
    int64_t *writers = NULL;
    fr_status status =
        fr_alloc(s->ctx, fr_group_size(s->world), sizeof *writers, &writers);
    FR_TRY(fr_group_agree(s->world, status));
    status = make_token(s, token, &made_folder);
    if (status == FR_OK && s->is_first) {
        fr_status wrote = write_probe(s, token);
        writers[fr_group_rank(s->world)] = wrote == FR_OK;
        note(s->ctx, wrote, &s->mine);
    }
    if (status == FR_OK) {
        status = fr_group_allreduce(s->world, FR_SUM, writers, fr_group_size(s->world));
    }
    if (status == FR_OK) {
        if (writers[0] == 1) {
            see_others(s, token, writers, unseen);
        }
        status = clean_folder(s, made_folder);
    }
    free(writers);
    return status;
}

/* Gather `bytes` of every rank on rank 0, in the order of ranks. */
static fr_status collect(state *s, const void *mine, int64_t bytes, void *all)
{
    if (fr_group_rank(s->world) != 0) {
        return fr_group_send(s->world, 0, FR_TAG_PREFLIGHT_REPORT, mine, bytes);
    }
    memcpy(all, mine, (size_t)bytes);
    for (int r = 1; r < fr_group_size(s->world); r++) {
        FR_TRY(fr_group_receive(s->world, r, FR_TAG_PREFLIGHT_REPORT,
                                (char *)all + r * bytes, bytes));
    }
    return FR_OK;
}

static fr_status alloc_report(state *s, fr_preflight_report *out)
{
    int64_t n = out->n_ranks;
    if (fr_group_rank(s->world) != 0) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(s->ctx, n, sizeof *out->ranks, &out->ranks));
    FR_TRY(fr_alloc(s->ctx, n * n, sizeof *out->links, &out->links));
    return fr_alloc(s->ctx, n * out->n_digests, FR_DIGEST_BYTES, &out->digests);
}

/* Ranks that share a device get equal parts of what is free there, as in a run. */
static void share_devices(fr_preflight_report *out)
{
    for (int r = 0; r < out->n_ranks; r++) {
        fr_preflight_rank *rank = &out->ranks[r];
        for (int o = 0; o < out->n_ranks; o++) {
            const fr_preflight_rank *other = &out->ranks[o];
            rank->n_sharers += strcmp(rank->host, other->host) == 0 &&
                               strcmp(rank->device, other->device) == 0;
        }
        rank->device_bytes = rank->device_free / rank->n_sharers;
    }
}

static fr_status gather_report(state *s, const bool *unseen, fr_preflight_report *out)
{
    int64_t n = out->n_ranks;
    FR_TRY(fr_group_agree(s->world, alloc_report(s, out)));
    FR_TRY(collect(s, &s->mine, sizeof s->mine, out->ranks));
    FR_TRY(collect(s, s->links, n * (int64_t)sizeof *s->links, out->links));
    FR_TRY(collect(s, s->digests, out->n_digests * FR_DIGEST_BYTES, out->digests));
    if (out->ranks != NULL) {
        share_devices(out);
    }
    for (int r = 0; r < n && out->ranks != NULL; r++) {
        if (unseen[r] && out->ranks[r].problem[0] == '\0') {
            (void)snprintf(out->ranks[r].problem, sizeof out->ranks[r].problem,
                           "its file in the run folder %s is not visible to rank 0; "
                           "run.dir must be on a file system that all nodes share",
                           s->config->run.dir);
        }
    }
    return FR_OK;
}

static fr_status measure(state *s, bool *unseen, fr_preflight_report *out)
{
    FR_TRY(fr_group_nodes(s->world, s->nodes));
    FR_TRY(look_at_node(s));
    FR_TRY(look_at_model(s, out));
    FR_TRY(look_at_folder(s, unseen));
    FR_TRY(hash_model(s, out->n_digests));
    FR_TRY(fr_group_barrier(s->world));
    FR_TRY(fr_preflight_clocks(s->ctx, s->world, &s->mine));
    FR_TRY(fr_preflight_links(s->ctx, s->world, s->links, &out->all_links));
    return gather_report(s, unseen, out);
}

fr_status fr_preflight_measure(fr_ctx *ctx, fr_group *world, const fr_config *config,
                               fr_preflight_report *out)
{
    state s = {.ctx = ctx, .world = world, .config = config};
    bool *unseen = NULL;
    *out = (fr_preflight_report){.n_ranks = fr_group_size(world)};
    fr_status status = fr_alloc(ctx, out->n_ranks, sizeof *s.links, &s.links);
    if (status == FR_OK) {
        status = fr_alloc(ctx, out->n_ranks, sizeof *unseen, &unseen);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, out->n_ranks, sizeof *s.nodes, &s.nodes);
    }
    status = fr_group_agree(world, status);
    if (status == FR_OK && unseen != NULL) {
        status = measure(&s, unseen, out);
    }
    fr_weights_close(&s.weights);
    free(s.digests);
    free(s.links);
    free(s.nodes);
    free(unseen);
    return status;
}

void fr_preflight_fini(fr_preflight_report *report)
{
    free(report->ranks);
    free(report->links);
    free(report->digests);
    *report = (fr_preflight_report){.n_ranks = 0};
}
