/* The automaton of Aho and Corasick over reversed token texts.
 *
 * Each node is a text, read from the end of some token towards its beginning; node ROOT is the empty text. An edge adds one
 * byte. `shorter` leads to the longest other node that the last bytes read also match, so that a search never reads a byte
 * twice. Because a text is read from its end, the tokens that end the read part are those that begin at the current byte, and
 * the longest of them stands in `token`: the node's own, or what it inherits from `shorter`.
 *
 * Nodes are built in three steps: a trie of all tokens, an order by depth, then `shorter` and `token` in this order, since both
 * depend on shallower nodes. Edges lie in a hash table, but those of ROOT in an array: most bytes of a text are read there. */
#include "model/text/special_tokens.h"

#include "base/mem.h"
#include "base/print.h"
#include "base/text_map.h"
#include "model/text/character.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 0, NONE = -1, N_BYTES = 256 };

typedef struct node {
    int32_t parent;
    int32_t shorter; /* the longest node that is a proper suffix of this one, as read */
    int32_t
        token; /* the longest token that is a suffix of this node: its position; NONE */
    uint8_t byte; /* of the edge from the parent */
} node;

struct fr_specials {
    node *nodes;
    int32_t n_nodes;
    int32_t from_root[N_BYTES]; /* ROOT: no edge */
    int32_t *
        slots; /* open addressing: that of (parent, byte) holds the child; ROOT: free */
    uint64_t mask;
    uint64_t seed;
    fr_special *tokens; /* their texts are not kept: data NULL */
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

/* Of two tokens with the same text the later one stays. Texts are walked from their ends, as searches are. */
static void add_token(fr_specials *s, fr_text text, int32_t token)
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
    s->nodes[at].token = token;
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

/* By rising depth: `shorter` and its token are final before a deeper node uses them. */
static fr_status link_suffixes(fr_ctx *ctx, fr_specials *s)
{
    int32_t *order = NULL;
    FR_TRY(fr_alloc(ctx, s->n_nodes, sizeof *order, &order));
    fr_status status = sort_by_depth(ctx, s, order);
    for (int64_t i = 0; status == FR_OK && i + 1 < s->n_nodes; i++) {
        node *n = &s->nodes[order[i]];
        n->shorter =
            n->parent == ROOT ? ROOT : next_of(s, s->nodes[n->parent].shorter, n->byte);
        n->token = n->token != NONE ? n->token : s->nodes[n->shorter].token;
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

static fr_status build(fr_ctx *ctx, const fr_special *tokens, int64_t n, int64_t bytes,
                       fr_specials *made)
{
    FR_TRY(alloc_nodes(ctx, made, bytes));
    FR_TRY(fr_alloc(ctx, n, sizeof *made->tokens, &made->tokens));
    for (int64_t i = 0; i < n; i++) {
        made->tokens[i] = tokens[i];
        made->tokens[i].text.data = NULL;
        add_token(made, tokens[i].text, (int32_t)i);
    }
    return link_suffixes(ctx, made);
}

fr_status fr_specials_create(fr_ctx *ctx, const fr_special *tokens, int64_t n,
                             fr_specials **out)
{
    size_t bytes = 0;
    *out = NULL;
    for (int64_t i = 0; i < n; i++) {
        bytes += tokens[i].text.bytes;
    }
    if (bytes > INT32_MAX / 2) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "the special tokens have %zu bytes together; at most %d are supported",
            bytes, INT32_MAX / 2);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = build(ctx, tokens, n, (int64_t)bytes, *out);
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
        free((*specials)->tokens);
        free(*specials);
        *specials = NULL;
    }
}

bool fr_specials_any(const fr_specials *specials)
{
    return specials->n_nodes > 1;
}

/* The state after the whole text tells which token begins at its first byte. */
int32_t fr_specials_whole(const fr_specials *specials, fr_text text)
{
    int32_t at = ROOT;
    for (size_t i = text.bytes; i > 0; i--) {
        at = next_of(specials, at, (uint8_t)text.data[i - 1]);
    }
    int32_t token = specials->nodes[at].token;
    return token != NONE && specials->tokens[token].text.bytes == text.bytes
               ? specials->tokens[token].id
               : -1;
}

/* The longest token that begins at each byte of `text`: its position or NONE. */
static fr_status find(fr_ctx *ctx, const fr_specials *specials, fr_text text,
                      int32_t **found)
{
    int32_t at = ROOT;
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes, sizeof **found, found));
    for (size_t i = text.bytes; i > 0; i--) {
        at = next_of(specials, at, (uint8_t)text.data[i - 1]);
        (*found)[i - 1] = specials->nodes[at].token;
    }
    return FR_OK;
}

