/* Which layout a run gets: every stages x replicas is forecast, and the fastest that fits is taken.
 *
 * 1. judge_shape excludes what model and config do not allow: more stages than layers, more replicas than units of a
 *    step, other sides than run.stages and run.replicas ask for.
 * 2. The rest is forecast (forecast.h): memory of the largest rank, seconds of a round.
 * 3. Candidates are sorted: those that fit by time, first those with all layers in the device, since the forecast counts
 *    no time for copies from the host; then those that are possible by memory, then the rest. Times that
 *    differ by rounding alone count as equal, and fewer stages win, so that all ranks and `plan` agree.
 *
 * The choice is a pure function of fr_layout_problem with an assumed machine. Ranks need not exchange anything, and
 * `plan` foretells what `train` does on another machine. Where nothing fits, the layout with the least memory is taken
 * and layout_settle.c warns: a forecast is not a reason to refuse a run.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "train/forecast/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tenth stays free for what the forecast does not know: page tables, message buffers, the allocator's gaps. */
double fr_layout_memory_share(void)
{
    return 0.9;
}

double fr_layout_filled(const fr_rank_memory *memory, const fr_rank_limits *limits)
{
    double host = (double)memory->total / (double)limits->memory;
    double device = limits->device_is_apart
                        ? (double)memory->device / (double)limits->device_memory
                        : 0.0;
    return fmax(host, device);
}

/* ---- the problem -------------------------------------------------------------------------------- */

fr_layout_problem fr_layout_problem_of(const fr_config *config, const fr_arch *arch,
                                       const fr_weights *weights)
{
    return (fr_layout_problem){
        .arch = arch,
        .weights_in_file = config->base.quantised ? weights : NULL,
        .precision = config->run.precision,
        .recompute = config->run.recompute,
        .offload = config->base.offload,
        .sums_by_library = strcmp(config->run.sums, "staged") != 0,
        .warmup_depth = config->run.warmup_depth,
        .stages = config->run.stages,
        .replicas = config->run.replicas,
        .n_tasks = config->n_tasks,
        .tasks = config->tasks,
        .machine = fr_machine_assumed()};
}

/* ---- forecasts ---------------------------------------------------------------------------------- */

static bool is_enough(const fr_layout_problem *problem,
                      const fr_layout_forecast *forecast, int stage)
{
    fr_rank_memory memory;
    fr_forecast_memory(&forecast->params, stage, &memory);
    return (double)memory.device <=
           fr_layout_memory_share() * (double)problem->limits.device_memory;
}

/* Layers of a stage that stay on the host. More of them never need more of the device, so a search by halves finds the fewest that
 * fit; where none does, all stay. */
static void choose_offload(const fr_layout_problem *problem, int stage,
                           fr_layout_forecast *forecast)
{
    int64_t *n = &forecast->offload[stage];
    int64_t most = forecast->bounds[stage + 1] - forecast->bounds[stage];
    int64_t least = 0;
    *n = 0;
    if (!problem->limits.device_is_apart || problem->offload == FR_NONE) {
        return;
    }
    if (problem->offload != FR_AUTO) {
        *n = fr_min(problem->offload, most);
        return;
    }
    if (is_enough(problem, forecast, stage)) {
        return;
    }
    while (least + 1 < most) {
        *n = least + (most - least) / 2;
        if (is_enough(problem, forecast, stage)) {
            most = *n;
        } else {
            least = *n;
        }
    }
    *n = most;
}

