/* Messages and sums of a round, on two kinds of link: inside a node and between nodes.
 *
 * Ranks stand node by node in the order of the stages, as placement.h puts them, so an edge leaves a node only where a
 * node ends within a replica. Replicas then differ: the stages of one may share a node while the next lies on two. All
 * wait for each other at every update, so the replica with the most edges between nodes stands for all.
 *
 * Sums over replicas and over all ranks count as between nodes wherever the run has several: the slowest stage has
 * replicas on several nodes then, and a ring or a tree is as fast as its slowest link. That ranks of a node share what
 * connects it is not counted: a speed is that of two ranks which have a link for themselves.
 */
#include "train/forecast/forecast_links.h"

#include "base/integer.h"
#include <math.h>

/* Positions on a node. */
static int64_t node_ranks(const fr_forecast_params *p)
{
    return fr_max(p->node_ranks_most, 1);
}

/* ---- which links leave a node ------------------------------------------------------------------ */

/* Whether the edge above a stage of a replica leads to another node. */
static bool leaves(const fr_forecast_params *p, int64_t replica, int stage)
{
    int64_t position = replica * p->n_stages + stage;
    return position / node_ranks(p) != (position + 1) / node_ranks(p);
}

static void find_nodes(const fr_forecast_params *p, fr_forecast *f)
{
    int64_t n = node_ranks(p);
    for (int64_t replica = 0; replica < p->n_replicas; replica++) {
        int64_t first = replica * p->n_stages;
        int64_t n_leaving = (first + p->n_stages - 1) / n - first / n;
        f->n_spanning += n_leaving > 0;
        if (n_leaving > f->n_leaving) {
            f->n_leaving = n_leaving;
            f->slowest_replica = replica;
        }
    }
    for (int stage = 0; stage < p->n_stages - 1; stage++) {
        f->stages[stage].leaves_node = leaves(p, f->slowest_replica, stage);
    }
    f->sums_leave = (int64_t)p->n_stages * p->n_replicas > n;
}

static const fr_link_speed *link_of(const fr_forecast_params *p, bool leaves_node)
{
    return leaves_node ? &p->machine.between : &p->machine.inside;
}

/* ---- how long ---------------------------------------------------------------------------------- */

static int steps_of_tree(int n)
{
    int steps = 0;
    for (int64_t reached = 1; reached < n; reached *= 2) {
        steps++;
    }
    return steps;
}

/* A sum of `bytes` over n ranks: bandwidth of a ring, latency of a tree there and back. */
static double sum_seconds(const fr_link_speed *link, int n, double bytes)
{
    if (n < 2) {
        return 0.0;
    }
    double travelled = 2.0 * bytes * (double)(n - 1) / (double)n;
    return travelled / link->bytes + 2.0 * steps_of_tree(n) * link->seconds;
}

/* A mean task's reduction on the stage that has the largest, and the step summary. */
static double update_seconds(const fr_forecast_params *p, const fr_forecast *f)
{
    double max = 0.0;
    const fr_link_speed *link = link_of(p, f->sums_leave);
    for (int i = 0; i < f->n_stages; i++) {
        max = fmax(max, (double)f->stages[i].reduction_bytes);
    }
    double reduction = max / (double)p->n_tasks;
    int n_ranks = p->n_stages * p->n_replicas;
    return sum_seconds(link, p->n_replicas, reduction) +
           sum_seconds(link, n_ranks,
                       (double)fr_step_summary_bytes(p->arch, p->n_stages));
}

void fr_forecast_links(const fr_forecast_params *params, double rows,
                       fr_forecast *forecast)
{
    const fr_forecast_params *p = params;
    fr_forecast *f = forecast;
    double step_rows = 0.0;
    for (int64_t t = 0; t < p->n_tasks; t++) {
        step_rows += p->tasks[t].step_rows;
    }
    find_nodes(p, f);
    f->edge_bytes = p->n_stages > 1 ? fr_edge_bytes(p->arch, llrint(step_rows)) : 0;
    f->summary_bytes = p->n_tasks * fr_step_summary_bytes(p->arch, p->n_stages);
    f->message_bytes = p->n_stages > 1 ? fr_edge_bytes(p->arch, llrint(rows)) : 0;
    for (int stage = 0; stage < p->n_stages - 1; stage++) {
        fr_stage_forecast *s = &f->stages[stage];
        const fr_link_speed *link = link_of(p, s->leaves_node);
        s->message_seconds = (double)f->message_bytes / link->bytes + link->seconds;
        f->message_seconds = fmax(f->message_seconds, s->message_seconds);
    }
    f->link_hides = f->message_seconds <= f->shortest_pass;
    f->update_seconds = update_seconds(p, f);
}

double fr_forecast_edge_seconds(const fr_forecast_params *params,
                                const fr_forecast *forecast, double n_rows)
{
    double slowest = 0.0;
    for (int stage = 0; stage < params->n_stages - 1; stage++) {
        const fr_link_speed *link =
            link_of(params, forecast->stages[stage].leaves_node);
        double seconds = n_rows * (double)fr_edge_bytes(params->arch, 1) / link->bytes;
        slowest = fmax(slowest, seconds);
    }
    return slowest;
}
