/* The tokens lie in a trie whose edges are in a hash table with a random seed, as in special_tokens.c. fr_unigram_run walks the
 * text twice: forwards it finds the best way to each place between characters, backwards it turns the links of the best way to
 * the end around, so that they can be visited in order. */
#include "model/text/unigram.h"

#include "base/mem.h"
#include "base/print.h"
#include "base/text_map.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 0, NONE = -1 };

/* How much less than the lowest score an unknown character has: SentencePiece's kUnkPenalty. */
static const double PENALTY = 10.0;

typedef struct node {
    int32_t parent;
    int32_t id; /* of the token that ends here; NONE */
    double score;
    uint8_t byte; /* of the edge from the parent */
} node;

struct fr_unigram {
    node *nodes;
    int32_t n_nodes;
    int32_t *
        slots; /* open addressing: that of (parent, byte) holds the child; ROOT: free */
    uint64_t mask;
    uint64_t seed;
    double unknown; /* the score of an unknown character */
    bool single;
};

/* The slot of an edge, or the free slot where it belongs. */
static int32_t *edge(const fr_unigram *u, int32_t parent, uint8_t byte)
{
    uint64_t at =
        fr_hash_word(u->seed, (uint64_t)(uint32_t)parent << 8 | byte) & u->mask;
    for (;;) {
        int32_t child = u->slots[at];
        if (child == ROOT ||
            (u->nodes[child].parent == parent && u->nodes[child].byte == byte)) {
            return &u->slots[at];
        }
        at = (at + 1) & u->mask;
    }
}

static fr_status add_token(fr_ctx *ctx, const char *path, fr_unigram *u,
                           const fr_unigram_token *token)
{
    int32_t at = ROOT;
    for (size_t i = 0; i < token->text.bytes; i++) {
        uint8_t byte = (uint8_t)token->text.data[i];
        int32_t *slot = edge(u, at, byte);
        if (*slot == ROOT) {
            u->nodes[u->n_nodes] = (node){at, NONE, 0.0, byte};
            *slot = u->n_nodes++;
        }
        at = *slot;
    }
    if (u->nodes[at].id != NONE) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: tokens %d and %d have the same text; each text may occur "
                       "once",
                       path, (int)u->nodes[at].id, (int)token->id);
    }
    u->nodes[at].id = token->id;
    u->nodes[at].score = token->score;
    return FR_OK;
}

/* A trie has at most one node a byte and the root. The table is at most half full, so probing stays short and ends. */
static fr_status fill(fr_ctx *ctx, const char *path, const fr_unigram_token *tokens,
                      int64_t n, size_t bytes, fr_unigram *u)
{
    enum { SMALLEST = 16 };
    size_t n_slots = SMALLEST;
    while (n_slots < 2 * bytes) {
        n_slots *= 2;
    }
    u->mask = (uint64_t)n_slots - 1;
    u->seed = fr_hash_seed();
    FR_TRY(fr_alloc(ctx, (int64_t)bytes + 1, sizeof *u->nodes, &u->nodes));
    FR_TRY(fr_alloc(ctx, (int64_t)n_slots, sizeof *u->slots, &u->slots));
    u->nodes[ROOT] = (node){ROOT, NONE, 0.0, 0};
    u->n_nodes = 1;
    double lowest = n > 0 ? tokens[0].score : 0.0;
    for (int64_t i = 0; i < n; i++) {
        lowest = tokens[i].score < lowest ? tokens[i].score : lowest;
        FR_TRY(add_token(ctx, path, u, &tokens[i]));
    }
    u->unknown = u->single ? (double)(float)(lowest - PENALTY) : lowest - PENALTY;
    return FR_OK;
}

fr_status fr_unigram_create(fr_ctx *ctx, const char *path,
                            const fr_unigram_token *tokens, int64_t n, bool single,
                            fr_unigram **out)
{
    size_t bytes = 0;
    *out = NULL;
    for (int64_t i = 0; i < n; i++) {
        bytes += tokens[i].text.bytes;
    }
    if (bytes > INT32_MAX / 2) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: the tokens have %zu bytes together; at most %d are "
                       "supported",
                       path, bytes, INT32_MAX / 2);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->single = single;
    fr_status status = fill(ctx, path, tokens, n, bytes, *out);
    if (status != FR_OK) {
        fr_unigram_destroy(out);
    }
    return status;
}

