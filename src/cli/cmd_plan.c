/* `forerun plan`: what a run would need and how long its steps would take, on a cluster that need not exist here.
 *
 * The machine is described by options, and only the memory and the speed of SHA-256 have defaults from this machine.
 * The config, the shape of the model and, where they exist, the rows are read; the values of the weights never are.
 * The forecast uses the same memory formulas and the same list of layouts as `train`.
 *
 * Two layouts can differ. `train` chooses with assumed speeds, because it does not know the ones given here; the plan
 * lists all layouts at the speeds that are given. The forecast is of the one that `train` chooses, and the report
 * says so if another one is faster. The exit code is 1 if the chosen layout does not fit in memory.
 */
#include "base/mem.h"
#include "base/output.h"
#include "cli/commands.h"
#include "cli/config_options.h"
#include "cli/inference_options.h"
#include "cli/plan_loading.h"
#include "cli/plan_needed.h"
#include "cli/plan_picture.h"
#include "cli/plan_report.h"
#include "cli/plan_sources.h"
#include "device/kinds.h"
#include "model/files/where.h"
#include "train/session/session.h"

#include <math.h>
#include <stdlib.h>

static const fr_option OPTIONS[] = {
    {"ranks", "N", "number of ranks of the run (required)"},
    {"node-memory", "SIZE",
     "main memory of a node (not of a GPU), e.g. 512G, 80GiB, 80GB (default: the free "
     "memory of this machine)"},
    {"device-memory", "SIZE",
     "memory of a rank's device, where that is not the node's, e.g. 80GB of a GPU"},
    {"ranks-per-node", "K",
     "ranks that share a node: its memory, and links inside it (default 1)"},
    {"ranks-per-gpu", "K",
     "ranks that share a device with memory of its own (default 1)"},
    {"link-gbps", "X",
     "speed of a link between two ranks on different nodes, Gbit/s one way (default "
     "10)"},
    {"link-us", "L", "its latency in microseconds (default 20)"},
    {"node-link-gbps", "X",
     "speed of a link between two ranks on one node, Gbit/s one way (default 40, or "
     "--link-gbps where that is more)"},
    {"node-link-us", "L",
     "its latency in microseconds (default 2, or --link-us where that is less)"},
    {"disk", "SIZE", "bytes per second that one node reads, e.g. 2GB (default 1GB)"},
    {"disk-shared", "SIZE",
     "bytes per second that all nodes read together, e.g. 20GB (default: no common "
     "limit)"},
    {"flops", "X", "sustained FLOP/s of a rank (default 1e11: one core with AVX2)"},
    {"tokens-per-example", "N", "assume this size and do not read the rows"},
    {"target-share", "X",
     "share of tokens with a target, 0 to 1, where no rows are read"},
    {"svg", "FILE", "write a picture of the schedule to this file"},
    {"json", NULL, "print one JSON object instead of tables"},
    {"set", "a.b=c", "override a config key, as in train (repeatable)"},
    {NULL, NULL, NULL},
};

const fr_command FR_PLAN_COMMAND = {
    "plan",
    "CONFIG",
    1,
    "forecast layout, memory, traffic and time of a run, without reading weights",
    OPTIONS,
    NULL};

/* Larger than any cluster; it must fit in an int. */
enum { MAX_RANKS = 1000000 };

static fr_status read_positive(const fr_cli *cli, const char *name, double *out)
{
    FR_TRY(fr_options_real(cli->ctx, cli->options, name, out));
    if (fr_options_has(cli->options, name) && !(*out > 0.0)) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG, "--%s is %g; it must be above 0", name,
                       *out);
    }
    return FR_OK;
}

/* Options are in Gbit/s and microseconds, a link in bytes per second and seconds. */
static fr_status read_link(const fr_cli *cli, const char *rate, const char *latency,
                           fr_link_speed *out)
{
    double gbps = out->bytes * 8e-9;
    double us = out->seconds * 1e6;
    FR_TRY(read_positive(cli, rate, &gbps));
    FR_TRY(read_positive(cli, latency, &us));
    out->bytes = gbps * 1e9 / 8.0;
    out->seconds = us * 1e-6;
    return FR_OK;
}

