/*
 * format_rows.cuh - runs of eight numbers of stored rows, of any format, and where the rows of a part lie.
 */
#ifndef FR_DEVICE_CUDA_FORMAT_ROWS_CUH
#define FR_DEVICE_CUDA_FORMAT_ROWS_CUH

#include "device/cuda/format_blocks.cuh"
#include "device/cuda/kernels_widen.h"

/** For a switch over a part's format. */
#define FR_FORMATS(F)                                                                  \
    F(FR_QUANT_F32)                                                                    \
    F(FR_QUANT_F16)                                                                    \
    F(FR_QUANT_BF16)                                                                   \
    F(FR_QUANT_Q4_0)                                                                   \
    F(FR_QUANT_Q4_1)                                                                   \
    F(FR_QUANT_Q5_0)                                                                   \
    F(FR_QUANT_Q5_1)                                                                   \
    F(FR_QUANT_Q8_0)                                                                   \
    F(FR_QUANT_Q2_K)                                                                   \
    F(FR_QUANT_Q3_K)                                                                   \
    F(FR_QUANT_Q4_K)                                                                   \
    F(FR_QUANT_Q5_K)                                                                   \
    F(FR_QUANT_Q6_K)                                                                   \
    F(FR_QUANT_IQ4_NL)                                                                 \
    F(FR_QUANT_IQ4_XS)                                                                 \
    F(FR_QUANT_TQ1_0)                                                                  \
    F(FR_QUANT_TQ2_0)                                                                  \
    F(FR_QUANT_MXFP4)                                                                  \
    F(FR_QUANT_Q1_0)                                                                   \
    F(FR_QUANT_Q2_0)

/** fr_matrix_stored_row (matrix.h), as an address. */
FR_DEVICE const uint8_t *fr_stored_row(const fr_stored_part &part, int64_t r)
{
    int64_t stored = r;
    if (part.head != 0) {
        int64_t which = r / part.head;
        int64_t i = r - which * part.head;
        int64_t half = part.head / 2;
        int64_t paired = i < half ? 2 * i : 2 * (i - half) + 1;
        stored = which * part.step + (part.pairs != 0 ? paired : i);
    }
    return part.rows + stored * part.row_bytes;
}

/** The float whose bits a number of two bytes has. */
template <int FORMAT> FR_DEVICE float fr_short_float(uint32_t bits)
{
    return FORMAT == FR_QUANT_F16 ? fr_half_value((uint16_t)bits)
                                  : fr_bf16_widen((uint16_t)bits);
}

template <int FORMAT> FR_DEVICE fr_eight fr_read_shorts(const uint8_t *from, int n)
{
    fr_eight out;
    if (n == 8 && (uintptr_t)from % 16 == 0) {
        fr_four<uint32_t> all =
            *reinterpret_cast<const fr_four<uint32_t> *>((const void *)from);
        for (int j = 0; j < 4; j++) {
            out.at[2 * j] = fr_short_float<FORMAT>(all.at[j] & 0xffffU);
            out.at[2 * j + 1] = fr_short_float<FORMAT>(all.at[j] >> 16);
        }
        return out;
    }
    for (int j = 0; j < 8; j++) {
        out.at[j] = j < n ? fr_short_float<FORMAT>(fr_bytes_2(from + 2 * j)) : 0.0F;
    }
    return out;
}

FR_DEVICE fr_eight fr_read_floats(const uint8_t *from, int n)
{
    fr_eight out;
    if (n == 8 && (uintptr_t)from % 16 == 0) {
        fr_four<float> lower =
            reinterpret_cast<const fr_four<float> *>((const void *)from)[0];
        fr_four<float> upper =
            reinterpret_cast<const fr_four<float> *>((const void *)from)[1];
        for (int j = 0; j < 4; j++) {
            out.at[j] = lower.at[j];
            out.at[j + 4] = upper.at[j];
        }
        return out;
    }
    for (int j = 0; j < 8; j++) {
        out.at[j] = j < n ? fr_of_bits(fr_bytes_4(from + 4 * j)) : 0.0F;
    }
    return out;
}

/** The eight numbers of a stored row that are its run number `run`; of fewer, n, the others are 0. */
template <int FORMAT>
FR_DEVICE fr_eight fr_read_run(const uint8_t *row, uint32_t run, int n)
{
    if constexpr (FORMAT == FR_QUANT_F32) {
        return fr_read_floats(row + (uint64_t)run * 32, n);
    } else if constexpr (FORMAT == FR_QUANT_F16 || FORMAT == FR_QUANT_BF16) {
        return fr_read_shorts<FORMAT>(row + (uint64_t)run * 16, n);
    } else {
        typedef fr_format<FORMAT> format;
        const uint32_t runs = format::BLOCK / FR_WIDEN_RUN;
        return format::read(row + (uint64_t)(run / runs) * format::BYTES,
                            (int)(run % runs * FR_WIDEN_RUN));
    }
}

/** The numbers of that run in rows of n_in. */
FR_DEVICE int fr_run_length(int64_t n_in, uint32_t run)
{
    return run == n_in / FR_WIDEN_RUN ? (int)(n_in % FR_WIDEN_RUN) : FR_WIDEN_RUN;
}

#endif