void fr_unigram_destroy(fr_unigram **unigram)
{
    if (*unigram != NULL) {
        free((*unigram)->nodes);
        free((*unigram)->slots);
        free(*unigram);
        *unigram = NULL;
    }
}

void fr_unigram_scratch_fini(fr_unigram_scratch *scratch)
{
    free(scratch->places);
    *scratch = (fr_unigram_scratch){NULL, 0};
}

/* Grows by half as much again; contents are lost. */
static fr_status reserve(fr_ctx *ctx, fr_unigram_scratch *scratch, int64_t n)
{
    if (n > scratch->capacity) {
        int64_t capacity = n + n / 2;
        fr_unigram_scratch_fini(scratch);
        FR_TRY(fr_alloc(ctx, capacity, sizeof *scratch->places, &scratch->places));
        scratch->capacity = capacity;
    }
    return FR_OK;
}

/* Offers a way to the place `end`. */
static void offer(const fr_unigram *u, fr_unigram_place *places, int32_t from,
                  int32_t end, int32_t id, double score)
{
    double sum = places[from].sum + score;
    sum = u->single ? (double)(float)sum : sum;
    if (places[end].before < 0 || sum > places[end].sum) {
        places[end] = (fr_unigram_place){sum, from, id};
    }
}

/* The ways that go on from a place by one token. `character` is the length of the character that begins there. */
static void extend(const fr_unigram *u, fr_unigram_place *places, fr_text text,
                   int32_t from, int32_t character)
{
    bool has_single = false;
    int32_t at = ROOT;
    for (int32_t end = from; (size_t)end < text.bytes;) {
        at = *edge(u, at, (uint8_t)text.data[end]);
        if (at == ROOT) {
            break;
        }
        end++;
        if (u->nodes[at].id != NONE) {
            offer(u, places, from, end, u->nodes[at].id, u->nodes[at].score);
            has_single = has_single || end == from + character;
        }
    }
    if (!has_single) {
        offer(u, places, from, from + character, NONE, u->unknown);
    }
}

/* Turns the links of the best way around: afterwards `before` of a place on it is where its next token ends, and `id` that
 * token. */
static void turn_around(fr_unigram_place *places, int32_t end)
{
    int32_t after = end;
    int32_t id = places[end].id;
    int32_t at = places[end].before;
    while (after > 0) {
        fr_unigram_place kept = places[at];
        places[at].before = after;
        places[at].id = id;
        after = at;
        at = kept.before;
        id = kept.id;
    }
}

fr_status fr_unigram_run(fr_ctx *ctx, const fr_unigram *unigram,
                         fr_unigram_scratch *scratch, fr_text text,
                         fr_unigram_visit visit, void *user)
{
    if (text.bytes >= INT32_MAX) {
        return FR_FAIL(ctx, FR_ERR_DATA,
                       "the text has a run of %zu bytes without a word boundary; less "
                       "than %d can be tokenised at once",
                       text.bytes, INT32_MAX);
    }
    int32_t n = (int32_t)text.bytes;
    FR_TRY(reserve(ctx, scratch, (int64_t)n + 1));
    fr_unigram_place *places = scratch->places;
    for (int32_t i = 0; i <= n; i++) {
        places[i] = (fr_unigram_place){0.0, NONE, NONE};
    }
    for (int32_t at = 0; at < n;) {
        uint32_t code = 0;
        size_t length = fr_utf8_next(text.data + at, (size_t)(n - at), &code);
        int32_t character = length > 0 ? (int32_t)length : 1;
        extend(unigram, places, text, at, character);
        at += character;
    }
    if (n > 0) {
        turn_around(places, n);
    }
    for (int32_t at = 0; at < n; at = places[at].before) {
        fr_text part = {text.data + at, (size_t)(places[at].before - at)};
        FR_TRY(visit(user, places[at].id, part));
    }
    return FR_OK;
}
