/* The forecast as tables for people; plan_json.c prints the same numbers for programs.
 *
 * The sections follow the questions of a reader: what was assumed, what the tasks are, which layouts are possible,
 * what the stages of the chosen one hold, and how much is sent and how long a step takes. If no layout fits, the
 * stages are those of the layout with the least memory, and the last sections are left out: a run that cannot start
 * has no time.
 *
 * Names and paths that come from files pass fr_print_line; lines of numbers need no escaping.
 */
#include "cli/plan_report.h"

#include "base/print.h"
#include "base/quantity.h"
#include "cli/plan_loading.h"
#include "cli/plan_needed.h"
#include "train/forecast/forecast.h"

#include <math.h>

typedef struct size_text {
    char text[FR_SIZE_BYTES];
} size_text;

static size_text size_of(double bytes)
{
    size_text out;
    fr_size_text(bytes, out.text);
    return out;
}

/* The text lives in *out, because a table row needs several of them at the same time. */
static const char *size_column(int64_t bytes, size_text *out)
{
    *out = size_of((double)bytes);
    return out->text;
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

static void print_device(const fr_plan_report *r, FILE *out)
{
    const fr_layout_problem *p = r->problem;
    (void)fprintf(out, "device     %s of its own memory for a rank",
                  size_of((double)p->limits.device_memory).text);
    if (r->ranks_per_device > 1) {
        (void)fprintf(out, ", %lld ranks a device", (long long)r->ranks_per_device);
    }
    (void)fprintf(out, "; batch.microbatch_tokens: auto is %lld\n",
                  (long long)p->microbatch_tokens);
}

/* Each number says whether it was given, assumed or found on this machine, since the forecast is only as good as
 * these. */
static void print_head(const fr_plan_report *r, FILE *out)
{
    const fr_arch *a = r->problem->arch;
    const fr_machine *m = &r->problem->machine;
    bool quantised = r->config->base.quantised;
    const char *held = !quantised ? ""
                       : r->problem->weights_in_file != NULL
                           ? ", weights as in the file"
                           : ", weights counted as converted "
                             "(their file is not on this machine)";
    bool bf16 = r->problem->precision == FR_PRECISION_BF16;
    fr_print_line(
        out,
        "model      %s: %s, %lld layers, width %lld, feed-forward %lld, %lld/%lld "
        "heads of %lld, vocabulary %lld, %s%s",
        r->model, a->family, (long long)a->n_layers, (long long)a->d_model,
        (long long)a->d_ff, (long long)a->n_heads, (long long)a->n_kv_heads,
        (long long)a->head_dim, (long long)a->vocab_size, bf16 ? "bf16" : "f32", held);
    char here[FR_LIMIT_TEXT];
    fr_memory_share_text(&r->memory_here, here);
    (void)fprintf(out, "ranks      %d, %lld a node\n", r->problem->n_ranks,
                  (long long)r->ranks_per_node);
    (void)fprintf(out,
                  "memory     %s a rank: its part of a node's main memory, not of a "
                  "GPU's: %s%s\n",
                  size_of((double)r->problem->limits.memory).text,
                  r->memory_is_here ? here : size_of((double)r->node_memory).text,
                  r->memory_is_here ? ", since --node-memory is not given" : " a node");
    if (r->problem->limits.device_is_apart) {
        print_device(r, out);
    }
    (void)fprintf(
        out,
        "speed      %.3g FLOP/s a rank (%s)\n"
        "links      between nodes %.3g Gbit/s and %.3g us (%s); inside a node "
        "%.3g Gbit/s and %.3g us (%s)\n",
        m->flops, r->flops_assumed ? "assumed; --flops" : "--flops",
        m->between.bytes * 8e-9, m->between.seconds * 1e6,
        r->link_assumed ? "assumed; --link-gbps, --link-us" : "as given",
        m->inside.bytes * 8e-9, m->inside.seconds * 1e6,
        r->node_link_assumed ? "assumed; --node-link-gbps, --node-link-us"
                             : "as given");
}

/* Rows are what is computed; useful tokens are what the data holds. Sharing a source makes the rows fewer. */
static void print_tasks(const fr_plan_report *r, FILE *out)
{
    (void)fprintf(out, "\ntasks (a step, all replicas)\n");
    for (int64_t i = 0; i < r->problem->n_tasks; i++) {
        const fr_task_workload *l = &r->input->tasks[i];
        fr_print_line(out,
                      "  %s: prefix of %lld%s, %lld examples, %.0f useful tokens, %.0f "
                      "rows (%.0f %% saved by sharing), %.0f with a target; a replica "
                      "runs %lld microbatch%s of at most %lld rows",
                      r->tasks[i].name, (long long)l->length,
                      r->tasks[i].length_assumed ? " (assumed)" : "",
                      (long long)r->problem->tasks[i].batch.examples, l->useful_tokens,
                      l->step_rows,
                      100.0 * (1.0 - l->step_rows / fmax(1.0, l->unshared_rows)),
                      l->counted_tokens, (long long)l->n_microbatches,
                      l->n_microbatches == 1 ? "" : "es", (long long)l->max_rows);
        fr_print_line(out, "    %s", r->tasks[i].source);
    }
}

static void print_candidate(const fr_plan_report *r, const fr_layout_candidate *c,
                            FILE *out)
{
    (void)fprintf(out, "%s %5d x %-6d", c == r->chosen && c->fits ? "->" : "  ",
                  c->layout.n_stages, c->layout.n_replicas);
    if (c->possible) {
        (void)fprintf(out, "  %10.4g s  %12s", c->seconds,
                      size_of((double)c->largest_bytes).text);
    } else {
        (void)fprintf(out, "  %10s    %12s", "-", "-");
    }
    if (r->problem->limits.device_is_apart) {
        (void)fprintf(out, "  %12s",
                      c->possible ? size_of((double)c->device_bytes).text : "-");
    }
    (void)fprintf(out, "  %s%s\n", c->fits ? "fits" : "no: ", c->reason);
}

/* MAX layouts are enough to compare, best first. The chosen one is shown wherever it stands. */
static void print_candidates(const fr_plan_report *r, FILE *out)
{
    enum { MAX = 16 };
    (void)fprintf(out,
                  "\nlayouts    stages x replicas%s\n"
                  "  stages x replicas    a step       a rank    %s  memory\n",
                  r->chosen->fits ? ", -> is what train chooses" : "",
                  r->problem->limits.device_is_apart ? "its device    " : "");
    for (int64_t i = 0; i < r->n_candidates; i++) {
        if (i < MAX || &r->candidates[i] == r->chosen) {
            print_candidate(r, &r->candidates[i], out);
        }
    }
    if (r->n_candidates > MAX) {
        (void)fprintf(out, "   (%lld in all)\n", (long long)r->n_candidates);
    }
    if (!r->chosen->fits) {
        fr_plan_needed_print(r, out);
    } else if (r->chosen != &r->candidates[0]) {
        const fr_layout *best = &r->candidates[0].layout;
        (void)fprintf(out,
                      "   at these speeds another layout is faster: run.stages=%d "
                      "run.replicas=%d\n",
                      best->n_stages, best->n_replicas);
    }
}

/* The first stages, the last ones, and the one with the most memory. */
static bool is_shown(const fr_forecast *f, int stage)
{
    enum { EACH = 8 };
    return stage < EACH || stage >= f->n_stages - EACH || stage == f->largest;
}

static void print_columns(const int64_t *kinds, size_t n, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        size_text text;
        (void)fprintf(out, " %11s", size_column(kinds[i], &text));
    }
    (void)fprintf(out, "\n");
}

