/* The automaton of Aho and Corasick over reversed token texts.
 *
 * Each node is a text, read from the end of some token towards its beginning; node ROOT is the empty text. An edge adds one
 * byte. `shorter` leads to the longest other node that the last bytes read also match, so that a search never reads a byte
 * twice. Because a text is read from its end, the tokens that end the read part are those that begin at the current byte, and
 * the longest of them stands in `id`: the node's own, or what it inherits from `shorter`.
 *
 * Nodes are built in three steps: a trie of all tokens, an order by depth, then `shorter` and `id` in this order, since both
 * depend on shallower nodes. Edges lie in a hash table, but those of ROOT in an array: most bytes of a text are read there. */
#include "model/text/special_tokens.h"

#include "base/mem.h"
#include "base/text_map.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 0, NONE = -1, N_BYTES = 256 };

typedef struct node {
    int32_t parent;
    int32_t shorter; /* the longest node that is a proper suffix of this one, as read */
    int32_t id;      /* of the longest token that is a suffix of this node; NONE */
    uint8_t byte;    /* of the edge from the parent */
} node;

struct fr_specials {
    node *nodes;
    int32_t n_nodes;
    int32_t from_root[N_BYTES]; /* ROOT: no edge */
    int32_t *
        slots; /* open addressing: that of (parent, byte) holds the child; ROOT: free */
    uint64_t mask;
    uint64_t seed;
};

static uint64_t slot_of(const fr_specials *s, int32_t parent, uint8_t byte)
{
    return fr_hash_word(s->seed, (uint64_t)(uint32_t)parent << 8 | byte) & s->mask;
}

/* The slot of an edge, or the free slot where it belongs. */
static int32_t *edge(const fr_specials *s, int32_t parent, uint8_t byte)
{
    uint64_t at = slot_of(s, parent, byte);
    for (;;) {
        int32_t child = s->slots[at];
        if (child == ROOT ||
            (s->nodes[child].parent == parent && s->nodes[child].byte == byte)) {
            return &s->slots[at];
        }
        at = (at + 1) & s->mask;
    }
}

/* The child of a node, ROOT if there is none. */
static int32_t child_of(const fr_specials *s, int32_t parent, uint8_t byte)
{
    return parent == ROOT ? s->from_root[byte] : *edge(s, parent, byte);
}

/* Of two tokens with the same text the later one's id stays. Texts are walked from their ends, as searches are. */
static void add_token(fr_specials *s, fr_text text, int32_t id)
{
    int32_t at = ROOT;
    for (size_t i = text.bytes; i > 0; i--) {
        uint8_t byte = (uint8_t)text.data[i - 1];
        int32_t *slot = at == ROOT ? &s->from_root[byte] : edge(s, at, byte);
        if (*slot == ROOT) {
            s->nodes[s->n_nodes] = (node){at, ROOT, NONE, byte};
            *slot = s->n_nodes++;
        }
        at = *slot;
    }
    s->nodes[at].id = id;
}

/* The next node from a node by a byte: along its edge, or that of the longest suffix that has one. */
static int32_t next_of(const fr_specials *s, int32_t from, uint8_t byte)
{
    int32_t next = child_of(s, from, byte);
    while (next == ROOT && from != ROOT) {
        from = s->nodes[from].shorter;
        next = child_of(s, from, byte);
    }
    return next;
}

/* Sorts the nodes by depth (a counting sort) into `order`. In s->nodes a parent comes before its children. */
static fr_status sort_by_depth(fr_ctx *ctx, const fr_specials *s, int32_t *order)
{
    int32_t *depth = NULL;
    int32_t *first = NULL;
    int64_t n = s->n_nodes;
    fr_status status = fr_alloc(ctx, n, sizeof *depth, &depth);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n + 2, sizeof *first, &first);
    }
    for (int32_t i = 1; status == FR_OK && i < n; i++) {
        depth[i] = depth[s->nodes[i].parent] + 1;
        first[depth[i] + 1]++;
    }
    for (int64_t d = 1; status == FR_OK && d <= n; d++) {
        first[d + 1] += first[d];
    }
    for (int32_t i = 1; status == FR_OK && i < n; i++) {
        order[first[depth[i]]++] = i;
    }
    free(depth);
    free(first);
    return status;
}

