/*
 * Tensor cores and late copies on the CPU. Nothing here is compiled so that races are seen: registers of lanes are no memory, and
 * what is memory is read and written in device_side.cuh.
 */
#include "tensor.h"

#include "block.h"
#include "device/bf16.h"
#include "device/cuda/simd_one.cuh"

#include <stdlib.h>
#include <string.h>

uint64_t fr_emulated_tiles;
uint64_t fr_emulated_fused;

namespace
{

enum { ROWS = 16, COLUMNS = 8, DEPTH = 16, SIDE = 8, MATRICES = 4, MOST_COPIES = 64 };

/* ---- products ------------------------------------------------------------------------------------ */

struct registers {
    float (*d)[4];
    const uint32_t *a;
    const uint32_t (*b)[2];
    int n; /* tiles of b */
};

template <typename T> const T *brought_by(const uint64_t *brought, int lane)
{
    return reinterpret_cast<const T *>(static_cast<uintptr_t>(brought[lane]));
}

/* The two numbers of a register. */
void widen(uint32_t pair, float *lower, float *upper)
{
    uint32_t bits[2] = {pair << 16, pair & 0xffff0000U};
    memcpy(lower, &bits[0], sizeof *lower);
    memcpy(upper, &bits[1], sizeof *upper);
}

/* The tiles of a warp. The sums of a row lie side by side, so that they are computed at once. */
struct tiles {
    float a[ROWS][DEPTH];
    float b[DEPTH][COLUMNS];
    float d[ROWS][COLUMNS];

    void gather_left(const uint64_t *brought)
    {
        for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
            const uint32_t *own = brought_by<registers>(brought, lane)->a;
            float *row = &a[lane / 4][lane % 4 * 2];
            float *lower_row = row + 8 * DEPTH;
            widen(own[0], row, row + 1);
            widen(own[1], lower_row, lower_row + 1);
            widen(own[2], row + 8, row + 9);
            widen(own[3], lower_row + 8, lower_row + 9);
        }
    }

    void gather(const uint64_t *brought, int tile)
    {
        for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
            const registers *own = brought_by<registers>(brought, lane);
            float *column = &b[lane % 4 * 2][lane / 4];
            widen(own->b[tile][0], column, column + COLUMNS);
            widen(own->b[tile][1], column + 8 * COLUMNS, column + 9 * COLUMNS);
            memcpy(&d[lane / 4][lane % 4 * 2], own->d[tile], 2 * sizeof(float));
            memcpy(&d[lane / 4 + 8][lane % 4 * 2], own->d[tile] + 2, 2 * sizeof(float));
        }
    }

    void multiply(void)
    {
        for (int row = 0; row < ROWS; row++) {
            float sums[COLUMNS];
            memcpy(sums, d[row], sizeof sums);
            for (int k = 0; k < DEPTH; k++) {
                for (int column = 0; column < COLUMNS; column++) {
                    sums[column] =
                        __builtin_fmaf(a[row][k], b[k][column], sums[column]);
                }
            }
            memcpy(d[row], sums, sizeof sums);
        }
    }

    void multiply_together(void)
    {
        for (int i = 0; i < ROWS * COLUMNS; i++) {
            float *sum = &d[i / COLUMNS][i % COLUMNS];
            double all = 0;
            for (int k = 0; k < DEPTH; k++) {
                all += static_cast<double>(a[i / COLUMNS][k]) *
                       static_cast<double>(b[k][i % COLUMNS]);
            }
            *sum = static_cast<float>(static_cast<double>(*sum) + all);
        }
    }

    void scatter(const uint64_t *brought, int tile) const
    {
        for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
            float *own = brought_by<registers>(brought, lane)->d[tile];
            memcpy(own, &d[lane / 4][lane % 4 * 2], 2 * sizeof(float));
            memcpy(own + 2, &d[lane / 4 + 8][lane % 4 * 2], 2 * sizeof(float));
        }
    }
};

bool adds_together(void)
{
    static const char *const how = getenv("FR_EMULATED_MMA");
    return how != nullptr && strcmp(how, "together") == 0;
}

void multiply(const uint64_t *brought)
{
    tiles all;
    int n = brought_by<registers>(brought, 0)->n;
    fr_emulated_tiles += static_cast<uint64_t>(n);
    all.gather_left(brought);
    for (int tile = 0; tile < n; tile++) {
        all.gather(brought, tile);
        if (adds_together()) {
            all.multiply_together();
        } else {
            all.multiply();
        }
        all.scatter(brought, tile);
    }
}

