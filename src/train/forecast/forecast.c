/* Bytes, memory and FLOP of one stage of a layout.
 *
 * Every formula repeats what some other file allocates, sends or computes, and asks that file where it can:
 * stage_bytes.h for weights and activations, task.h and reparam.h for the arrays of a task, step.h for the step
 * summary, schedule.h for the number of microbatches in flight. What is left is listed here with what it stands for.
 *
 * Memory is that of the worst moment: each part at its largest over all tasks, though no microbatch need be the
 * largest in all respects. Time is that of the mean: a mean row through a stage, since a step's end is decided by
 * sums of many passes.
 */
#include "train/forecast/forecast.h"

#include "base/integer.h"
#include "comm/nccl.h"
#include "model/network/layer.h"
#include "train/step/engine.h"
#include "train/step/reparam.h"
#include "train/step/schedule.h"
#include "train/step/step.h"

#include <math.h>
#include <stdlib.h>

/* What the formulas leave out. A rank of one thread was measured to hold 6 MiB more than they say; the rest is reserved
 * for pages of libraries and for the stacks of more threads. */
static const int64_t PROCESS_BYTES = 32 << 20;
/* Of a device's own memory this part stays free. Blocks are rounded up, and one that grows leaves a gap where it was. */
enum { SLACK_PARTS = 64 };

int64_t fr_edge_bytes(const fr_arch *arch, int64_t n_rows)
{
    return n_rows * arch->d_model * (int64_t)sizeof(float);
}

/* Keys and values; gradients are summed as 64-bit whole numbers. */
int64_t fr_reduction_bytes(const fr_arch *arch, int64_t n_layers, int64_t length)
{
    return 2 * n_layers * fr_arch_prefix_elements(arch, length) *
           (int64_t)sizeof(int64_t);
}

int64_t fr_step_summary_bytes(const fr_arch *arch, int n_stages)
{
    return fr_step_summary_length(n_stages, arch->n_layers) * (int64_t)sizeof(int64_t);
}

int64_t fr_task_bytes(const fr_arch *arch, int64_t n_layers, int64_t length)
{
    return fr_task_array_bytes(n_layers * fr_arch_prefix_elements(arch, length), false);
}

int64_t fr_mlp_task_bytes(const fr_arch *arch, int64_t n_layers, int64_t length,
                          int64_t hidden, int64_t width)
{
    fr_mlp_shape shape = {length, arch->n_kv_heads, arch->head_dim, hidden, width};
    int64_t n = n_layers * fr_arch_prefix_elements(arch, length);
    int64_t bytes = fr_reparam_bytes(&shape, n_layers);
    return bytes > 0 ? bytes + fr_task_array_bytes(n, true) : 0;
}

static int64_t bytes_of_task(const fr_arch *arch, int64_t n_layers,
                             const fr_task_workload *task)
{
    int64_t width = task->mlp_width > 0 ? task->mlp_width : arch->d_model;
    return task->mlp_hidden > 0 ? fr_mlp_task_bytes(arch, n_layers, task->length,
                                                    task->mlp_hidden, width)
                                : fr_task_bytes(arch, n_layers, task->length);
}

/* One core with AVX2, an Ethernet of 10 Gbit/s, and inside a node MPI's messages through shared memory. It is assumed and
 * not measured, so that all ranks choose the same layout without exchanging anything. */
fr_machine fr_machine_assumed(void)
{
    return (fr_machine){.flops = 1e11,
                        .inside = {.bytes = 40e9 / 8.0, .seconds = 2e-6},
                        .between = {.bytes = 10e9 / 8.0, .seconds = 20e-6}};
}

static fr_stage_shape shape_of(const fr_forecast_params *p, int stage)
{
    return (fr_stage_shape){.arch = p->arch,
                            .dtype = p->dtype,
                            .work = p->work,
                            .in_file = p->in_file,
                            .recompute = p->recompute,
                            .offload = p->offload != NULL ? p->offload[stage] : 0,
                            .first_layer = p->bounds[stage],
                            .n_layers = p->bounds[stage + 1] - p->bounds[stage],
                            .max_position = p->max_position};
}

/* Layers of a stage that have a prefix of the task. */
static int64_t prefixed_layers(const fr_forecast_params *p, int stage,
                               const fr_task_workload *task)
{
    int64_t first = p->bounds[stage];
    return fr_layers_within(task->layers, first, p->bounds[stage + 1] - first).count;
}