static void print_memory(const fr_rank_memory *m, bool device_is_apart, FILE *out)
{
    const int64_t one[] = {m->weights,   m->activations, m->edges, m->forward,
                           m->workspace, m->head,        m->tasks, m->total};
    const int64_t apart[] = {m->weights,   m->activations, m->edges,  m->forward,
                             m->workspace, m->head,        m->images, m->scratch,
                             m->products,  m->sums,        m->slack,  m->device};
    print_columns(device_is_apart ? apart : one,
                  device_is_apart ? sizeof apart / sizeof apart[0]
                                  : sizeof one / sizeof one[0],
                  out);
}

/* In layers: how many of them cost as much as the head does on the share of rows that have a target. */
static double head_cost(const fr_plan_report *r)
{
    double share = fr_workload_target_share(r->problem->sources, r->problem->n_tasks);
    return fr_head_cost(r->problem->arch, share);
}

double fr_plan_stage_cost(const fr_plan_report *report, int stage)
{
    bool last = stage == report->forecast->n_stages - 1;
    return (double)report->forecast->stages[stage].n_layers +
           (last ? head_cost(report) : 0.0);
}

/* What a rank has in the host's memory where its device has its own. The larger of two moments counts: while the weights are
 * loaded, and after that. */
static void print_host(const fr_plan_report *r, FILE *out)
{
    const fr_forecast *f = r->forecast;
    (void)fprintf(
        out, "\nhost       what a rank has in the memory of its node; "
             "matrices are there while they are loaded\n"
             " stage     loading     offload       tasks      copies       total\n");
    for (int i = 0; i < f->n_stages; i++) {
        const fr_rank_memory *m = &f->stages[i].memory;
        const int64_t kinds[] = {m->loading, m->offload, m->tasks, m->copies, m->total};
        if (is_shown(f, i)) {
            (void)fprintf(out, "%6d", i);
            print_columns(kinds, sizeof kinds / sizeof kinds[0], out);
        }
    }
}

