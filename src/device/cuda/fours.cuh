/*
 * fours.cuh - four numbers of a row at a time: one access where the row's address allows it, else one by one.
 *
 * Which numbers a thread has does not depend on the address, so that a row has the same bits wherever it lies.
 */
#ifndef FR_DEVICE_CUDA_FOURS_CUH
#define FR_DEVICE_CUDA_FOURS_CUH

#include "device/cuda/numbers.cuh"

enum { FR_FOUR = 4 };

template <typename T> FR_DEVICE bool fr_is_four(const T *x, int64_t count)
{
    return count >= FR_FOUR && reinterpret_cast<uintptr_t>(x) % sizeof(fr_four<T>) == 0;
}

/** The first numbers of x, at most four; 0 for those from `count` on, which may be negative. */
template <typename T> FR_DEVICE fr_four<float> fr_read_four(const T *x, int64_t count)
{
    fr_four<float> out;
    if (fr_is_four(x, count)) {
        const fr_four<T> narrow = *reinterpret_cast<const fr_four<T> *>(x);
        for (int i = 0; i < FR_FOUR; i++) {
            out.at[i] = fr_read(&narrow.at[i]);
        }
        return out;
    }
    for (int i = 0; i < FR_FOUR; i++) {
        out.at[i] = i < count ? fr_read(x + i) : 0.0F;
    }
    return out;
}

/** Write the first `count` of the four. */
template <typename T>
FR_DEVICE void fr_write_four(T *x, int64_t count, const fr_four<float> &value)
{
    if (fr_is_four(x, count)) {
        fr_four<T> narrow;
        for (int i = 0; i < FR_FOUR; i++) {
            fr_write(&narrow.at[i], value.at[i]);
        }
        *reinterpret_cast<fr_four<T> *>(x) = narrow;
        return;
    }
    for (int i = 0; i < FR_FOUR; i++) {
        if (i < count) {
            fr_write(x + i, value.at[i]);
        }
    }
}

#endif