/* The backward pass ends at a task's first layer with a prefix, so only the layers from there on are kept. */
int64_t fr_forecast_kept(const fr_forecast_params *params, int stage,
                         const fr_task_workload *task)
{
    int64_t first = params->bounds[stage];
    fr_layer_range above = {task->layers.first, 0};
    return fr_layers_within(above, first, params->bounds[stage + 1] - first).count;
}

static int64_t largest_gradient(const fr_forecast_params *p, int stage,
                                const fr_stage_shape *shape)
{
    int64_t max = 0;
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        int64_t bytes = fr_stage_gradient_bytes(shape, task->max_units, task->length);
        if (prefixed_layers(p, stage, task) > 0 && bytes > max) {
            max = bytes;
        }
    }
    return max;
}

/* Bytes of one microbatch's activations: one buffer serves all tasks, and keeps only the layers that go backward. */
static int64_t largest_activations(const fr_forecast_params *p, int stage)
{
    int64_t max = 0;
    for (int64_t t = 0; t < p->n_tasks; t++) {
        fr_stage_shape kept = shape_of(p, stage);
        int64_t n = fr_forecast_kept(p, stage, &p->tasks[t]);
        if (n > 0) {
            kept.first_layer += kept.n_layers - n;
            kept.n_layers = n;
        }
        int64_t bytes = fr_stage_activation_bytes(&kept, p->tasks[t].max_rows, n > 0);
        max = bytes > max ? bytes : max;
    }
    return max;
}

/* The largest passes, each number at its largest over all tasks. */
static fr_stage_calls largest_calls(const fr_forecast_params *p)
{
    fr_stage_calls calls = {0};
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        calls.n_tokens = fr_max(calls.n_tokens, task->max_rows);
        calls.n_units = fr_max(calls.n_units, task->max_units);
        calls.length = fr_max(calls.length, task->length);
    }
    /* a target of n tokens takes n - 1 rows */
    calls.n_targets = 2 * calls.n_tokens;
    return calls;
}

/* A rank's share of its stage's matrices in the host's memory. Of N consecutive ranks at least N / S hold the same one of S
 * stages and share its weights. That two stages of a node may share a tied vocabulary is left out. */
static int64_t shared_matrices(const fr_forecast_params *p, const fr_stage_shape *shape)
{
    int64_t n_ranks = (int64_t)p->n_stages * p->n_replicas;
    int64_t node = p->node_ranks < n_ranks ? p->node_ranks : n_ranks;
    int64_t sharers = node > p->n_stages ? node / p->n_stages : 1;
    return fr_ceil_div(fr_stage_matrix_bytes(shape), sharers);
}

/* Of a device with memory of its own: what it has of the tasks, and what the host has to reach it. An image copies through a
 * block of its size (device/image.h). Sums count as staged: over NCCL they take nothing of the host, but only the run itself knows that. */
static void add_apart(const fr_forecast_params *p, int stage,
                      const fr_stage_shape *shape, const fr_stage_calls *calls,
                      fr_rank_memory *m)
{
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        int64_t n = prefixed_layers(p, stage, task) *
                    fr_arch_prefix_elements(p->arch, task->length);
        m->images += fr_task_image_bytes(n);
    }
    m->copies = m->images +
                fr_engine_link_bytes(FR_LINK_STAGED, stage, p->n_stages, p->n_replicas);
    m->loading = shared_matrices(p, shape);
    m->scratch = fr_stage_scratch_bytes(shape, calls, p->scratch);
    int64_t parts = m->weights + m->activations + m->edges + m->forward + m->workspace +
                    m->head + m->images + m->scratch;
    m->slack = parts / SLACK_PARTS;
    m->products = p->products;
    m->sums = p->sums_by_library && p->n_replicas > 1 ? FR_NCCL_BYTES : 0;
    m->device = parts + m->slack + m->products + m->sums;
    m->offload = fr_stage_offload_bytes(shape);
    m->total = m->process + m->offload + fr_max(m->loading, m->tasks + m->copies);
}

