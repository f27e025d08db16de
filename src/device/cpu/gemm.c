/*
 * Blocking: rows of `left` in parts that stay in the caches, depth in sections of several blocks (the
 * copied part of `left` is what the threads share), columns in panels of the kernel's width. A thread packs
 * a panel for one depth block into its own memory, small enough for the first cache, and uses it at once
 * for all row tiles; while it multiplies, the weights of the next panel are fetched.
 */
#include "device/cpu/gemm.h"

#include "base/integer.h"
#include "device/state.h"

#include <omp.h>

enum {
    DEPTH_UNIT = 16, /* blocks are multiples of it */
    LEFT_DEPTH =
        512, /* aim for a copied part of `left`: the kernel's part of the rows, this deep */
    SERIAL_PRODUCTS = 1 << 17 /* below, waking threads costs more than it brings */
};

typedef struct gemm_plan {
    const fr_product *product;
    const fr_gemm_kernel *kernel;
    const fr_device *device;
    int n_threads;
    int64_t block; /* depth of a block */
    int64_t n_blocks;
    int64_t section; /* blocks in a section */
    int64_t rows;    /* of a part, a multiple of the kernel's rows */
    int64_t n_panels;
    int64_t group;      /* panels in a work item */
    int64_t row_splits; /* work items side by side in a row part */
    float *left;
    float *right;
} gemm_plan;

/* What is under way: a part of the rows and a section of the depth. */
typedef struct gemm_part {
    int64_t row;
    int64_t n_rows;
    int64_t block; /* first block of the section */
    int64_t n_blocks;
} gemm_part;

const fr_gemm_kernel *fr_gemm_kernel_select(fr_isa isa, fr_dtype dtype)
{
    static const fr_gemm_kernel *const F32[FR_ISA_COUNT] = {
        &fr_gemm_kernel_generic, &fr_gemm_kernel_avx2, &fr_gemm_kernel_avx512,
        &fr_gemm_kernel_avx512};
    static const fr_gemm_kernel *const FIXED[FR_ISA_COUNT] = {
        &fr_gemm_fixed_generic, &fr_gemm_fixed_avx2, &fr_gemm_fixed_avx512,
        &fr_gemm_fixed_avx512_vnni};
    return dtype == FR_BF16 ? FIXED[isa] : F32[isa];
}

int64_t fr_gemm_depth_block(fr_dtype dtype, int64_t depth)
{
    enum { LONGEST_F32 = 320, LONGEST_FIXED = 640 }; /* a panel fits the first cache */
    int64_t longest = dtype == FR_BF16 ? LONGEST_FIXED : LONGEST_F32;
    int64_t n_blocks = depth > 0 ? fr_ceil_div(depth, longest) : 1;
    return fr_round_up(fr_ceil_div(depth, n_blocks), DEPTH_UNIT);
}

int64_t fr_gemm_run(int64_t depth)
{
    enum { RUN_UNIT = 32 }; /* depths that are packed at a time */
    int64_t n_runs = depth > 0 ? fr_ceil_div(depth, FR_GEMM_LONGEST_RUN) : 1;
    return fr_round_up(fr_ceil_div(depth, n_runs), RUN_UNIT);
}

/* Floats that a block of a tile's rows or of a panel's columns takes, packed. */
static int64_t packed_floats(const gemm_plan *plan, int64_t lines)
{
    enum { SCALE_UNIT = 16 };
    if (!plan->kernel->is_fixed) {
        return plan->block * lines;
    }
    return fr_ceil_div(plan->block, FR_GEMM_LONGEST_RUN) *
               fr_round_up(lines, SCALE_UNIT) +
           plan->block / 2 * lines;
}

static int64_t block_depth(const gemm_plan *plan, int64_t block)
{
    return fr_min(plan->block, plan->product->depth - block * plan->block);
}

/* Where a tile of rows lies in the copy of `left`: [block][tile], each as packed. */
static float *left_tile(const gemm_plan *plan, const gemm_part *part, int64_t block,
                        int64_t tile)
{
    int64_t n_tiles = fr_ceil_div(part->n_rows, plan->kernel->rows);
    return plan->left + ((block - part->block) * n_tiles + tile) *
                            packed_floats(plan, plan->kernel->rows);
}

/* What a thread takes at a time: rows of the part, and panels. */
typedef struct gemm_item {
    int64_t row;
    int64_t row_end;
    int64_t panel;
    int64_t n_panels;
} gemm_item;

typedef struct panel_place {
    int64_t panel;
    int64_t block;
} panel_place;

/* ---- one thread's share ------------------------------------------------------------------- */

