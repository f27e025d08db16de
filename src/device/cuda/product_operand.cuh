/*
 * product_operand.cuh - what products read and write, in fours of numbers that lie side by side where addresses allow it.
 */
#ifndef FR_DEVICE_CUDA_PRODUCT_OPERAND_CUH
#define FR_DEVICE_CUDA_PRODUCT_OPERAND_CUH

#include "device/cuda/kernels_product.h"
#include "device/cuda/numbers.cuh"

/* An operand: rows of numbers in memory. */
template <typename T> struct fr_operand {
    const T *at;
    int64_t rows;
    int64_t width;
    int64_t stride;
    bool in_fours; /* every row begins where four numbers can be read at once */
};

template <typename T>
FR_DEVICE fr_operand<T> fr_operand_of(const void *at, int64_t rows, int64_t width,
                                      int64_t stride)
{
    const T *numbers = static_cast<const T *>(at);
    bool in_fours =
        reinterpret_cast<uintptr_t>(at) % sizeof(fr_four<T>) == 0 && stride % 4 == 0;
    fr_operand<T> out = {numbers, rows, width, stride, in_fours};
    return out;
}

/* Numbers [column, column + 4) of a row, column a multiple of 4; 0 beside the operand. */
template <typename T>
FR_DEVICE fr_four<T> fr_read_four(const fr_operand<T> &from, int64_t row,
                                  int64_t column)
{
    fr_four<T> out = {};
    if (row < from.rows) {
        const T *at = from.at + row * from.stride + column;
        if (from.in_fours && column + 4 <= from.width) {
            out = *reinterpret_cast<const fr_four<T> *>(at);
        } else {
            FR_UNROLL
            for (int i = 0; i < 4; i++) {
                if (column + i < from.width) {
                    out.at[i] = at[i];
                }
            }
        }
    }
    return out;
}

/* The weights are [columns, depth] forward and [depth, columns] backward. */
template <typename W, bool BACK>
FR_DEVICE fr_operand<W> fr_weights_of(const fr_product_arguments &a)
{
    return fr_operand_of<W>(a.weights, BACK ? a.depth : a.columns,
                            BACK ? a.columns : a.depth, a.weights_stride);
}

/* Four numbers of a row, on top of those of `add` if that is not null; those beside the result are left. */
template <typename Y>
FR_DEVICE void fr_write_four(Y *to, const Y *add, int64_t n, bool in_fours,
                             const float *sum)
{
    if (in_fours && n >= 4) {
        fr_four<Y> numbers = {};
        if (add != nullptr) {
            numbers = *reinterpret_cast<const fr_four<Y> *>(add);
        }
        FR_UNROLL
        for (int j = 0; j < 4; j++) {
            float before = fr_read(&numbers.at[j]);
            fr_write(&numbers.at[j], add != nullptr ? before + sum[j] : sum[j]);
        }
        *reinterpret_cast<fr_four<Y> *>(to) = numbers;
    } else {
        FR_UNROLL
        for (int j = 0; j < 4; j++) {
            if (j < n) {
                fr_write(to + j, add != nullptr ? fr_read(add + j) + sum[j] : sum[j]);
            }
        }
    }
}

#endif
