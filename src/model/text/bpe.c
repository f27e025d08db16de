/* Byte-pair merges with a heap.
 *
 * The pairs that can merge lie in a hash table over (left, right), with open addressing; its seed is random, so that a
 * file cannot be made whose pairs all collide. The table is at most half full.
 *
 * A piece is a doubly linked list of symbols over the caller's ids. Its heap holds the pairs that can merge, lowest rank
 * first and leftmost of equals. Joining a pair changes its two neighbours, which gives at most two new pairs. The old entries
 * of these neighbours stay in the heap and are recognised when they are popped: their symbols have changed. This keeps
 * merging at O(n log n), where a search for the lowest pair in every round would take O(n^2).
 *
 * Merges may share a rank. An entry then counts if the pair at its place has the entry's rank, whichever pair it was made
 * for: such a pair is the leftmost of the lowest rank all the same. */
#include "model/text/bpe.h"

#include "base/mem.h"
#include "base/text_map.h"

#include <stdlib.h>
#include <string.h>

struct fr_bpe {
    fr_merge *merges;
    int32_t *ranks; /* [n]: of each merge */
    int32_t
        *slots; /* hash table over (left, right), open addressing: merges; -1: free */
    uint64_t mask;
    uint64_t seed;
};

static uint64_t slot_of(const fr_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = ((uint64_t)(uint32_t)left << 32) | (uint32_t)right;
    return fr_hash_word(bpe->seed, pair) & bpe->mask;
}

/* The table entry of a pair, or the free entry where it belongs. */
static int32_t *probe(const fr_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t at = slot_of(bpe, left, right);
    for (;;) {
        int32_t merge = bpe->slots[at];
        if (merge < 0 ||
            (bpe->merges[merge].left == left && bpe->merges[merge].right == right)) {
            return &bpe->slots[at];
        }
        at = (at + 1) & bpe->mask;
    }
}

/* A pair that two merges join is refused: which of them counts is not defined. */
static fr_status fill(fr_ctx *ctx, const char *path, const fr_merge *merges,
                      const int32_t *ranks, int64_t n, fr_bpe *bpe)
{
    enum { SMALLEST = 16 };
    int64_t n_slots = SMALLEST;
    while (n_slots / 2 < n) {
        n_slots *= 2;
    }
    bpe->mask = (uint64_t)n_slots - 1;
    bpe->seed = fr_hash_seed();
    FR_TRY(fr_alloc(ctx, n, sizeof *bpe->merges, &bpe->merges));
    FR_TRY(fr_alloc(ctx, n, sizeof *bpe->ranks, &bpe->ranks));
    FR_TRY(fr_alloc(ctx, n_slots, sizeof *bpe->slots, &bpe->slots));
    memset(bpe->slots, 0xFF, (size_t)n_slots * sizeof *bpe->slots);
    for (int64_t i = 0; i < n; i++) {
        bpe->merges[i] = merges[i];
        bpe->ranks[i] = ranks != NULL ? ranks[i] : (int32_t)i;
        int32_t *slot = probe(bpe, merges[i].left, merges[i].right);
        if (*slot >= 0) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: merges %d and %lld join the same pair (%d, %d); each "
                           "pair may occur once",
                           path, (int)*slot, (long long)i, (int)merges[i].left,
                           (int)merges[i].right);
        }
        *slot = (int32_t)i;
    }
    return FR_OK;
}

fr_status fr_bpe_create(fr_ctx *ctx, const char *path, const fr_merge *merges,
                        const int32_t *ranks, int64_t n, fr_bpe **out)
{
    *out = NULL;
    if (n > INT32_MAX) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the tokenizer has %lld merges; at most %d are allowed",
                       path, (long long)n, INT32_MAX);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = fill(ctx, path, merges, ranks, n, *out);
    if (status != FR_OK) {
        fr_bpe_destroy(out);
    }
    return status;
}

void fr_bpe_destroy(fr_bpe **bpe)
{
    if (*bpe != NULL) {
        free((*bpe)->merges);
        free((*bpe)->ranks);
        free((*bpe)->slots);
        free(*bpe);
        *bpe = NULL;
    }
}

void fr_bpe_scratch_fini(fr_bpe_scratch *scratch)
{
    free(scratch->neighbours);
    free(scratch->heap);
    *scratch = (fr_bpe_scratch){NULL, NULL, 0};
}

