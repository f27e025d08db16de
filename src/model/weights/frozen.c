/*
 * The frozen matrices of the ranks of one node, converted once for all of them.
 *
 * This file owns one piece of memory that the ranks of a node share, with every matrix that any of them needs, and the
 * list of the weights (pieces) in it. The order of events in fr_frozen_create, which is collective, is:
 *
 *   1. Each rank flags the layers and ends that it needs. An all-reduce makes the union of the flags.
 *   2. Every rank derives the same list of pieces, with the same offsets, from the union. Stacks that stay in the file
 *      have no piece.
 *   3. The node allocates the memory, and the ranks convert equal shares of its rows. Then the memory is sealed: where
 *      it is shared, a later write ends the process.
 *
 * fr_frozen_matrix then gives addresses into that memory, or into the file for a stack that stays.
 *
 * What always holds: the weights of a stack are neighbours, so that a stack is one matrix. A stack starts at a cache
 * line. All ranks have the same list even where only some of them need a piece, so offsets need not be sent.
 *
 * A 70B model in bf16 takes 140 GB. Ranks of one node that each converted their own copy of a replica's layers would
 * need that several times over. Where the memory cannot be shared (comm/node.h), each rank has memory of its own with
 * the same offsets and fills only its own pieces: pages that are never written take no memory.
 */
#include "model/weights/frozen.h"

#include "base/integer.h"
#include "base/mem.h"
#include "device/matrix.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rows that one thread converts at a time. 32 is the side of the tiles in which weights_read.c reads a transposed
 * tensor, so a block is whole tiles. The alignment is a cache line, which matrix products load whole. */
enum { BLOCK_ROWS = 32, ALIGNMENT = 64 };

/* After this many blocks, the pages of the file that were read are dropped, so that file and copy are never both whole
 * in memory. 512 blocks are 16384 rows, which is 256 MiB of bf16 at a width of 8192: small beside a model, and large
 * enough that threads seldom wait for the last one of them. */
enum { CHUNK_BLOCKS = 512 };

/* The most stacks that a layer has, and the most pieces. */
enum { LAYER_STACKS = 4, LAYER_PIECES = LAYER_STACKS * FR_STACK_MAX };

/* One weight; layer -1 outside layers. */
typedef struct piece {
    fr_weight role;
    int64_t layer;
    int64_t n_rows;
    int64_t n_columns;
    int64_t offset;      /* bytes into the memory */
    int64_t first_block; /* blocks are numbered through all pieces */
    bool is_mine;        /* this rank needs it */
} piece;

struct fr_frozen {
    fr_holding holding;
    fr_node_memory memory; /* zero where everything stays in the file */
    piece *pieces;         /* what the ranks of the node need */
    int64_t n_pieces;
    int64_t n_blocks;
    int64_t bytes;
};

/* One flag for each layer, then one for the embedding and one for the head. A tied head counts as the embedding. */
static void note_needs(const fr_frozen_params *p, int64_t *needs)
{
    const fr_arch *arch = fr_weights_arch(p->holding.weights);
    bool is_first = p->first_layer == 0;
    bool is_last = p->first_layer + p->n_layers == arch->n_layers;
    for (int64_t i = 0; i < p->n_layers; i++) {
        needs[p->first_layer + i] = 1;
    }
    needs[arch->n_layers] = is_first || (is_last && arch->tied_head);
    needs[arch->n_layers + 1] = is_last && !arch->tied_head;
}

static void add_piece(const fr_holding *holding, fr_weight role, int64_t layer,
                      bool is_mine, fr_frozen *f)
{
    piece *fresh = &f->pieces[f->n_pieces++];
    *fresh = (piece){.role = role,
                     .layer = layer,
                     .offset = f->bytes,
                     .first_block = f->n_blocks,
                     .is_mine = is_mine};
    fr_weights_shape(holding->weights, role, layer, &fresh->n_rows, &fresh->n_columns);
    f->bytes +=
        fresh->n_rows * fresh->n_columns * (int64_t)fr_dtype_bytes(holding->dtype);
    f->n_blocks += fr_ceil_div(fresh->n_rows, BLOCK_ROWS);
}

static void add_stack(const fr_holding *holding, const fr_stack *stack, int64_t layer,
                      bool is_mine, fr_frozen *f)
{
    if (fr_weights_stay(holding, stack, layer)) {
        return;
    }
    f->bytes = fr_round_up(f->bytes, ALIGNMENT);
    for (int i = 0; i < stack->n_roles; i++) {
        add_piece(holding, stack->roles[i], layer, is_mine, f);
    }
}

/* The list is the same on all ranks of the node, except for is_mine. */
static void list_pieces(const fr_frozen_params *p, const int64_t *mine,
                        const int64_t *needs, fr_frozen *f)
{
    const fr_arch *arch = fr_weights_arch(p->holding.weights);
    const fr_stack *up = arch->gated ? &FR_STACK_GATE_UP : &FR_STACK_UP;
    const fr_stack *stacks[LAYER_STACKS] = {&FR_STACK_QKV, &FR_STACK_O, up,
                                            &FR_STACK_DOWN};
    const fr_stack *ends[] = {&FR_STACK_TOKENS, &FR_STACK_HEAD};
    for (int64_t i = 0; i < arch->n_layers; i++) {
        for (int k = 0; needs[i] != 0 && k < LAYER_STACKS; k++) {
            add_stack(&p->holding, stacks[k], i, mine[i] != 0, f);
        }
    }
    for (int64_t i = 0; i < 2; i++) {
        if (needs[arch->n_layers + i] != 0) {
            add_stack(&p->holding, ends[i], -1, mine[arch->n_layers + i] != 0, f);
        }
    }
}