/* The report marks what was assumed. A link inside a node is not assumed to be slower than one between nodes that is
 * given. */
static fr_status read_machine(const fr_cli *cli, fr_plan_report *report,
                              fr_machine *out)
{
    FR_TRY(read_positive(cli, "flops", &out->flops));
    FR_TRY(read_link(cli, "link-gbps", "link-us", &out->between));
    out->inside.bytes = fmax(out->inside.bytes, out->between.bytes);
    out->inside.seconds = fmin(out->inside.seconds, out->between.seconds);
    FR_TRY(read_link(cli, "node-link-gbps", "node-link-us", &out->inside));
    FR_TRY(fr_options_size(cli->ctx, cli->options, "disk", &report->loading.disk));
    FR_TRY(fr_options_size(cli->ctx, cli->options, "disk-shared",
                           &report->loading.disk_shared));
    report->loading.disk_assumed = !fr_options_has(cli->options, "disk");
    report->flops_assumed = !fr_options_has(cli->options, "flops");
    report->link_assumed = !fr_options_has(cli->options, "link-gbps") &&
                           !fr_options_has(cli->options, "link-us");
    report->node_link_assumed = !fr_options_has(cli->options, "node-link-gbps") &&
                                !fr_options_has(cli->options, "node-link-us");
    return FR_OK;
}

/* A device of the cluster, which neither this machine nor this program need have. */
static fr_status describe_device(const fr_cli *cli, const char *kind,
                                 fr_device_facts *facts)
{
    if (!fr_device_facts_elsewhere(kind, facts) || facts->in_host_memory) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--device-memory is of devices with memory of their own, and "
                       "run.device is %s; leave it out, or set run.device to cuda",
                       kind);
    }
    return fr_options_size(cli->ctx, cli->options, "device-memory", &facts->available);
}

/* Without --device-memory the device of this program counts, with it the cluster's. Its ranks have equal parts of it. */
static fr_status read_device(const fr_cli *cli, fr_plan_report *report,
                             fr_rank_limits *limits)
{
    const char *kind = report->config->run.device;
    fr_device_facts facts;
    if (fr_options_has(cli->options, "device-memory")) {
        FR_TRY(describe_device(cli, kind, &facts));
    } else {
        FR_TRY(fr_device_check_kind(cli->ctx, "run.device", kind));
        FR_TRY(fr_device_settle(cli->ctx, kind, 0, &kind));
        FR_TRY(fr_device_facts_of(cli->ctx, kind, 0, &facts));
        facts.products = fr_device_products_bytes(cli->ctx, kind);
    }
    report->ranks_per_device = 1;
    FR_TRY(fr_options_int(cli->ctx, cli->options, "ranks-per-gpu", 1, MAX_RANKS,
                          &report->ranks_per_device));
    if (facts.in_host_memory && fr_options_has(cli->options, "ranks-per-gpu")) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--ranks-per-gpu is of devices with memory of their own, which "
                       "this machine lacks; give --device-memory, or leave it out");
    }
    limits->device_is_apart = !facts.in_host_memory;
    limits->device_memory = facts.available / report->ranks_per_device;
    limits->work = facts.work;
    limits->scratch = facts.scratch;
    limits->device_is_shared = report->ranks_per_device > 1;
    limits->sums_by_library = facts.sums_by_library;
    limits->products = fr_config_own_products(report->config) ? 0 : facts.products;
    return FR_OK;
}

/* Without --node-memory each node is taken to have the free memory of this machine, after limits such as a cgroup's. */
static fr_status read_ranks(const fr_cli *cli, fr_plan_report *report,
                            fr_layout_problem *problem)
{
    const char *wanted = NULL;
    int64_t ranks = 0;
    fr_limits limits;
    report->ranks_per_node = 1;
    fr_limits_read("/", &limits);
    fr_limits_memory(&limits, &report->memory_here);
    report->node_memory = report->memory_here.bytes;
    report->memory_is_here = !fr_options_has(cli->options, "node-memory");
    FR_TRY(fr_options_need(cli->ctx, cli->options, "ranks", &wanted));
    FR_TRY(fr_options_int(cli->ctx, cli->options, "ranks", 1, MAX_RANKS, &ranks));
    FR_TRY(fr_options_int(cli->ctx, cli->options, "ranks-per-node", 1, MAX_RANKS,
                          &report->ranks_per_node));
    FR_TRY(
        fr_options_size(cli->ctx, cli->options, "node-memory", &report->node_memory));
    problem->n_ranks = (int)ranks;
    problem->limits.memory = report->node_memory / report->ranks_per_node;
    problem->limits.node_ranks = report->ranks_per_node;
    problem->limits.node_ranks_most = report->ranks_per_node;
    return read_device(cli, report, &problem->limits);
}