fr_status fr_layout_forecast_init(fr_ctx *ctx, const fr_layout_problem *problem,
                                  const fr_layout *layout, fr_layout_forecast *out)
{
    int64_t n_tasks = problem->n_tasks;
    *out = (fr_layout_forecast){0};
    fr_status status =
        fr_alloc(ctx, layout->n_stages + 1, sizeof *out->bounds, &out->bounds);
    if (status == FR_OK) {
        status = fr_alloc(ctx, layout->n_stages, sizeof *out->offload, &out->offload);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_tasks, sizeof *out->tasks, &out->tasks);
    }
    for (int64_t i = 0; status == FR_OK && i < n_tasks; i++) {
        fr_task_config task = problem->tasks[i];
        task.batch.microbatch_tokens =
            fr_microbatch_tokens(&task, problem->microbatch_tokens);
        status = fr_workload_of_task(ctx, &task, &problem->sources[i],
                                     layout->n_replicas, &out->tasks[i]);
    }
    if (status != FR_OK) {
        fr_layout_forecast_fini(out);
        return status;
    }
    double share = fr_workload_target_share(problem->sources, n_tasks);
    fr_split_layers(problem->arch->n_layers, fr_head_cost(problem->arch, share),
                    layout->n_stages, out->bounds);
    out->params = (fr_forecast_params){
        .arch = problem->arch,
        .dtype = problem->precision == FR_PRECISION_BF16 ? FR_BF16 : FR_F32,
        .work = problem->precision == FR_PRECISION_BF16 ? problem->limits.work : FR_F32,
        .in_file = problem->weights_in_file,
        .recompute = problem->recompute,
        .n_stages = layout->n_stages,
        .n_replicas = layout->n_replicas,
        .bounds = out->bounds,
        .offload = out->offload,
        .warmup_depth = problem->warmup_depth > 1 ? problem->warmup_depth : 1,
        .max_position = fr_workload_max_position(problem->sources, n_tasks),
        .node_ranks = problem->limits.node_ranks,
        .node_ranks_most = problem->limits.node_ranks_most,
        .device_is_apart = problem->limits.device_is_apart,
        .scratch = problem->limits.scratch,
        .products = problem->limits.products,
        .sums_by_library = problem->sums_by_library &&
                           problem->limits.sums_by_library &&
                           !problem->limits.device_is_shared,
        .n_tasks = n_tasks,
        .tasks = out->tasks,
        .machine = problem->machine};
    for (int i = 0; i < layout->n_stages; i++) {
        choose_offload(problem, i, out);
    }
    return FR_OK;
}

void fr_layout_forecast_fini(fr_layout_forecast *forecast)
{
    free(forecast->bounds);
    free(forecast->offload);
    free(forecast->tasks);
    *forecast = (fr_layout_forecast){0};
}

/* ---- one candidate ------------------------------------------------------------------------------ */

/* Units that a step has at least, when no two of its sources are equal. */
static int64_t units_of(const fr_task_config *task)
{
    int64_t group = task->batch.share_prompt > 1 ? task->batch.share_prompt : 1;
    return fr_ceil_div(task->batch.examples, group);
}

/* The task with the fewest units a step; NULL without tasks. */
static const fr_task_config *smallest_task(const fr_layout_problem *problem)
{
    const fr_task_config *smallest = NULL;
    for (int64_t i = 0; i < problem->n_tasks; i++) {
        const fr_task_config *task = &problem->tasks[i];
        if (smallest == NULL || units_of(task) < units_of(smallest)) {
            smallest = task;
        }
    }
    return smallest;
}

/* Whether the model and the config allow the layout; the reason if not. */
static void judge_shape(const fr_layout_problem *problem, fr_layout_candidate *c)
{
    const fr_task_config *smallest = smallest_task(problem);
    const fr_layout *l = &c->layout;
    if (l->n_stages > problem->arch->n_layers) {
        (void)snprintf(c->reason, sizeof c->reason,
                       "%d stages, the model has %lld layers", l->n_stages,
                       (long long)problem->arch->n_layers);
    } else if (smallest != NULL && units_of(smallest) < l->n_replicas) {
        (void)snprintf(c->reason, sizeof c->reason,
                       "%d replicas, task %.40s has %lld %s a step", l->n_replicas,
                       smallest->name, (long long)units_of(smallest),
                       smallest->batch.share_prompt > 1 ? "groups" : "examples");
    } else if (problem->stages != FR_AUTO && problem->stages != l->n_stages) {
        (void)snprintf(c->reason, sizeof c->reason, "run.stages is %lld",
                       (long long)problem->stages);
    } else if (problem->replicas != FR_AUTO && problem->replicas != l->n_replicas) {
        (void)snprintf(c->reason, sizeof c->reason, "run.replicas is %lld",
                       (long long)problem->replicas);
    } else {
        c->possible = true;
    }
}

