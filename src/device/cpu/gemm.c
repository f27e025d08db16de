/*
 * How a product is cut so that its data stay in the caches, and shared among the threads.
 *
 *   rows of `left`     in parts (gemm_part), whose packed copy all threads share and the second cache of a core holds
 *   depth              in blocks (fr_gemm_depth_block, which fixes the order of summation), several of them a section
 *   columns            in panels of the kernel's width
 *
 * For each part of the rows and each section of the depth: all threads pack `left` (pack_tile) and wait for each
 * other. Then each takes work items, which are some panels and all or a split of the part's rows. For every panel and
 * depth block of an item it packs the weights into memory of its own, small enough for the first cache, and
 * multiplies them at once with all row tiles (multiply_panel). While it multiplies, the kernel fetches the weights of
 * the panel that follows (set_prefetch).
 *
 * Cutting never changes bits: an element's sum runs over blocks in ascending order, and parts, panels, items and
 * threads only decide who computes it and when. The kernels (gemm_kernel_*, gemm_fixed_*) know nothing of threads or
 * caches.
 */
#include "device/cpu/gemm.h"

#include "base/integer.h"
#include "device/cpu/cpu.h"
#include "device/matrix.h"

#include <omp.h>

/* Blocks are multiples of DEPTH_UNIT, the depths between two prefetches and the width of the widest register. The
 * copy of `left` is to be as large as row_part rows of LEFT_DEPTH, which a second cache holds; fewer rows allow
 * longer sections, and so fewer barriers. Below SERIAL_PRODUCTS one thread takes a few microseconds, about what
 * waking the others costs. */
enum { DEPTH_UNIT = FR_GEMM_PREFETCH, LEFT_DEPTH = 512, SERIAL_PRODUCTS = 1 << 17 };

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
    /* Both make 1280 bytes a column: a packed panel of 16 columns takes 20 KiB of the first cache, one of 32
     * columns (AVX-512) 40 KiB. */
    enum { LONGEST_F32 = FR_SLICE_ROWS_F32, LONGEST_FIXED = FR_SLICE_ROWS_BF16 };
    _Static_assert(LONGEST_F32 == 320 && LONGEST_FIXED == 640,
                   "another length orders sums anew: count up fr_device_arithmetic");
    int64_t longest = dtype == FR_BF16 ? LONGEST_FIXED : LONGEST_F32;
    int64_t n_blocks = depth > 0 ? fr_ceil_div(depth, longest) : 1;
    return fr_round_up(fr_ceil_div(depth, n_blocks), DEPTH_UNIT);
}

int64_t fr_gemm_run(int64_t depth)
{
    /* 16-bit numbers in the widest register: depths that are packed at a time. */
    enum { RUN_UNIT = 32 };
    int64_t n_runs = depth > 0 ? fr_ceil_div(depth, FR_GEMM_LONGEST_RUN) : 1;
    return fr_round_up(fr_ceil_div(depth, n_runs), RUN_UNIT);
}

/* Floats that a block of a tile's rows or of a panel's columns takes, packed. */
static int64_t packed_floats(const gemm_plan *plan, int64_t lines)
{
    /* As fr_gemm_kernel.is_fixed says: whole registers of scales. */
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

/* The position of a tile of rows in the copy of `left`: [block][tile], each as the kernel packed it. */
static float *left_tile(const gemm_plan *plan, const gemm_part *part, int64_t block,
                        int64_t tile)
{
    int64_t n_tiles = fr_ceil_div(part->n_rows, plan->kernel->rows);
    return plan->left + ((block - part->block) * n_tiles + tile) *
                            packed_floats(plan, plan->kernel->rows);
}

/* The work that a thread takes at a time: some rows of the part, and some panels. */
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

/* Weights lie as [n_out, n_in]: transposed (forward), the columns of the product are rows in memory. */
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
    found.source =
        (const char *)w->parts[0].rows + (size_t)at * fr_dtype_bytes(w->dtype);
    return found;
}

/* Let the i-th tile of a panel fetch its part of the next panel: two columns over the whole depth (forward), or the
 * rows of two sixteenths of the depth (backward). `bytes`: of an element. */
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

/* Only the first block of the depth may overwrite `out`; later ones add to it. */
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

/* Whether an item has so few rows that the weights are used without packing. They must lie in one packed tile. */
static bool is_narrow(const gemm_plan *plan, const gemm_item *item,
                      const fr_gemm_panel *panel)
{
    /* Two passes of FR_GEMM_NARROW_ROWS; with more rows packing pays. */
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

/* The k-th panel of an item. The order follows the weights in memory: first along the depth if they are transposed,
 * else along the columns. */
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

/* Called by every thread of the team. Each loop ends with a barrier, so that no thread reads the copy before it is
 * complete, or overwrites it while another one reads. */
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

/* Every thread runs these loops in step, since multiply_part has barriers. */
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

/* Parts and sections are made equal in size, so that no small rest follows full ones. */
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

/* Several work items a thread, so that the others take over from a thread that is held up. If there are too few
 * panels for that, the rows are split too; each split packs the panel again. */
static void plan_items(gemm_plan *plan)
{
    /* 8 items a thread: a late thread holds up the others by an eighth of a share at most. At most 16 panels an
     * item: the progress function is called between items, every few milliseconds. At least 4 tiles a split: the
     * panels that each split packs again are little work beside them. */
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
                      .kernel = fr_gemm_kernel_select(fr_cpu_of(device)->isa,
                                                      product->weights->dtype),
                      .device = device};
    int64_t products = product->m * product->columns * product->depth;
    plan.n_threads = products < SERIAL_PRODUCTS ? 1 : device->n_threads;
    plan_blocks(&plan);
    plan_items(&plan);
    int64_t rows = fr_min(plan.rows, fr_round_up(product->m, plan.kernel->rows));
    int64_t left = rows / plan.kernel->rows * plan.section *
                   packed_floats(&plan, plan.kernel->rows);
    int64_t right = packed_floats(&plan, plan.kernel->columns);
    FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_GEMM_LEFT, left, &plan.left));
    FR_TRY(fr_cpu_scratch(device, FR_SCRATCH_GEMM_RIGHT, right * device->n_threads,
                          &plan.right));
#pragma omp parallel num_threads(plan.n_threads)
    {
        multiply_all(&plan, plan.right + right * omp_get_thread_num());
    }
    return FR_OK;
}