/* A negative target share means that none is given: 0 is a legal share. */
static fr_status read_assumed(const fr_cli *cli, fr_plan_assumed *out)
{
    *out = (fr_plan_assumed){.target_share = -1.0};
    FR_TRY(fr_options_int(cli->ctx, cli->options, "tokens-per-example", 1, INT32_MAX,
                          &out->tokens_per_example));
    FR_TRY(fr_options_real(cli->ctx, cli->options, "target-share", &out->target_share));
    if (fr_options_has(cli->options, "target-share") &&
        !(out->target_share >= 0.0 && out->target_share <= 1.0)) {
        return FR_FAIL(cli->ctx, FR_ERR_ARG,
                       "--target-share is %g; it must be between 0 and 1",
                       out->target_share);
    }
    return FR_OK;
}

/* With --json only the SVG file is drawn, since standard output must hold one JSON object. A layout that does not fit
 * has no schedule to show in the report. */
static fr_status draw(const fr_cli *cli, const fr_plan_report *report)
{
    const char **names = NULL;
    int64_t n = report->problem->n_tasks;
    bool json = fr_options_has(cli->options, "json");
    FILE *out = json || !report->chosen->fits ? NULL : stdout;
    FR_TRY(fr_alloc(cli->ctx, n, sizeof *names, &names));
    for (int64_t i = 0; i < n; i++) {
        names[i] = report->tasks[i].name;
    }
    fr_plan_picture picture = {.params = &report->input->params,
                               .forecast = report->forecast,
                               .task_names = names,
                               .svg = fr_options_text(cli->options, "svg")};
    fr_status status = FR_OK;
    if (out != NULL || picture.svg != NULL) {
        status = fr_plan_draw(cli->ctx, &picture, out);
    }
    free(names);
    return status;
}

static fr_status print(const fr_cli *cli, const fr_plan_report *report)
{
    if (!fr_options_has(cli->options, "json")) {
        fr_plan_print(report, stdout);
    }
    FR_TRY(draw(cli, report));
    if (fr_options_has(cli->options, "json")) {
        return fr_plan_print_json(cli->ctx, report, stdout);
    }
    return FR_OK;
}

/* `input` and `forecast` live in this frame, so the report is printed before it returns. */
static fr_status forecast_chosen(const fr_cli *cli, fr_plan_report *report)
{
    fr_layout_forecast input = {0};
    fr_forecast forecast = {0};
    fr_status status = fr_layout_forecast_init(cli->ctx, report->problem,
                                               &report->chosen->layout, &input);
    if (status == FR_OK) {
        status = fr_forecast_run(cli->ctx, &input.params, &forecast);
    }
    report->input = &input;
    report->forecast = &forecast;
    if (status == FR_OK) {
        status = fr_plan_loading_forecast(cli->ctx, report);
    }
    if (status == FR_OK && !report->chosen->fits) {
        status = fr_plan_needed_find(cli->ctx, report);
    }
    if (status == FR_OK) {
        status = print(cli, report);
        *cli->exit_code = report->chosen->fits ? 0 : 1;
    }
    fr_forecast_fini(&forecast);
    fr_layout_forecast_fini(&input);
    return status;
}