/* What the stage that fills the most needs, and what there is of it. */
static void tell_need(const fr_layout_problem *problem, int stage,
                      const fr_rank_memory *memory, fr_layout_candidate *c)
{
    char needs[FR_SIZE_BYTES];
    char has[FR_SIZE_BYTES];
    const fr_rank_limits *limits = &problem->limits;
    double share = fr_layout_memory_share();
    bool is_host = (double)memory->total > share * (double)limits->memory;
    fr_size_text((double)(is_host ? memory->total : memory->device), needs);
    fr_size_text(share * (double)(is_host ? limits->memory : limits->device_memory),
                 has);
    (void)snprintf(c->reason, sizeof c->reason,
                   "stage %d needs %s a rank%s; %.0f %% of its memory is %s", stage,
                   needs, is_host ? "" : " in its device", 100.0 * share, has);
}

static void judge_memory(const fr_layout_problem *problem, const fr_forecast *forecast,
                         fr_layout_candidate *c)
{
    int fullest = 0;
    for (int i = 0; i < forecast->n_stages; i++) {
        const fr_rank_memory *memory = &forecast->stages[i].memory;
        double filled = fr_layout_filled(memory, &problem->limits);
        c->largest_bytes = fr_max(c->largest_bytes, memory->total);
        c->device_bytes = fr_max(c->device_bytes, memory->device);
        if (filled > c->filled) {
            c->filled = filled;
            fullest = i;
        }
    }
    c->fits = c->filled <= fr_layout_memory_share();
    if (!c->fits) {
        tell_need(problem, fullest, &forecast->stages[fullest].memory, c);
    }
}

static fr_status judge(fr_ctx *ctx, const fr_layout_problem *problem,
                       fr_layout_candidate *c)
{
    fr_layout_forecast input;
    fr_forecast forecast = {0};
    judge_shape(problem, c);
    if (!c->possible) {
        return FR_OK;
    }
    FR_TRY(fr_layout_forecast_init(ctx, problem, &c->layout, &input));
    fr_status status = fr_forecast_run(ctx, &input.params, &forecast);
    if (status == FR_OK) {
        c->seconds = forecast.round_seconds;
        c->n_simulated = forecast.n_simulated;
        judge_memory(problem, &forecast, c);
        for (int i = 0; i < c->layout.n_stages; i++) {
            c->offload = fr_max(c->offload, input.offload[i]);
        }
    }
    fr_forecast_fini(&forecast);
    fr_layout_forecast_fini(&input);
    return status;
}

/* ---- all candidates ----------------------------------------------------------------------------- */

static int rank_of(const fr_layout_candidate *c)
{
    return c->fits ? c->offload > 0 : c->possible ? 2 : 3;
}

/* By class, then by time or memory; if these are equal but for rounding, fewer stages come first. */
static int compare(const void *left, const void *right)
{
    static const double SAME = 1e-9;
    const fr_layout_candidate *a = left;
    const fr_layout_candidate *b = right;
    if (rank_of(a) != rank_of(b)) {
        return rank_of(a) - rank_of(b);
    }
    if (a->fits && fabs(a->seconds - b->seconds) > SAME * a->seconds) {
        return a->seconds < b->seconds ? -1 : 1;
    }
    if (!a->fits && a->possible && fabs(a->filled - b->filled) > SAME * a->filled) {
        return a->filled < b->filled ? -1 : 1;
    }
    return a->layout.n_stages - b->layout.n_stages;
}