/* Whether a token in [start, end) touches no character of a word. */
static bool stands_alone(fr_text text, size_t start, size_t end)
{
    uint32_t code = 0;
    size_t at = 0;
    bool before =
        start > 0 && fr_utf8_before(text.data, start, &at, &code) && fr_is_word(code);
    bool behind = end < text.bytes &&
                  fr_utf8_next(text.data + end, text.bytes - end, &code) > 0 &&
                  fr_is_word(code);
    return !before && !behind;
}

/* Where the white space begins that ends at `start`, but not before `least`. */
static size_t strip_left(fr_text text, size_t start, size_t least)
{
    uint32_t code = 0;
    size_t at = start;
    while (start > least && fr_utf8_before(text.data, start, &at, &code) &&
           fr_is_white(code)) {
        start = at;
    }
    return start > least ? start : least;
}

static size_t strip_right(fr_text text, size_t end)
{
    while (end < text.bytes) {
        uint32_t code = 0;
        size_t length = fr_utf8_next(text.data + end, text.bytes - end, &code);
        if (length == 0 || !fr_is_white(code)) {
            break;
        }
        end += length;
    }
    return end;
}

/* A token that does not count here is passed over as a whole. White space that a token took is not searched again from its
 * left end (`done`), so the time stays linear; a token of white space may still be found in it, as in the reference. */
static fr_status cut_at(const fr_specials *s, fr_text text, const int32_t *found,
                        fr_part_visit visit, void *user)
{
    size_t done = 0; /* behind the last token, with what it stripped */
    size_t at = 0;
    while (at < text.bytes) {
        if (found[at] == NONE) {
            at++;
            continue;
        }
        const fr_special *token = &s->tokens[found[at]];
        size_t start = at;
        size_t end = at + token->text.bytes;
        at = end;
        if ((token->how & FR_SPECIAL_SINGLE_WORD) != 0 &&
            !stands_alone(text, start, end)) {
            continue;
        }
        if ((token->how & FR_SPECIAL_LSTRIP) != 0) {
            start = start > done ? strip_left(text, start, done) : done;
        }
        if ((token->how & FR_SPECIAL_RSTRIP) != 0) {
            end = strip_right(text, end > done ? end : done);
        }
        if (start > done) {
            FR_TRY(visit(user, -1, (fr_text){text.data + done, start - done}, done));
        }
        FR_TRY(visit(user, token->id, (fr_text){text.data + start, 0}, start));
        done = end > done ? end : done;
    }
    return done < text.bytes
               ? visit(user, -1, (fr_text){text.data + done, text.bytes - done}, done)
               : FR_OK;
}

/* `found` is 4 bytes for each byte of the text, so it is made only if there are tokens to look for. */
fr_status fr_specials_cut(fr_ctx *ctx, const fr_specials *specials, fr_text text,
                          fr_part_visit visit, void *user)
{
    int32_t *found = NULL;
    if (text.bytes == 0) {
        return FR_OK;
    }
    if (!fr_specials_any(specials)) {
        return visit(user, -1, text, 0);
    }
    FR_TRY(find(ctx, specials, text, &found));
    fr_status status = cut_at(specials, text, found, visit, user);
    free(found);
    return status;
}
