#include "model/frozen.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rows converted at a time, and the alignment of what a matrix product reads. */
enum { BLOCK_ROWS = 32, ALIGNMENT = 64 };

static const fr_weight LAYER_ROLES[] = {FR_W_Q,    FR_W_K,  FR_W_V,   FR_W_O,
                                        FR_W_GATE, FR_W_UP, FR_W_DOWN};
enum { N_LAYER_ROLES = sizeof LAYER_ROLES / sizeof LAYER_ROLES[0] };

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
    fr_node_memory memory;
    piece *pieces; /* what the ranks of the node need */
    int64_t n_pieces;
    int64_t n_blocks;
    int64_t bytes;
};

/* One flag a layer, then embedding and vocabulary, of which tied ones are the embedding alone. */
static void note_needs(const fr_frozen_params *p, int64_t *needs)
{
    const fr_arch *arch = fr_weights_arch(p->weights);
    bool is_first = p->first_layer == 0;
    bool is_last = p->first_layer + p->n_layers == arch->n_layers;
    for (int64_t i = 0; i < p->n_layers; i++) {
        needs[p->first_layer + i] = 1;
    }
    needs[arch->n_layers] = is_first || (is_last && arch->tied_head);
    needs[arch->n_layers + 1] = is_last && !arch->tied_head;
}

static void add_piece(const fr_frozen_params *p, fr_weight role, int64_t layer,
                      bool is_mine, fr_frozen *f)
{
    bool follows = role == FR_W_K || role == FR_W_V ||
                   (role == FR_W_UP && fr_weights_has(p->weights, FR_W_GATE, layer));
    piece *new = &f->pieces[f->n_pieces++];
    if (!follows) {
        f->bytes = (f->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    *new = (piece){.role = role,
                   .layer = layer,
                   .offset = f->bytes,
                   .first_block = f->n_blocks,
                   .is_mine = is_mine};
    fr_weights_shape(p->weights, role, layer, &new->n_rows, &new->n_columns);
    f->bytes += new->n_rows *new->n_columns *(int64_t)fr_dtype_bytes(p->dtype);
    f->n_blocks += (new->n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

/* The same list on all ranks of the node but for whose a piece is. */
static void list_pieces(const fr_frozen_params *p, const int64_t *mine,
                        const int64_t *needs, fr_frozen *f)
{
    int64_t n_layers = fr_weights_arch(p->weights)->n_layers;
    for (int64_t i = 0; i < n_layers; i++) {
        for (int r = 0; needs[i] != 0 && r < N_LAYER_ROLES; r++) {
            if (fr_weights_has(p->weights, LAYER_ROLES[r], i)) {
                add_piece(p, LAYER_ROLES[r], i, mine[i] != 0, f);
            }
        }
    }
    for (int64_t end = 0; end < 2; end++) {
        if (needs[n_layers + end] != 0) {
            add_piece(p, end == 0 ? FR_W_TOKENS : FR_W_HEAD, -1,
                      mine[n_layers + end] != 0, f);
        }
    }
}

static fr_status agree_on_pieces(fr_ctx *ctx, const fr_frozen_params *p, fr_frozen *f)
{
    int64_t n_items = fr_weights_arch(p->weights)->n_layers + 2;
    int64_t *mine = NULL;
    int64_t *needs = NULL;
    fr_status status = fr_alloc(ctx, n_items, sizeof *mine, &mine);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_items, sizeof *needs, &needs);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, n_items * N_LAYER_ROLES, sizeof *f->pieces, &f->pieces);
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
    size_t row_bytes = (size_t)at->n_columns * fr_dtype_bytes(p->dtype);
    char *out = (char *)f->memory.data + at->offset + (size_t)row * row_bytes;
    fr_weights_read_rows(p->weights, at->role, at->layer, p->dtype, row, count, out);
}

/* This rank's share of a shared memory, or all that it needs itself. */
static void convert(const fr_frozen_params *p, const fr_frozen *f)
{
    int64_t rank = f->memory.is_shared ? fr_group_rank(p->node) : 0;
    int64_t n_ranks = f->memory.is_shared ? fr_group_size(p->node) : 1;
    int64_t end = f->n_blocks * (rank + 1) / n_ranks;
#pragma omp parallel for num_threads(p->n_threads) schedule(dynamic, 8)
    for (int64_t block = f->n_blocks * rank / n_ranks; block < end; block++) {
        convert_block(p, f, block);
    }
}

fr_status fr_frozen_create(fr_ctx *ctx, const fr_frozen_params *params, fr_frozen **out)
{
    fr_frozen *f = NULL;
    *out = NULL;
    FR_TRY(fr_group_agree(params->node, fr_alloc(ctx, 1, sizeof *f, &f)));
    fr_status status = agree_on_pieces(ctx, params, f);
    if (status == FR_OK) {
        const char *proc = params->proc != NULL ? params->proc : "/proc";
        status = fr_node_memory_init(ctx, params->node, f->bytes, proc, &f->memory);
    }
    if (status == FR_OK) {
        convert(params, f);
        status = fr_node_memory_seal(ctx, params->node, &f->memory);
    }
    if (status != FR_OK) {
        fr_frozen_destroy(&f);
    }
    *out = f;
    return status;
}

void fr_frozen_destroy(fr_frozen **frozen)
{
    if (*frozen != NULL) {
        fr_node_memory_fini(&(*frozen)->memory);
        free((*frozen)->pieces);
        free(*frozen);
        *frozen = NULL;
    }
}

const void *fr_frozen_matrix(const fr_frozen *frozen, fr_weight role, int64_t layer)
{
    const piece *at = frozen->pieces;
    while (at->role != role || at->layer != layer) {
        at++;
        assert(at < frozen->pieces + frozen->n_pieces);
    }
    return (const char *)frozen->memory.data + at->offset;
}