/* By rising depth: `shorter` and its id are final before a deeper node uses them. */
static fr_status link_suffixes(fr_ctx *ctx, fr_specials *s)
{
    int32_t *order = NULL;
    FR_TRY(fr_alloc(ctx, s->n_nodes, sizeof *order, &order));
    fr_status status = sort_by_depth(ctx, s, order);
    for (int64_t i = 0; status == FR_OK && i + 1 < s->n_nodes; i++) {
        node *n = &s->nodes[order[i]];
        n->shorter =
            n->parent == ROOT ? ROOT : next_of(s, s->nodes[n->parent].shorter, n->byte);
        n->id = n->id != NONE ? n->id : s->nodes[n->shorter].id;
    }
    free(order);
    return status;
}

/* A trie has at most one node a byte and the root. The table is at most half full, so probing stays short and ends. */
static fr_status alloc_nodes(fr_ctx *ctx, fr_specials *s, int64_t bytes)
{
    enum { SMALLEST = 16 };
    int64_t n_slots = SMALLEST;
    while (n_slots < 2 * bytes) {
        n_slots *= 2;
    }
    s->mask = (uint64_t)n_slots - 1;
    s->seed = fr_hash_seed();
    FR_TRY(fr_alloc(ctx, bytes + 1, sizeof *s->nodes, &s->nodes));
    FR_TRY(fr_alloc(ctx, n_slots, sizeof *s->slots, &s->slots));
    s->nodes[ROOT] = (node){ROOT, ROOT, NONE, 0};
    s->n_nodes = 1;
    return FR_OK;
}

fr_status fr_specials_create(fr_ctx *ctx, const fr_text *texts, const int32_t *ids,
                             int64_t n, fr_specials **out)
{
    size_t bytes = 0;
    *out = NULL;
    for (int64_t i = 0; i < n; i++) {
        bytes += texts[i].bytes;
    }
    if (bytes > INT32_MAX / 2) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "the special tokens have %zu bytes together; at most %d are supported",
            bytes, INT32_MAX / 2);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = alloc_nodes(ctx, *out, (int64_t)bytes);
    for (int64_t i = 0; status == FR_OK && i < n; i++) {
        add_token(*out, texts[i], ids[i]);
    }
    if (status == FR_OK) {
        status = link_suffixes(ctx, *out);
    }
    if (status != FR_OK) {
        fr_specials_destroy(out);
    }
    return status;
}

void fr_specials_destroy(fr_specials **specials)
{
    if (*specials != NULL) {
        free((*specials)->nodes);
        free((*specials)->slots);
        free(*specials);
        *specials = NULL;
    }
}

bool fr_specials_any(const fr_specials *specials)
{
    return specials->n_nodes > 1;
}

/* The state after the whole text tells which token begins at its first byte. */
int32_t fr_specials_longest(const fr_specials *specials, fr_text text)
{
    int32_t at = ROOT;
    for (size_t i = text.bytes; i > 0; i--) {
        at = next_of(specials, at, (uint8_t)text.data[i - 1]);
    }
    return specials->nodes[at].id;
}

fr_status fr_specials_find(fr_ctx *ctx, const fr_specials *specials, fr_text text,
                           int32_t **found)
{
    int32_t at = ROOT;
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes, sizeof **found, found));
    for (size_t i = text.bytes; i > 0; i--) {
        at = next_of(specials, at, (uint8_t)text.data[i - 1]);
        (*found)[i - 1] = specials->nodes[at].id;
    }
    return FR_OK;
}
