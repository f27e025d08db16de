/* The words for tensor cores and copies do on the CPU what the documentation of PTX says, and stop kernels that use them wrongly. */
#define _GNU_SOURCE
#include "block.h"
#include "child.h"
#include "kernels_words.h"
#include "tensor.h"

#include "device/bf16.h"

#include <math.h>

enum { LANES = FR_EMULATED_WARP, COPIERS = 64, ROWS = 16, COLUMNS = 8, DEPTH = 16 };

extern const fr_emulated_kernel fr_emulated_word_multiply;
extern const fr_emulated_kernel fr_emulated_word_matrices;
extern const fr_emulated_kernel fr_emulated_word_matrices_transposed;
extern const fr_emulated_kernel fr_emulated_word_copy;
extern const fr_emulated_kernel fr_emulated_word_numbers;

static void run(const fr_emulated_kernel *kernel, size_t shared_bytes,
                const void *arguments)
{
    const char *seed = getenv("FR_EMULATED_SEED");
    fr_emulated_launch launch = {.kernel = kernel,
                                 .blocks = 1,
                                 .blocks_y = 1,
                                 .threads = kernel->threads,
                                 .shared_bytes = shared_bytes,
                                 .arguments = arguments,
                                 .seed = seed != NULL ? strtoull(seed, NULL, 10) : 0};
    fr_emulated_run(&launch);
}

/* ---- products ------------------------------------------------------------------------------------ */

/* The documentation goes from a lane and a register to an element of the tile; here each element looks for its place. */
typedef struct tiles {
    float a[ROWS][DEPTH];
    float b[DEPTH][COLUMNS];
    float d[ROWS][COLUMNS];
    uint32_t a_in[LANES][4];
    uint32_t b_in[LANES][2];
    float d_in[LANES][4];
} tiles;

static void place_half(uint32_t *in, int upper, float x)
{
    *in |= (uint32_t)fr_bf16_round(x) << (16 * upper);
}

static void place_tiles(tiles *t)
{
    memset(t->a_in, 0, sizeof t->a_in);
    memset(t->b_in, 0, sizeof t->b_in);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < DEPTH; k++) {
            place_half(&t->a_in[i % 8 * 4 + k % 8 / 2][i / 8 + k / 8 * 2], k % 2,
                       t->a[i][k]);
        }
    }
    for (int k = 0; k < DEPTH; k++) {
        for (int j = 0; j < COLUMNS; j++) {
            place_half(&t->b_in[j * 4 + k % 8 / 2][k / 8], k % 2, t->b[k][j]);
        }
    }
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLUMNS; j++) {
            t->d_in[i % 8 * 4 + j / 2][i / 8 * 2 + j % 2] = t->d[i][j];
        }
    }
}

static int multiply_from(tiles *t, int apart)
{
    place_tiles(t);
    fr_word_multiply arguments = {&t->a_in[0][0], &t->b_in[0][0], &t->d_in[0][0],
                                  apart};
    run(&fr_emulated_word_multiply, 0, &arguments);
    int wrong = 0;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLUMNS; j++) {
            float sum = t->d[i][j];
            for (int k = 0; k < DEPTH; k++) {
                sum = fmaf(t->a[i][k], t->b[k][j], sum);
            }
            wrong += t->d_in[i % 8 * 4 + j / 2][i / 8 * 2 + j % 2] != sum;
        }
    }
    return wrong;
}

/* Every element has a number of its own, small enough that all sums are exact. */
static int run_products(void)
{
    tiles t;
    for (int i = 0; i < ROWS * DEPTH; i++) {
        t.a[i / DEPTH][i % DEPTH] = (float)(i % 251 - 100);
    }
    for (int i = 0; i < DEPTH * COLUMNS; i++) {
        t.b[i / COLUMNS][i % COLUMNS] = (float)(i - 60);
    }
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        t.d[i / COLUMNS][i % COLUMNS] = (float)(1000 * i);
    }
    uint64_t before = fr_emulated_tiles;
    int wrong = multiply_from(&t, LANES);
    return wrong != 0 || fr_emulated_tiles - before != 1;
}