static fr_gemm_panel panel_at(const gemm_plan *plan, panel_place place)
{
    const fr_matrix *w = plan->product->weights;
    bool transposed = plan->product->transposed;
    int64_t width = plan->kernel->columns;
    int64_t column = place.panel * width;
    fr_gemm_panel found = {
        .depth = block_depth(plan, place.block),
        .columns = fr_min(width, plan->product->columns - column),
        .depth_step = transposed ? 1 : w->n_in,
        .column_step = transposed ? w->n_in : 1,
    };
    int64_t at =
        place.block * plan->block * found.depth_step + column * found.column_step;
    found.source = (const char *)w->data + (size_t)at * fr_dtype_bytes(w->dtype);
    return found;
}

/* Let the i-th tile of a panel fetch its part of the next one: two columns as long as the depth
 * (forward), or the lines of an eighth of the depth (backward). `bytes`: of an element. */
static void set_prefetch(const fr_gemm_panel *next, int64_t bytes, int64_t i,
                         fr_gemm_tile *tile)
{
    int64_t run = next->depth_step == 1 ? 1 : next->depth / FR_GEMM_PREFETCH;
    int64_t step = next->depth_step == 1 ? next->column_step : next->depth_step;
    int64_t limit = next->depth_step == 1 ? next->columns : next->depth;
    for (int64_t k = 0; k < 2; k++) {
        int64_t index = fr_min((2 * i + k) * run, limit - 1);
        tile->prefetch[k] = (const char *)next->source + index * step * bytes;
    }
    tile->prefetch_step = next->depth_step * bytes;
    if (next->depth_step == 1) {
        tile->prefetch_step = FR_GEMM_PREFETCH * bytes;
    }
}

static fr_gemm_tile tile_at(const gemm_plan *plan, const gemm_part *part,
                            panel_place place, int64_t row, int64_t n_rows)
{
    const fr_product *product = plan->product;
    int64_t width = plan->kernel->columns;
    int64_t column = place.panel * width;
    int64_t pitch = plan->kernel->rows;
    fr_gemm_tile tile = {
        .rows = n_rows,
        .columns = fr_min(width, product->columns - column),
        .depth = block_depth(plan, place.block),
        .left = left_tile(plan, part, place.block, row / pitch) + row % pitch,
        .left_step = pitch,
        .out = product->out + (part->row + row) * product->out_stride + column,
        .out_stride = product->out_stride,
        .add = product->accumulate || place.block > 0,
    };
    return tile;
}

/* With more rows packing pays. All lie in one packed tile. */
static bool is_narrow(const gemm_plan *plan, const gemm_item *item,
                      const fr_gemm_panel *panel)
{
    enum { MAX_ROWS = 8 };
    int64_t max = fr_min(MAX_ROWS, plan->kernel->rows);
    return plan->kernel->multiply_narrow != NULL && plan->product->transposed &&
           panel->columns == plan->kernel->columns && item->row_end - item->row <= max;
}

static void multiply_panel(const gemm_plan *plan, const gemm_part *part,
                           const gemm_item *item, panel_place at, panel_place after,
                           float *right)
{
    fr_gemm_panel panel = panel_at(plan, at);
    fr_gemm_panel next = panel_at(plan, after);
    int64_t bytes = (int64_t)fr_dtype_bytes(plan->product->weights->dtype);
    bool narrow = is_narrow(plan, item, &panel);
    int64_t rows = narrow ? FR_GEMM_NARROW_ROWS : plan->kernel->rows;
    int64_t i = 0;
    if (!narrow) {
        plan->kernel->pack_right(&panel, right);
    }
    for (int64_t row = item->row; row < item->row_end; row += rows) {
        fr_gemm_tile tile =
            tile_at(plan, part, at, row, fr_min(rows, item->row_end - row));
        if (narrow) {
            plan->kernel->multiply_narrow(&tile, &panel);
            continue;
        }
        tile.right = right;
        set_prefetch(&next, bytes, i, &tile);
        plan->kernel->multiply(&tile);
        i++;
    }
}

/* The k-th panel of an item in the order in which the weights lie in memory: along the depth first if they
 * are transposed, else along the columns. */
static panel_place place_at(const gemm_plan *plan, const gemm_part *part,
                            const gemm_item *item, int64_t k)
{
    panel_place place;
    k = fr_min(k, item->n_panels * part->n_blocks - 1);
    if (plan->product->transposed) {
        place.panel = item->panel + k / part->n_blocks;
        place.block = part->block + k % part->n_blocks;
    } else {
        place.panel = item->panel + k % item->n_panels;
        place.block = part->block + k / item->n_panels;
    }
    return place;
}

static void multiply_item(const gemm_plan *plan, const gemm_part *part, int64_t index,
                          float *right)
{
    int64_t split_rows =
        fr_round_up(fr_ceil_div(part->n_rows, plan->row_splits), plan->kernel->rows);
    gemm_item item = {.row = index % plan->row_splits * split_rows,
                      .panel = index / plan->row_splits * plan->group};
    item.row_end = fr_min(item.row + split_rows, part->n_rows);
    item.n_panels = fr_min(plan->group, plan->n_panels - item.panel);
    for (int64_t k = 0; item.row < item.row_end && k < item.n_panels * part->n_blocks;
         k++) {
        multiply_panel(plan, part, &item, place_at(plan, part, &item, k),
                       place_at(plan, part, &item, k + 1), right);
    }
}