void fr_forecast_memory(const fr_forecast_params *params, int stage,
                        fr_rank_memory *out)
{
    const fr_forecast_params *p = params;
    fr_stage_shape shape = shape_of(p, stage);
    fr_stage_calls calls = largest_calls(p);
    int64_t rows = calls.n_tokens;
    int64_t max_in_flight =
        fr_schedule_max_in_flight(p->n_stages, stage, p->warmup_depth);
    int64_t message = fr_edge_bytes(p->arch, rows);
    *out = (fr_rank_memory){.weights = fr_stage_weight_bytes(&shape),
                            .head = fr_stage_head_bytes(&shape, calls.n_targets),
                            .process = PROCESS_BYTES};
    out->edges = (max_in_flight * 2 + (stage > 0)) * message;
    out->activations = max_in_flight * (largest_activations(p, stage) - 2 * message);
    out->forward = (stage < p->n_stages - 1 ? 2 : 1) *
                   fr_stage_activation_bytes(&shape, rows, false);
    out->workspace =
        fr_stage_workspace_bytes(&shape, rows) + largest_gradient(p, stage, &shape);
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        out->tasks += bytes_of_task(p->arch, prefixed_layers(p, stage, task), task);
    }
    if (p->device_is_apart) {
        add_apart(p, stage, &shape, &calls, out);
        return;
    }
    out->workspace += fr_stage_reading_bytes(&shape);
    out->weights += shared_matrices(p, &shape) - fr_stage_matrix_bytes(&shape);
    out->total = out->weights + out->activations + out->edges + out->forward +
                 out->workspace + out->head + out->tasks + out->process;
}

/* Multiplications with weights that a backward pass repeats in a layer that keeps its input alone: all but the down
 * projection, which only a norm behind it asks for again. Parallel halves read no sum, so there the same holds for o. */
static double repeated_weights(const fr_arch *a)
{
    double d = (double)a->d_model;
    double q = (double)fr_arch_q_width(a);
    double repeated = d * (double)(fr_arch_qkv_width(a) + fr_arch_up_width(a));
    repeated += !a->parallel || a->attn_post_norm ? d * q : 0.0;
    return repeated + (a->mlp_post_norm ? d * (double)a->d_ff : 0.0);
}

/* Keys of the row's own text that a mean row sees in the last `passed` layers of a stage, a sum over these. With a window a row
 * sees no more than that many; that rows near their beginning see fewer is in the mean already. */
static double own_keys(const fr_forecast_params *p, int stage, int64_t passed,
                       double row_keys)
{
    double keys = 0.0;
    for (int64_t i = p->bounds[stage + 1] - passed; i < p->bounds[stage + 1]; i++) {
        double window = (double)fr_arch_window(p->arch, i);
        keys += window > 0.0 && window < row_keys ? window : row_keys;
    }
    return keys;
}

/* FLOP of a row's passage through the layers of a stage, a mean over all tasks' rows. */
static double row_flop(const fr_forecast_params *p, int stage, bool forward)
{
    /* A weight is one multiplication and one addition. The base is frozen, so a backward pass computes gradients of
     * inputs only: as many products as forward. Attention has two products forward; backward has five, since the
     * scores are computed again. */
    const fr_arch *a = p->arch;
    double d = (double)a->d_model;
    double q = (double)fr_arch_q_width(a);
    double up = d * (double)fr_arch_up_width(a);
    double weights = d * ((double)fr_arch_qkv_width(a) + q + (double)a->d_ff) + up;
    double product = 2.0 * weights;
    double key = 4.0 * q * (forward ? 1.0 : 2.5);
    double flop = 0.0;
    double rows = 0.0;
    if (!forward && p->recompute == FR_RECOMPUTE_MLP) {
        /* what is recomputed counts once more */
        product += 2.0 * up;
    } else if (!forward && p->recompute == FR_RECOMPUTE_LAYER) {
        product += 2.0 * repeated_weights(a);
        key += 4.0 * q;
    }
    for (int64_t t = 0; t < p->n_tasks; t++) {
        const fr_task_workload *task = &p->tasks[t];
        int64_t passed = forward ? p->bounds[stage + 1] - p->bounds[stage]
                                 : fr_forecast_kept(p, stage, task);
        double keys = own_keys(p, stage, passed, task->row_keys);
        /* slots that a window hides (prefix.window: slides) are counted: most rows see them for a while */
        keys += (double)prefixed_layers(p, stage, task) * (double)task->length;
        flop += task->step_rows * ((double)passed * product + key * keys);
        rows += task->step_rows;
    }
    return rows > 0.0 ? flop / rows : 0.0;
}

double fr_pass_seconds(const fr_forecast_params *params, int stage, bool forward,
                       double n_rows, double head_rows)
{
    const fr_forecast_params *p = params;
    double flop = n_rows * row_flop(p, stage, forward);
    if (stage == p->n_stages - 1) {
        flop +=
            2.0 * head_rows * (double)p->arch->d_model * (double)p->arch->vocab_size;
    }
    return flop / p->machine.flops;
}
