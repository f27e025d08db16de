#include "train/forecast/layout.h"

/* Multiplications of the head on a mean row over those of one layer. The head computes only rows that have a target. */
double fr_head_cost(const fr_arch *arch, double target_share)
{
    double d = (double)arch->d_model;
    double q = (double)(arch->n_heads * arch->head_dim);
    double kv = (double)(arch->n_kv_heads * arch->head_dim);
    double f = (double)arch->d_ff * (arch->gated ? 3.0 : 2.0);
    double layer = d * (2.0 * q + 2.0 * kv + f);
    return target_share * d * (double)arch->vocab_size / layer;
}

/* Stages needed if none may cost more than `limit`; fills bounds greedily from the front. */
static int fill_stages(int64_t n_layers, double head_cost, double limit, int n_stages,
                       int64_t *bounds)
{
    int64_t next = 0;
    for (int s = 0; s < n_stages; s++) {
        int64_t left_after = n_stages - 1 - s; /* each later stage needs a layer */
        double capacity = s == n_stages - 1 ? limit - head_cost : limit;
        int64_t take = capacity < 1.0 ? 1 : (int64_t)capacity;
        if (take > n_layers - next - left_after) {
            take = n_layers - next - left_after;
        }
        bounds[s] = next;
        next += take;
    }
    bounds[n_stages] = n_layers;
    return next == n_layers;
}

static double costliest(double head_cost, int n_stages, const int64_t *bounds)
{
    double worst = 0.0;
    for (int s = 0; s < n_stages; s++) {
        double cost = (double)(bounds[s + 1] - bounds[s]);
        cost += s == n_stages - 1 ? head_cost : 0.0;
        worst = cost > worst ? cost : worst;
    }
    return worst;
}

/* Tries each number of layers beside the head, takes the cheapest, and fills the stages up to its cost. An even split
 * is the way out if the filling does not come out. SLACK keeps a cost that equals the limit within it despite
 * rounding. */
void fr_split_layers(int64_t n_layers, double head_cost, int n_stages, int64_t *bounds)
{
    /* The optimum is a whole number of layers, or a whole number of layers beside the head. */
    double best = (double)n_layers + head_cost;
    int64_t fewest = n_stages > 1 ? 1 : n_layers;
    for (int64_t last = fewest; last <= n_layers - (n_stages - 1); last++) {
        int64_t others = n_stages > 1 ? n_layers - last : 0;
        int64_t widest = n_stages > 1 ? (others + n_stages - 2) / (n_stages - 1) : 0;
        double cost = (double)last + head_cost;
        cost = (double)widest > cost ? (double)widest : cost;
        best = cost < best ? cost : best;
    }
    static const double SLACK = 1e-9;
    if (!fill_stages(n_layers, head_cost, best + SLACK, n_stages, bounds) ||
        costliest(head_cost, n_stages, bounds) > best + 1.0) {
        for (int s = 0; s <= n_stages; s++) {
            bounds[s] = n_layers * s / n_stages;
        }
    }
}