static void pack_tile(const gemm_plan *plan, const gemm_part *part, int64_t tile)
{
    const fr_product *product = plan->product;
    int64_t row = tile * plan->kernel->rows;
    const float *x = product->left + (part->row + row) * product->left_stride;
    for (int64_t b = part->block; b < part->block + part->n_blocks; b++) {
        fr_gemm_rows rows = {
            .x = x + b * plan->block,
            .stride = product->left_stride,
            .rows = fr_min(plan->kernel->rows, part->n_rows - row),
            .depth = block_depth(plan, b),
        };
        plan->kernel->pack_left(&rows, left_tile(plan, part, b, tile));
    }
}

/* Called by every thread of the team. Each loop ends with a barrier: nobody reads the copy before it is
 * whole, or overwrites it while it is read. */
static void multiply_part(const gemm_plan *plan, const gemm_part *part, float *right)
{
    int64_t n_items = fr_ceil_div(plan->n_panels, plan->group) * plan->row_splits;
    int64_t n_tiles = fr_ceil_div(part->n_rows, plan->kernel->rows);
#pragma omp for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        pack_tile(plan, part, tile);
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n_items; i++) {
        multiply_item(plan, part, i, right);
        if (omp_get_thread_num() == 0) {
            fr_device_progress(plan->device);
        }
    }
}

static void multiply_all(const gemm_plan *plan, float *right)
{
    for (int64_t row = 0; row < plan->product->m; row += plan->rows) {
        for (int64_t block = 0; block < plan->n_blocks; block += plan->section) {
            gemm_part part = {
                .row = row,
                .n_rows = fr_min(plan->rows, plan->product->m - row),
                .block = block,
                .n_blocks = fr_min(plan->section, plan->n_blocks - block),
            };
            multiply_part(plan, &part, right);
        }
    }
}

/* ---- the call ----------------------------------------------------------------------------- */

static void plan_blocks(gemm_plan *plan)
{
    const fr_product *product = plan->product;
    plan->block = product->depth_block;
    plan->n_blocks = fr_ceil_div(product->depth, plan->block);
    int64_t max = plan->kernel->row_part;
    plan->rows = fr_ceil_div(product->m, fr_ceil_div(product->m, max));
    plan->rows = fr_round_up(plan->rows, plan->kernel->rows);
    int64_t fitting =
        fr_clamp(LEFT_DEPTH * max / (plan->rows * plan->block), 1, plan->n_blocks);
    plan->section = fr_ceil_div(plan->n_blocks, fr_ceil_div(plan->n_blocks, fitting));
}

/* Work items: several a thread, so that a thread that is held up holds up nobody; if the panels are too
 * few for that, the rows are split too (each split packs the panel again). */
static void plan_items(gemm_plan *plan)
{
    enum { ITEMS_A_THREAD = 8, MAX_GROUP = 16, MIN_SPLIT_TILES = 4 };
    int64_t wanted =
        plan->n_threads == 1 ? 1 : (int64_t)plan->n_threads * ITEMS_A_THREAD;
    plan->n_panels = fr_ceil_div(plan->product->columns, plan->kernel->columns);
    plan->group = fr_clamp(plan->n_panels / wanted, 1, MAX_GROUP);
    int64_t max = fr_ceil_div(plan->rows, plan->kernel->rows * MIN_SPLIT_TILES);
    plan->row_splits = 1;
    if (plan->n_panels < wanted) {
        plan->row_splits = fr_clamp(wanted / plan->n_panels, 1, max);
    }
}

fr_status fr_gemm_multiply(fr_device *device, const fr_product *product)
{
    gemm_plan plan = {.product = product,
                      .kernel =
                          fr_gemm_kernel_select(device->isa, product->weights->dtype),
                      .device = device};
    int64_t products = product->m * product->columns * product->depth;
    plan.n_threads = products < SERIAL_PRODUCTS ? 1 : device->n_threads;
    plan_blocks(&plan);
    plan_items(&plan);
    int64_t rows = fr_min(plan.rows, fr_round_up(product->m, plan.kernel->rows));
    int64_t left = rows / plan.kernel->rows * plan.section *
                   packed_floats(&plan, plan.kernel->rows);
    int64_t right = packed_floats(&plan, plan.kernel->columns);
    FR_TRY(fr_device_scratch(device, FR_SCRATCH_GEMM_LEFT, left, &plan.left));
    FR_TRY(fr_device_scratch(device, FR_SCRATCH_GEMM_RIGHT, right * device->n_threads,
                             &plan.right));
#pragma omp parallel num_threads(plan.n_threads)
    {
        multiply_all(&plan, plan.right + right * omp_get_thread_num());
    }
    return FR_OK;
}
