/* Rows of a matrix from their stored bytes to dense f32 or bf16: a thread converts eight numbers and writes them at once. */
#include "device/cuda/kernels_widen.h"

#include "device/cuda/format_rows.cuh"

/* Eight numbers at a time, or what is left of a row. */
template <bool IS_EXACT>
FR_DEVICE void write_run(float *to, const fr_eight &x, int n, const fr_widen_args &a)
{
    fr_eight y = x;
    for (int j = 0; j < 8 && a.is_rounded != 0 && !IS_EXACT; j++) {
        y.at[j] = fr_bf16_widen(fr_bf16_round(x.at[j]));
    }
    if (n == 8 && a.is_wide != 0) {
        fr_four<float> lower = {{y.at[0], y.at[1], y.at[2], y.at[3]}};
        fr_four<float> upper = {{y.at[4], y.at[5], y.at[6], y.at[7]}};
        reinterpret_cast<fr_four<float> *>(to)[0] = lower;
        reinterpret_cast<fr_four<float> *>(to)[1] = upper;
        return;
    }
    for (int j = 0; j < 8; j++) {
        if (j < n) {
            to[j] = y.at[j];
        }
    }
}

/* What comes from bf16 keeps its bits, those of a NaN too. */
template <bool IS_EXACT>
FR_DEVICE void write_run(fr_bf16 *to, const fr_eight &x, int n, const fr_widen_args &a)
{
    uint32_t y[8];
    for (int j = 0; j < 8; j++) {
        y[j] = IS_EXACT ? fr_bits(x.at[j]) >> 16 : fr_bf16_round(x.at[j]);
    }
    if (n == 8 && a.is_wide != 0) {
        fr_four<uint32_t> all = {{y[0] | y[1] << 16, y[2] | y[3] << 16,
                                  y[4] | y[5] << 16, y[6] | y[7] << 16}};
        *reinterpret_cast<fr_four<uint32_t> *>(to) = all;
        return;
    }
    for (int j = 0; j < 8; j++) {
        if (j < n) {
            to[j].bits = (uint16_t)y[j];
        }
    }
}

template <int FORMAT, typename T>
FR_DEVICE void widen_row(const fr_widen_args &a, const uint8_t *from, T *to)
{
    uint32_t step = (uint32_t)(fr_threads() * a.blocks_y);
    uint32_t run = (uint32_t)(fr_block_y() * fr_threads() + fr_thread());
    uint32_t n_runs = (uint32_t)((a.n_in + FR_WIDEN_RUN - 1) / FR_WIDEN_RUN);
    for (; run < n_runs; run += step) {
        int n = fr_run_length(a.n_in, run);
        fr_eight x = fr_read_run<FORMAT>(from, run, n);
        write_run<FORMAT == FR_QUANT_BF16>(to + (int64_t)run * FR_WIDEN_RUN, x, n, a);
    }
}

template <typename T> FR_DEVICE void fr_widen_body(const fr_widen_args &a)
{
    for (int64_t r = fr_block(); r < a.count; r += fr_blocks()) {
        int64_t row = a.ids != nullptr ? a.ids[r] : a.first + r;
        const fr_stored_part *part = a.parts;
        while (row >= part->n_rows) {
            row -= part->n_rows;
            part++;
        }
        const uint8_t *from = fr_stored_row(*part, row);
        T *to = static_cast<T *>(a.out) + r * a.n_in;
        switch (part->format) {
#define FR_WIDEN_CASE(format)                                                          \
    case format:                                                                       \
        widen_row<format>(a, from, to);                                                \
        break;
            FR_FORMATS(FR_WIDEN_CASE)
        default:
            break;
        }
    }
}

FR_KERNEL_1(fr_widen, fr_widen_args, FR_WIDEN_THREADS)