static fr_status agree_on_pieces(fr_ctx *ctx, const fr_frozen_params *p, fr_frozen *f)
{
    int64_t n_items = fr_weights_arch(p->holding.weights)->n_layers + 2;
    int64_t *mine = NULL;
    int64_t *needs = NULL;
    fr_status status = fr_alloc(ctx, n_items, sizeof *mine, &mine);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_items, sizeof *needs, &needs);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_items * LAYER_PIECES, sizeof *f->pieces, &f->pieces);
    }
    status = fr_group_agree(p->node, status);
    if (status == FR_OK) {
        note_needs(p, mine);
        memcpy(needs, mine, (size_t)n_items * sizeof *needs);
        status = fr_group_allreduce(p->node, FR_MAX, needs, n_items);
    }
    if (status == FR_OK) {
        list_pieces(p, mine, needs, f);
    }
    free(mine);
    free(needs);
    return status;
}

static void convert_block(const fr_frozen_params *p, const fr_frozen *f, int64_t block)
{
    const piece *at = &f->pieces[f->n_pieces - 1];
    while (block < at->first_block) {
        at--;
    }
    if (!f->memory.is_shared && !at->is_mine) {
        return;
    }
    int64_t row = (block - at->first_block) * BLOCK_ROWS;
    int64_t count = at->n_rows - row < BLOCK_ROWS ? at->n_rows - row : BLOCK_ROWS;
    size_t row_bytes = (size_t)at->n_columns * fr_dtype_bytes(p->holding.dtype);
    char *out = (char *)f->memory.data + at->offset + (size_t)row * row_bytes;
    fr_weights_read_rows(p->holding.weights, at->role, at->layer, p->holding.dtype, row,
                         count, out);
}

/* Convert this rank's share of a shared memory, or all that this rank needs if the memory is not shared. */
static void convert(const fr_frozen_params *p, const fr_frozen *f)
{
    int64_t rank = f->memory.is_shared ? fr_group_rank(p->node) : 0;
    int64_t n_ranks = f->memory.is_shared ? fr_group_size(p->node) : 1;
    int64_t end = f->n_blocks * (rank + 1) / n_ranks;
    for (int64_t first = f->n_blocks * rank / n_ranks; first < end;
         first += CHUNK_BLOCKS) {
        int64_t last = fr_min(first + CHUNK_BLOCKS, end);
#pragma omp parallel for num_threads(p->n_threads) schedule(dynamic, 8)
        for (int64_t block = first; block < last; block++) {
            convert_block(p, f, block);
        }
        fr_weights_release(p->holding.weights);
    }
}

static fr_status fill_memory(fr_ctx *ctx, const fr_frozen_params *params, fr_frozen *f)
{
    const char *proc = params->proc != NULL ? params->proc : "/proc";
    FR_TRY(fr_node_memory_init(ctx, params->node, f->bytes, proc, &f->memory));
    convert(params, f);
    return fr_node_memory_seal(ctx, params->node, &f->memory);
}

fr_status fr_frozen_create(fr_ctx *ctx, const fr_frozen_params *params, fr_frozen **out)
{
    fr_frozen *f = NULL;
    *out = NULL;
    FR_TRY(fr_group_agree(params->node, fr_alloc(ctx, 1, sizeof *f, &f)));
    f->holding = params->holding;
    fr_status status = agree_on_pieces(ctx, params, f);
    if (status == FR_OK && f->bytes > 0) {
        status = fill_memory(ctx, params, f);
    }
    if (status != FR_OK) {
        fr_frozen_destroy(&f);
    }
    *out = f;
    return status;
}

void fr_frozen_destroy(fr_frozen **frozen)
{
    fr_frozen *f = *frozen;
    if (f == NULL) {
        return;
    }
    fr_node_memory_fini(&f->memory);
    free(f->pieces);
    free(f);
    *frozen = NULL;
}

/* The head is the embedding where they are tied: both read one tensor. */
static fr_weight role_of(const fr_frozen *f, const fr_stack *stack)
{
    bool tied = fr_weights_arch(f->holding.weights)->tied_head;
    return tied && stack->roles[0] == FR_W_HEAD ? FR_W_TOKENS : stack->roles[0];
}

fr_matrix fr_frozen_matrix(const fr_frozen *frozen, const fr_stack *stack,
                           int64_t layer)
{
    const fr_holding *holding = &frozen->holding;
    if (fr_weights_stay(holding, stack, layer)) {
        return fr_weights_leave(holding, stack, layer);
    }
    const piece *at = frozen->pieces;
    while (at->role != role_of(frozen, stack) || at->layer != layer) {
        at++;
        assert(at < frozen->pieces + frozen->n_pieces);
    }
    int64_t n_rows = 0;
    for (int i = 0; i < stack->n_roles; i++) {
        n_rows += at[i].n_rows;
    }
    return fr_matrix_of((const char *)frozen->memory.data + at->offset, holding->dtype,
                        n_rows, at->n_columns);
}