/* ---- tiles from shared memory ---------------------------------------------------------------------- */

struct rows {
    uint32_t *out;
    const uint32_t *row;
};

void hand_out(const uint64_t *brought, bool transposed)
{
    uint16_t matrix[SIDE][SIDE];
    for (int i = 0; i < MATRICES; i++) {
        for (int row = 0; row < SIDE; row++) {
            memcpy(matrix[row], brought_by<rows>(brought, i * SIDE + row)->row,
                   sizeof matrix[row]);
        }
        for (int lane = 0; lane < FR_EMULATED_WARP; lane++) {
            int own = lane / 4;
            int pair = lane % 4 * 2;
            uint32_t lower = transposed ? matrix[pair][own] : matrix[own][pair];
            uint32_t upper = transposed ? matrix[pair + 1][own] : matrix[own][pair + 1];
            brought_by<rows>(brought, lane)->out[i] = lower | upper << 16;
        }
    }
}
void hand_out_rows(const uint64_t *brought)
{
    hand_out(brought, false);
}
void hand_out_columns(const uint64_t *brought)
{
    hand_out(brought, true);
}

/* ---- copies ------------------------------------------------------------------------------------------ */

/* What a thread has begun and not awaited, in order. */
struct copies {
    fr_emulated_copy ring[MOST_COPIES];
    int first;
    int count;
    int64_t closed; /* groups */
};
copies begun[FR_EMULATED_THREADS];

bool is_aligned(const void *at)
{
    return reinterpret_cast<uintptr_t>(at) % 16 == 0;
}

} // namespace

void fr_emulated_multiply(float (*d)[4], const uint32_t *a, const uint32_t (*b)[2],
                          int n, int line)
{
    registers own = {d, a, b, n};
    fr_emulated_together(FR_EMULATED_MULTIPLY, line, reinterpret_cast<uintptr_t>(&own),
                         multiply);
}

void fr_emulated_matrices(uint32_t *out, const uint32_t *row, bool transposed, int line)
{
    rows own = {out, row};
    fr_emulated_together(transposed ? FR_EMULATED_MATRICES_TRANSPOSED
                                    : FR_EMULATED_MATRICES,
                         line, reinterpret_cast<uintptr_t>(&own),
                         transposed ? hand_out_columns : hand_out_rows);
}

void fr_emulated_check_shared(const void *at)
{
    uintptr_t offset = reinterpret_cast<uintptr_t>(at) -
                       reinterpret_cast<uintptr_t>(fr_emulated.shared);
    if (!is_aligned(at)) {
        fr_emulated_stop("an address in shared memory is not a multiple of 16");
    }
    if (offset >= fr_emulated.shared_bytes || fr_emulated.shared_bytes - offset < 16) {
        fr_emulated_stop("16 bytes lie beside its shared memory");
    }
}

void fr_emulated_copy_begin(void *to, const void *from, bool wanted)
{
    copies *own = &begun[fr_emulated.thread];
    fr_emulated_check_shared(to);
    if (!is_aligned(from)) {
        fr_emulated_stop("the source of a copy is not at a multiple of 16");
    }
    if (own->count == MOST_COPIES) {
        fr_emulated_stop("it has more copies under way than the emulation keeps");
    }
    own->ring[(own->first + own->count++) % MOST_COPIES] = {to, wanted ? from : nullptr,
                                                            own->closed};
}

void fr_emulated_copies_close(void)
{
    begun[fr_emulated.thread].closed++;
}

const fr_emulated_copy *fr_emulated_copy_due(int newest)
{
    copies *own = &begun[fr_emulated.thread];
    const fr_emulated_copy *next = &own->ring[own->first];
    if (own->count == 0 || next->group >= own->closed - newest) {
        return nullptr;
    }
    own->first = (own->first + 1) % MOST_COPIES;
    own->count--;
    return next;
}

void fr_emulated_copies_end(void)
{
    if (begun[fr_emulated.thread].count != 0) {
        fr_emulated_stop("it returns while copies of its own are under way");
    }
}

float fr_emulated_exp2_near(float x)
{
    if (x >= 128.0F) {
        return INFINITY;
    }
    return x > 127.0F ? 2.0F * v8_exp2(v8_set(x - 1.0F)).lane : v8_exp2(v8_set(x)).lane;
}

static uint32_t bf16_of(float x)
{
    return x == x ? fr_bf16_round(x) : 0x7fffU;
}
uint32_t fr_emulated_pack_bf16(float lower, float upper)
{
    return bf16_of(lower) | bf16_of(upper) << 16;
}