/* Grows by half as much again; contents are lost, as a piece needs nothing from the one before. */
static fr_status reserve(fr_ctx *ctx, fr_bpe_scratch *scratch, int64_t n)
{
    enum { SMALLEST = 64 };
    if (n <= scratch->capacity) {
        return FR_OK;
    }
    int64_t capacity = n < SMALLEST ? SMALLEST : n + n / 2;
    fr_bpe_scratch_fini(scratch);
    FR_TRY(fr_alloc(ctx, capacity, 2 * sizeof(int32_t), &scratch->neighbours));
    FR_TRY(fr_alloc(ctx, capacity, 2 * sizeof(uint64_t), &scratch->heap));
    scratch->capacity = capacity;
    return FR_OK;
}

/* One piece being merged. A heap entry is (rank << 32 | index of the left symbol), so the smallest entry is the leftmost pair
 * of the lowest rank. The heap begins with at most n - 1 entries; each of at most n - 1 merges pops one and pushes two. So it
 * never holds more than 2 n. */
typedef struct piece {
    const fr_bpe *bpe;
    int32_t *ids; /* -1: merged away */
    int32_t *neighbours;
    uint64_t *heap;
    int64_t n_heap;
} piece;

/* Neighbours are indexes of symbols; -1: none on that side. */
static int32_t *before(const piece *p, int32_t index)
{
    return &p->neighbours[2 * (int64_t)index];
}

static int32_t *after(const piece *p, int32_t index)
{
    return &p->neighbours[2 * (int64_t)index + 1];
}

/* Puts the pair on the heap if it can merge. */
static void push_pair(piece *p, int32_t left, int32_t right)
{
    int32_t merge = *probe(p->bpe, p->ids[left], p->ids[right]);
    if (merge < 0) {
        return;
    }
    uint32_t rank = (uint32_t)p->bpe->ranks[merge];
    uint64_t entry = ((uint64_t)rank << 32) | (uint32_t)left;
    int64_t at = p->n_heap++;
    while (at > 0 && entry < p->heap[(at - 1) / 2]) {
        p->heap[at] = p->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    p->heap[at] = entry;
}

static uint64_t pop_lowest(piece *p)
{
    uint64_t lowest = p->heap[0];
    uint64_t moved = p->heap[--p->n_heap];
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= p->n_heap) {
            break;
        }
        child += child + 1 < p->n_heap && p->heap[child + 1] < p->heap[child];
        if (moved <= p->heap[child]) {
            break;
        }
        p->heap[at] = p->heap[child];
        at = child;
    }
    p->heap[at] = moved;
    return lowest;
}

/* Replaces a pair by its merged symbol and queues the two new pairs. */
static void join(piece *p, int32_t left, int32_t right, int32_t merged)
{
    int32_t next = *after(p, right);
    int32_t previous = *before(p, left);
    p->ids[left] = merged;
    p->ids[right] = -1;
    *after(p, left) = next;
    if (next >= 0) {
        *before(p, next) = left;
        push_pair(p, left, next);
    }
    if (previous >= 0) {
        push_pair(p, previous, left);
    }
}

static void merge_all(piece *p, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        *before(p, i) = i - 1;
        *after(p, i) = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 0; i + 1 < n; i++) {
        push_pair(p, i, i + 1);
    }
    while (p->n_heap > 0) {
        uint64_t entry = pop_lowest(p);
        int32_t rank = (int32_t)(entry >> 32);
        int32_t left = (int32_t)(entry & UINT32_MAX);
        int32_t right = *after(p, left);
        if (p->ids[left] < 0 || right < 0) {
            continue; /* the left symbol was merged away, or the piece ends there */
        }
        int32_t merge = *probe(p->bpe, p->ids[left], p->ids[right]);
        if (merge >= 0 && p->bpe->ranks[merge] == rank) {
            join(p, left, right, p->bpe->merges[merge].merged);
        }
    }
}

fr_status fr_bpe_merge(fr_ctx *ctx, const fr_bpe *bpe, fr_bpe_scratch *scratch,
                       int32_t *ids, int64_t n, int64_t *n_left)
{
    *n_left = n;
    if (n < 2) {
        return FR_OK;
    }
    if (n > INT32_MAX) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "the text has a run of %lld bytes without a word boundary; at "
                       "most %d can be "
                       "tokenised at once",
                       (long long)n, INT32_MAX);
    }
    FR_TRY(reserve(ctx, scratch, n));
    piece p = {bpe, ids, scratch->neighbours, scratch->heap, 0};
    merge_all(&p, (int32_t)n);
    /* close the gaps of merged symbols; the order stays */
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= 0) {
            ids[kept++] = ids[i];
        }
    }
    *n_left = kept;
    return FR_OK;
}
