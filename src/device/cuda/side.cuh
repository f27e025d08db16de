/*
 * side.cuh - numbers that lie side by side, which a thread reads and writes at once: 16 bytes of the narrower type of a call.
 *
 * A kernel goes over its numbers in groups of fr_side_of<...>::N where the host says that they lie well (wide.h), else one by
 * one.
 */
#ifndef FR_DEVICE_CUDA_SIDE_CUH
#define FR_DEVICE_CUDA_SIDE_CUH

#include "device/cuda/numbers.cuh"

/** How many numbers of the types of a call's views go together. */
template <typename X, typename Y = X> struct fr_side_of {
    enum { N = sizeof(X) < sizeof(float) || sizeof(Y) < sizeof(float) ? 8 : 4 };
};

/** N numbers in registers. */
template <int N> struct fr_side {
    float at[N];
};

template <typename X, int N>
struct alignas(N * sizeof(X) < 16 ? N * sizeof(X) : 16) fr_side_in_memory {
    X at[N];
};

template <int N, typename X> FR_DEVICE fr_side<N> fr_read_side(const X *x)
{
    fr_side_in_memory<X, N> from =
        *reinterpret_cast<const fr_side_in_memory<X, N> *>(x);
    fr_side<N> out;
    for (int i = 0; i < N; i++) {
        out.at[i] = fr_read(&from.at[i]);
    }
    return out;
}

template <int N, typename X> FR_DEVICE void fr_write_side(X *x, const fr_side<N> &value)
{
    fr_side_in_memory<X, N> to;
    for (int i = 0; i < N; i++) {
        fr_write(&to.at[i], value.at[i]);
    }
    *reinterpret_cast<fr_side_in_memory<X, N> *>(x) = to;
}

/** x as a number of type X. */
template <typename X> FR_DEVICE float fr_rounded(float x)
{
    X out;
    fr_write(&out, x);
    return fr_read(&out);
}
template <typename X, int N> FR_DEVICE fr_side<N> fr_rounded(const fr_side<N> &x)
{
    fr_side<N> out;
    for (int i = 0; i < N; i++) {
        out.at[i] = fr_rounded<X>(x.at[i]);
    }
    return out;
}

/* Of a kernel whose threads share one long run of items: this thread's first item, and how far it is to its next. */
FR_DEVICE int64_t fr_first_item(void)
{
    return fr_block() * fr_threads() + fr_thread();
}
FR_DEVICE int64_t fr_item_step(void)
{
    return fr_blocks() * fr_threads();
}

#endif