/* One number of each operand is not 0: its row and column alone get something. */
static int run_single_products(void)
{
    tiles t;
    int wrong = 0;
    for (int i = 0; i < ROWS * DEPTH; i++) {
        memset(&t, 0, sizeof t);
        t.a[i / DEPTH][i % DEPTH] = 3.0F;
        for (int j = 0; j < DEPTH * COLUMNS; j++) {
            t.b[j / COLUMNS][j % COLUMNS] = (float)(1 + j);
        }
        wrong += multiply_from(&t, LANES);
    }
    return wrong != 0;
}

/* 2^-15 behind 1024 and -1024 stays, before them it is lost; the sum so far comes before all. */
static int run_order(void)
{
    tiles t = {0};
    for (int k = 0; k < DEPTH; k++) {
        for (int j = 0; j < COLUMNS; j++) {
            t.b[k][j] = 1.0F;
        }
    }
    for (int i = 0; i < ROWS; i++) {
        t.a[i][i] = -1024.0F;
        t.a[i][7] += 0x1p-15F;
        t.d[i][i % COLUMNS] = 1024.0F;
    }
    return multiply_from(&t, LANES) != 0;
}

static int run_apart(void)
{
    tiles t = {0};
    return multiply_from(&t, 13);
}

static void products_have_the_documented_layout(void)
{
    fr_child_assert("all numbers", run_products, 0);
    fr_child_assert("one number", run_single_products, 0);
    fr_child_assert("order", run_order, 0);
}

static void lanes_multiply_together(void)
{
    fr_child_assert_crash("two lines", run_apart, "different things");
}

/* ---- tiles of shared memory -------------------------------------------------------------------- */

static int32_t row_order[LANES];

static uint16_t number_at(int row, int column)
{
    return (uint16_t)(1000 * row + column);
}

static int load_matrices(bool transposed, int64_t offset)
{
    uint16_t numbers[LANES][8];
    uint32_t out[LANES][4];
    for (int i = 0; i < LANES * 8; i++) {
        numbers[i / 8][i % 8] = number_at(i / 8, i % 8);
    }
    fr_word_matrices arguments = {&numbers[0][0], row_order, offset, &out[0][0]};
    run(transposed ? &fr_emulated_word_matrices_transposed : &fr_emulated_word_matrices,
        sizeof numbers, &arguments);
    int wrong = 0;
    for (int i = 0; i < LANES * 8; i++) {
        int row = i / 8; /* that of a lane; its tile is row / 8 */
        int column = i % 8;
        int holds_row = transposed ? column : row % 8;
        int holds_column = transposed ? row % 8 : column;
        uint32_t pair = out[holds_row * 4 + holds_column / 2][row / 8];
        uint16_t got = (uint16_t)(holds_column % 2 == 0 ? pair : pair >> 16);
        wrong += got != number_at(row_order[row], column);
    }
    return wrong != 0;
}

static void order_rows(int step)
{
    for (int i = 0; i < LANES; i++) {
        row_order[i] = i * step % LANES;
    }
}
static int run_matrices(void)
{
    order_rows(1);
    int wrong = load_matrices(false, 0) + load_matrices(true, 0);
    order_rows(5);
    return wrong + load_matrices(false, 0) + load_matrices(true, 0) != 0;
}
static int run_same_row(void)
{
    order_rows(0);
    return load_matrices(false, 0) + load_matrices(true, 0) != 0;
}
static int run_misaligned_row(void)
{
    order_rows(1);
    return load_matrices(false, 8);
}
static int run_row_beside(void)
{
    order_rows(1);
    row_order[17] = LANES;
    return load_matrices(true, 0);
}
static int run_row_before(void)
{
    order_rows(1);
    row_order[0] = -1;
    return load_matrices(false, 0);
}

static void matrices_have_the_documented_layout(void)
{
    fr_child_assert("rows", run_matrices, 0);
    fr_child_assert("one row for all", run_same_row, 0);
}

static void rows_of_matrices_are_looked_at(void)
{
    fr_child_assert_crash("off by 8", run_misaligned_row, "not a multiple of 16");
    fr_child_assert_crash("behind", run_row_beside, "beside its shared memory");
    fr_child_assert_crash("before", run_row_before, "beside its shared memory");
}

/* ---- copies -------------------------------------------------------------------------------------- */

enum { WORDS = 8 }; /* of 4 bytes, of a thread */

