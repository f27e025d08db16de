#include "comm/placement.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A node is named by its lowest rank. Whole nodes are put one after the other, so a replica lies on several nodes only
 * where a node ends within it. Which node comes next is chosen without a search: one that ends where a replica ends spares
 * the next replica a change of nodes.
 */

static bool is_in_row(const int64_t *nodes, int n_ranks)
{
    for (int r = 1; r < n_ranks; r++) {
        if (nodes[r] != nodes[r - 1] && nodes[r] != r) {
            return false;
        }
    }
    return true;
}

/* @param left  [N] by the lowest rank of a node: its ranks, 0 where they are placed or the rank is not the lowest */
static int next_node(const int *left, int n_ranks, int n_stages, int n_placed)
{
    int lowest = -1;
    for (int r = 0; r < n_ranks; r++) {
        if (left[r] == 0) {
            continue;
        }
        if (n_placed == 0 || (n_placed + left[r]) % n_stages == 0) {
            return r;
        }
        lowest = lowest < 0 ? r : lowest;
    }
    return lowest;
}

static void order_by_node(const int64_t *nodes, int *left, fr_placement *p)
{
    int n_placed = 0;
    for (int r = 0; r < p->n_ranks; r++) {
        left[nodes[r]]++;
    }
    while (n_placed < p->n_ranks) {
        int node = next_node(left, p->n_ranks, p->n_stages, n_placed);
        left[node] = 0;
        for (int r = node; r < p->n_ranks; r++) {
            if (nodes[r] == node) {
                p->is_moved = p->is_moved || r != n_placed;
                p->rank_at[n_placed++] = r;
            }
        }
    }
}

static void count_spanning(const int64_t *nodes, fr_placement *p)
{
    for (int begin = 0; begin < p->n_ranks; begin += p->n_stages) {
        int64_t node = nodes[p->rank_at[begin]];
        bool spans = false;
        for (int i = begin; i < begin + p->n_stages && i < p->n_ranks; i++) {
            spans = spans || nodes[p->rank_at[i]] != node;
        }
        if (spans && p->n_spanning++ == 0) {
            p->first_spanning = begin / p->n_stages;
        }
    }
}

fr_status fr_placement_init(fr_ctx *ctx, const int64_t *nodes, int n_ranks,
                            int n_stages, fr_placement *out)
{
    int *left = NULL;
    *out =
        (fr_placement){.n_ranks = n_ranks, .n_stages = n_stages, .first_spanning = -1};
    FR_TRY(fr_alloc(ctx, n_ranks, sizeof *out->rank_at, &out->rank_at));
    fr_status status = fr_alloc(ctx, n_ranks, sizeof *left, &left);
    if (status != FR_OK) {
        fr_placement_fini(out);
        return status;
    }
    if (nodes == NULL || is_in_row(nodes, n_ranks)) {
        for (int r = 0; r < n_ranks; r++) {
            out->rank_at[r] = r;
        }
    } else {
        order_by_node(nodes, left, out);
    }
    if (nodes != NULL) {
        count_spanning(nodes, out);
    }
    free(left);
    return FR_OK;
}

void fr_placement_fini(fr_placement *placement)
{
    free(placement->rank_at);
    *placement = (fr_placement){0};
}

void fr_placement_of_rank(const fr_placement *placement, int rank, int *stage,
                          int *replica)
{
    int position = 0;
    while (position < placement->n_ranks - 1 && placement->rank_at[position] != rank) {
        position++;
    }
    *stage = position % placement->n_stages;
    *replica = position / placement->n_stages;
}

/* The ranks of the first replica, as far as a line has room for them. */
static size_t list_first(const fr_placement *p, char *out, size_t bytes)
{
    enum { SHOWN = 8 };
    size_t used = 0;
    for (int i = 0; i < p->n_stages && i < SHOWN; i++) {
        used += (size_t)snprintf(out + used, bytes - used, "%s%d", i > 0 ? ", " : "",
                                 p->rank_at[i]);
    }
    if (p->n_stages > SHOWN) {
        used += (size_t)snprintf(out + used, bytes - used, ", ...");
    }
    return used;
}

void fr_placement_text(const fr_placement *placement, char out[FR_PLACEMENT_TEXT])
{
    const fr_placement *p = placement;
    int n_replicas = p->n_ranks / p->n_stages;
    size_t used = 0;
    out[0] = '\0';
    if (p->is_moved) {
        used = (size_t)snprintf(out, FR_PLACEMENT_TEXT,
                                "ranks of one node do not follow each other, so stages "
                                "are given out node by node: replica 0 has the ranks ");
        used += list_first(p, out + used, FR_PLACEMENT_TEXT - used);
    }
    if (p->n_spanning > 0) {
        (void)snprintf(out + used, FR_PLACEMENT_TEXT - used,
                       "%s%d of %d replica%s %s on several nodes, the first is replica "
                       "%d: some messages between %s stages go from node to node",
                       used > 0 ? "; " : "", p->n_spanning, n_replicas,
                       n_replicas == 1 ? "" : "s", p->n_spanning == 1 ? "lies" : "lie",
                       p->first_spanning, p->n_spanning == 1 ? "its" : "their");
    }
}