/* Only divisors of the number of ranks are stages: every rank takes part. One stage is always in the list. */
fr_status fr_layout_list(fr_ctx *ctx, const fr_layout_problem *problem,
                         fr_layout_candidate **out, int64_t *n)
{
    fr_layout_candidate *list = NULL;
    int64_t count = 0;
    fr_status status = FR_OK;
    *out = NULL;
    *n = 0;
    for (int stages = 1; stages <= problem->n_ranks; stages++) {
        count += problem->n_ranks % stages == 0;
    }
    FR_TRY(fr_alloc(ctx, count, sizeof *list, &list));
    count = 0;
    for (int stages = 1; status == FR_OK && stages <= problem->n_ranks; stages++) {
        if (problem->n_ranks % stages == 0) {
            list[count].layout = (fr_layout){stages, problem->n_ranks / stages};
            status = judge(ctx, problem, &list[count++]);
        }
    }
    if (status != FR_OK) {
        free(list);
        return status;
    }
    qsort(list, (size_t)count, sizeof *list, compare);
    *out = list;
    *n = count;
    return FR_OK;
}

/* ---- the choice ----------------------------------------------------------------------------------- */

/* What is asked for, unchecked; an `auto` side follows from the other. */
static fr_layout asked_for(const fr_layout_problem *problem)
{
    int n_ranks = problem->n_ranks;
    int stages = (int)problem->stages;
    int replicas = (int)problem->replicas;
    if (stages == FR_AUTO && replicas == FR_AUTO) {
        return (fr_layout){n_ranks, 1};
    }
    if (stages == FR_AUTO) {
        return (fr_layout){replicas <= n_ranks ? n_ranks / replicas : 1, replicas};
    }
    if (replicas == FR_AUTO) {
        return (fr_layout){stages, stages <= n_ranks ? n_ranks / stages : 1};
    }
    return (fr_layout){stages, replicas};
}

static fr_status check_layout(fr_ctx *ctx, const fr_layout_problem *problem,
                              const fr_layout *layout)
{
    if ((int64_t)layout->n_stages * layout->n_replicas != problem->n_ranks) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "run.stages %d x run.replicas %d is not the number of ranks %d; "
                       "set one of the two to auto, or start another number of ranks",
                       layout->n_stages, layout->n_replicas, problem->n_ranks);
    }
    if (layout->n_stages > problem->arch->n_layers) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "%d stages, the model has %lld layers; use fewer ranks, or more replicas",
            layout->n_stages, (long long)problem->arch->n_layers);
    }
    const fr_task_config *task = smallest_task(problem);
    if (task != NULL && task->batch.share_prompt > 1 &&
        units_of(task) < layout->n_replicas) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "tasks.%s.batch.examples %lld in groups of share_prompt %lld "
                       "are %lld units, fewer than the %d replicas; lower "
                       "share_prompt, or set run.replicas to at most %lld",
                       task->name, (long long)task->batch.examples,
                       (long long)task->batch.share_prompt, (long long)units_of(task),
                       layout->n_replicas, (long long)units_of(task));
    }
    if (task != NULL && task->batch.examples < layout->n_replicas) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "tasks.%s.batch.examples is %lld, fewer than the %d replicas; "
                       "raise it, or set run.replicas to at most %lld",
                       task->name, (long long)task->batch.examples, layout->n_replicas,
                       (long long)task->batch.examples);
    }
    return FR_OK;
}

/* A forecast is made only if both sides are auto; otherwise the config decides, and the layout is only checked. */
fr_status fr_layout_resolve(fr_ctx *ctx, const fr_layout_problem *problem,
                            fr_layout *out)
{
    fr_layout_candidate *list = NULL;
    int64_t n = 0;
    *out = asked_for(problem);
    if (problem->stages == FR_AUTO && problem->replicas == FR_AUTO) {
        FR_TRY(fr_layout_list(ctx, problem, &list, &n));
        *out = list[0].possible ? list[0].layout : *out;
        free(list);
    }
    return check_layout(ctx, problem, out);
}