/* The program's own memory is the same on every stage, so it is named once instead of in a column. */
static void print_stages(const fr_plan_report *r, FILE *out)
{
    const fr_forecast *f = r->forecast;
    bool apart = r->problem->limits.device_is_apart;
    const fr_rank_memory *largest = &f->stages[f->largest].memory;
    (void)fprintf(
        out,
        "\nstages     %sthe head costs as much as %.2f layers; %s of each total%s "
        "are the program\n"
        " stage     layers   cost flight     weights activations       edges  "
        "validation   workspace        head %s\n",
        r->chosen->fits ? "" : "of the layout with the least memory; ", head_cost(r),
        size_of((double)f->stages[0].memory.process).text, apart ? " of the host" : "",
        apart
            ? "     images     scratch    products        sums       slack      device"
            : "      tasks       total");
    for (int i = 0; i < f->n_stages; i++) {
        const fr_stage_forecast *s = &f->stages[i];
        if (!is_shown(f, i)) {
            continue;
        }
        (void)fprintf(out, "%c %4d %5lld-%-5lld %5.2f %6lld",
                      i == f->largest ? '*' : ' ', i, (long long)s->first_layer,
                      (long long)(s->first_layer + s->n_layers - 1),
                      fr_plan_stage_cost(r, i), (long long)s->max_in_flight);
        print_memory(&s->memory, apart, out);
    }
    (void)fprintf(out, "  * takes the most: %s of %s a %s\n",
                  size_of((double)(apart ? largest->device : largest->total)).text,
                  size_of((double)(apart ? r->problem->limits.device_memory
                                         : r->problem->limits.memory))
                      .text,
                  apart ? "device" : "rank");
    if (apart) {
        print_host(r, out);
    }
}

/* The first stage sends nothing backward, so the least is sought among the others. */
static void print_bytes(const fr_plan_report *r, FILE *out)
{
    const fr_forecast *f = r->forecast;
    int64_t max = 0;
    int64_t fewest_back = f->edge_bytes;
    for (int i = 0; i < f->n_stages; i++) {
        const fr_stage_forecast *s = &f->stages[i];
        max = s->reduction_bytes > max ? s->reduction_bytes : max;
        if (i > 0 && s->backward_bytes < fewest_back) {
            fewest_back = s->backward_bytes;
        }
    }
    (void)fprintf(out, "\nbytes      of a step of every task\n");
    (void)fprintf(out,
                  "  each of %d edge%s: %lld forward and as many backward, over all "
                  "replicas\n",
                  f->n_stages - 1, plural(f->n_stages - 1), (long long)f->edge_bytes);
    if (fewest_back < f->edge_bytes) {
        (void)fprintf(
            out,
            "  less backward below a task's first layer with a prefix: %lld on "
            "the lowest edge\n",
            (long long)f->stages[1].backward_bytes);
    }
    (void)fprintf(out,
                  "  reduction: %lld a rank of the largest stage over %d replica%s; "
                  "the step summary: %lld a rank\n",
                  (long long)max, r->chosen->layout.n_replicas,
                  plural(r->chosen->layout.n_replicas), (long long)f->summary_bytes);
    if (f->n_stages > 1) {
        (void)fprintf(
            out,
            "  a message of %lld takes %.3g s%s, the shortest pass %.3g s: the "
            "link %s\n",
            (long long)f->message_bytes, f->message_seconds,
            f->n_leaving > 0 ? " to another node" : "", f->shortest_pass,
            f->link_hides ? "can hide behind computing" : "is slower than computing");
    }
    if (f->n_spanning > 0) {
        (void)fprintf(out,
                      "  %lld of %d replica%s %s on several nodes: up to %lld of the "
                      "%d edge%s of a replica %s to another node\n",
                      (long long)f->n_spanning, r->chosen->layout.n_replicas,
                      plural(r->chosen->layout.n_replicas),
                      f->n_spanning == 1 ? "lies" : "lie", (long long)f->n_leaving,
                      f->n_stages - 1, plural(f->n_stages - 1),
                      f->n_leaving == 1 ? "leads" : "lead");
    }
}

/* Two values for the idle share: the played one counts links and uneven stages, the formula does not. */
static void print_time(const fr_plan_report *r, FILE *out)
{
    const fr_forecast *f = r->forecast;
    int64_t n_tasks = r->problem->n_tasks;
    (void)fprintf(out,
                  "\ntime\n  a step of %s: %.4g s%s, %.1f useful tokens/s\n"
                  "  idle: %.1f %% played through, %.1f %% by formula for even stages "
                  "without links; balance of stages %.2f\n\n",
                  n_tasks == 1 ? "the task" : "every task", f->round_seconds,
                  f->link_bound ? " (as long as its messages take)" : "",
                  f->tokens_per_second, 100.0 * f->bubble, 100.0 * f->bubble_formula,
                  f->balance);
}

void fr_plan_print(const fr_plan_report *report, FILE *out)
{
    print_head(report, out);
    print_tasks(report, out);
    print_candidates(report, out);
    print_stages(report, out);
    if (report->chosen->fits) {
        print_bytes(report, out);
        fr_plan_loading_print(report, out);
        print_time(report, out);
    }
}