/* What `train` chooses: it does not know the speeds that are given here. */
static fr_status choose(const fr_cli *cli, fr_layout_problem *problem,
                        fr_plan_report *report)
{
    fr_layout_candidate *list = NULL;
    fr_layout layout;
    fr_layout_problem of_train = *problem;
    of_train.machine = fr_machine_assumed();
    FR_TRY(fr_layout_microbatch(cli->ctx, &of_train, &of_train.microbatch_tokens));
    problem->microbatch_tokens = of_train.microbatch_tokens;
    FR_TRY(fr_layout_resolve(cli->ctx, &of_train, &layout));
    FR_TRY(fr_layout_list(cli->ctx, report->problem, &list, &report->n_candidates));
    report->candidates = list;
    for (int64_t i = 0; i < report->n_candidates; i++) {
        if (list[i].layout.n_stages == layout.n_stages) {
            report->chosen = &list[i];
        }
    }
    fr_status status = forecast_chosen(cli, report);
    free(list);
    return status;
}

/* Weights that stay in the file count with their size there; without the file they count as converted. */
static fr_status open_weights(const fr_cli *cli, const fr_config *config,
                              const char *model, fr_weights **out)
{
    if (!config->base.quantised) {
        return FR_OK;
    }
    fr_status status = fr_weights_open(cli->ctx, model, out);
    if (status == FR_ERR_DATA) {
        fr_ctx_clear_error(cli->ctx);
        status = FR_OK;
    }
    return status;
}

/* `problem` refers to `arch` before it is read: only its address is needed until the layouts are listed. */
static fr_status plan_model(const fr_cli *cli, const fr_config *config,
                            const char *model)
{
    fr_arch arch = {.n_layers = 0};
    fr_plan_assumed assumed;
    fr_plan_sources sources;
    fr_weights *weights = NULL;
    fr_layout_problem problem = fr_layout_problem_of(config, &arch, NULL);
    fr_plan_report report = {.config = config,
                             .problem = &problem,
                             .model = config->base.path,
                             .path = model,
                             .loading = {.disk = FR_PLAN_DISK}};
    FR_TRY(read_ranks(cli, &report, &problem));
    FR_TRY(read_machine(cli, &report, &problem.machine));
    FR_TRY(read_assumed(cli, &assumed));
    FR_TRY(fr_arch_read(cli->ctx, model, &arch));
    FR_TRY(fr_plan_sources_open(cli->ctx, config, model, &arch, &assumed, &sources));
    problem.sources = sources.sources;
    report.tasks = sources.tasks;
    fr_status status = open_weights(cli, config, model, &weights);
    problem.weights_in_file = weights;
    if (status == FR_OK) {
        status = choose(cli, &problem, &report);
    }
    fr_weights_close(&weights);
    fr_plan_sources_close(&sources);
    return status;
}

/* Weights are not needed. */
static fr_status plan(const fr_cli *cli, const fr_config *config)
{
    char *model = NULL;
    FR_TRY(fr_model_find(cli->ctx, config->base.path, FR_MODEL_HEAD, &model));
    fr_status status = plan_model(cli, config, model);
    free(model);
    return status;
}

/* The picture must not replace a file that the run reads. */
static fr_status check_svg(const fr_cli *cli, const fr_config *config)
{
    const char *svg = fr_options_text(cli->options, "svg");
    const char *file = fr_options_positional(cli->options, 0);
    if (svg == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_output_apart(cli->ctx, "--svg", svg, "CONFIG", file));
    FR_TRY(fr_model_apart(cli->ctx, "--svg", svg, "base.path", config->base.path));
    for (int64_t i = 0; i < config->n_tasks; i++) {
        const fr_task_config *task = &config->tasks[i];
        FR_TRY(fr_output_apart(cli->ctx, "--svg", svg, "train", task->train));
        FR_TRY(fr_output_apart(cli->ctx, "--svg", svg, "valid", task->valid));
        FR_TRY(fr_output_apart(cli->ctx, "--svg", svg, "chat.template",
                               task->chat_template));
        if (task->prefix.init == FR_INIT_FILE) {
            FR_TRY(fr_output_apart_prefix(cli->ctx, "--svg", svg, "prefix.init.file",
                                          task->prefix.text));
        }
    }
    return fr_output_check(cli->ctx, svg);
}

fr_status fr_cmd_plan(const fr_cli *cli)
{
    fr_config *config = NULL;
    FR_TRY(fr_cli_read_config(cli, &config));
    fr_status status = check_svg(cli, config);
    if (status == FR_OK) {
        status = plan(cli, config);
    }
    fr_config_destroy(&config);
    return status;
}