static int copy(int64_t waits, int64_t from_offset, int64_t to_offset)
{
    static _Alignas(16) uint32_t from[COPIERS][WORDS];
    static uint32_t seen[COPIERS][WORDS];
    for (int i = 0; i < COPIERS * WORDS; i++) {
        from[i / WORDS][i % WORDS] = 100 + (uint32_t)i;
    }
    fr_word_copy arguments = {&from[0][0], &seen[0][0], from_offset, to_offset, waits};
    run(&fr_emulated_word_copy, sizeof from, &arguments);
    int wrong = 0;
    for (int t = 0; t < COPIERS; t++) {
        uint32_t newer = t % 2 == 0 ? from[t][7] : 0;
        /* held; a wait covers the closed group alone; one newest group may be under way; all */
        uint32_t wanted[WORDS] = {1,          2, from[t][3], 2,
                                  from[t][3], 2, from[t][3], newer};
        wrong += memcmp(seen[t], wanted, sizeof wanted) != 0;
    }
    return wrong != 0;
}
static int run_copies(void)
{
    return copy(2, 0, 0);
}
static int run_newer_unawaited(void)
{
    return copy(1, 0, 0);
}
static int run_misaligned_target(void)
{
    return copy(2, 0, 4);
}
static int run_misaligned_source(void)
{
    return copy(2, 8, 0);
}

static void copies_are_late(void)
{
    fr_child_assert("copies", run_copies, 0);
}

static void copies_are_awaited_and_aligned(void)
{
    fr_child_assert_crash("no wait", run_newer_unawaited, "are under way");
    fr_child_assert_crash("target", run_misaligned_target, "not a multiple of 16");
    fr_child_assert_crash("source", run_misaligned_source, "source of a copy");
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* Ends, and numbers that are rounded up, down and to even. */
static int run_numbers(void)
{
    static const struct {
        float x;
        float power;    /* to 2^-22 of it */
        uint32_t lower; /* the number in bf16 */
    } CASES[] = {
        {-INFINITY, 0.0F, 0xff80U},
        {INFINITY, INFINITY, 0x7f80U},
        {-0.0F, 1.0F, 0x8000U},
        {128.0F, INFINITY, 0x4300U},
        {127.5F, 0x1.6a09e6p+127F, 0x42ffU},
        {-127.0F, 0.0F, 0xc2feU},
        {-126.0F, 0x1p-126F, 0xc2fcU},
        {0.5F, 0x1.6a09e6p+0F, 0x3f00U},
        {0x1.01p+0F, 0x1.00b1bp+1F, 0x3f80U},  /* a tie, to even */
        {0x1.03p+0F, 0x1.021682p+1F, 0x3f82U}, /* likewise */
        {0x1.010002p+0F, 0x1.00b1b2p+1F, 0x3f81U},
        {3e38F, INFINITY, 0x7f62U},
        {3.4e38F, INFINITY, 0x7f80U},
    };
    enum { N = sizeof CASES / sizeof *CASES };
    float x[LANES] = {0.0F};
    float power[LANES];
    uint32_t packed[LANES];
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        x[i] = CASES[i].x;
    }
    x[LANES - 1] = NAN;
    fr_word_numbers arguments = {x, power, packed};
    run(&fr_emulated_word_numbers, 0, &arguments);
    for (int i = 0; i < N; i++) {
        float wanted = CASES[i].power;
        bool is_near =
            power[i] == wanted || fabsf(power[i] - wanted) <= wanted * 0x1p-22F;
        wrong += !is_near || (packed[i] & 0xffffU) != CASES[i].lower ||
                 packed[i] >> 16 != fr_bf16_round(power[i]);
    }
    wrong += !isnan(power[LANES - 1]) || packed[LANES - 1] != 0x7fff7fffU;
    return wrong;
}

static void numbers_have_the_documented_ends(void)
{
    fr_child_assert("numbers", run_numbers, 0);
}

static const fr_case CASES[] = {
    FR_CASE(products_have_the_documented_layout),
    FR_CASE(lanes_multiply_together),
    FR_CASE(matrices_have_the_documented_layout),
    FR_CASE(rows_of_matrices_are_looked_at),
    FR_CASE(copies_are_late),
    FR_CASE(copies_are_awaited_and_aligned),
    FR_CASE(numbers_have_the_documented_ends),
};

int main(int argc, char **argv)
{
    return fr_suite_main("emulation_tensor", CASES, FR_N_CASES(CASES), argc, argv);
}
