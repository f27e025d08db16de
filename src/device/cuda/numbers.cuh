/*
 * numbers.cuh - the numbers of views in kernels: f32, or bf16 that is widened when it is read and rounded when it is written.
 *
 * Types of the numbers are template arguments of a kernel's body; each combination is a kernel of its own, named by a digit a
 * view, 0 for f32 and 1 for bf16 (FR_KERNEL_1, ...; kernels.h lists them).
 */
#ifndef FR_DEVICE_CUDA_NUMBERS_CUH
#define FR_DEVICE_CUDA_NUMBERS_CUH

#include "device_side.cuh"

#include "device/bf16.h"

typedef struct fr_bf16 {
    uint16_t bits;
} fr_bf16;

FR_DEVICE float fr_read(const float *x)
{
    return *x;
}
FR_DEVICE float fr_read(const fr_bf16 *x)
{
    return fr_bf16_widen(x->bits);
}
FR_DEVICE void fr_write(float *x, float value)
{
    *x = value;
}
FR_DEVICE void fr_write(fr_bf16 *x, float value)
{
    x->bits = fr_bf16_round(value);
}

/* Four numbers that lie side by side at an address that is a multiple of their size: one access. */
template <typename T> struct alignas(4 * sizeof(T)) fr_four {
    T at[4];
};

/** Kernels of a body that is a function template `name##_body<X, ...>(const arguments &a)`, for each type of its views. */
#define FR_KERNEL_AS(name, digits, arguments, threads, ...)                            \
    FR_KERNEL(name##_##digits, arguments, threads)                                     \
    {                                                                                  \
        name##_body<__VA_ARGS__>(a);                                                   \
    }
#define FR_KERNEL_1(name, arguments, threads)                                          \
    FR_KERNEL_AS(name, 0, arguments, threads, float)                                   \
    FR_KERNEL_AS(name, 1, arguments, threads, fr_bf16)
#define FR_KERNEL_2(name, arguments, threads)                                          \
    FR_KERNEL_AS(name, 00, arguments, threads, float, float)                           \
    FR_KERNEL_AS(name, 01, arguments, threads, float, fr_bf16)                         \
    FR_KERNEL_AS(name, 10, arguments, threads, fr_bf16, float)                         \
    FR_KERNEL_AS(name, 11, arguments, threads, fr_bf16, fr_bf16)
#define FR_KERNEL_3(name, arguments, threads)                                          \
    FR_KERNEL_AS(name, 000, arguments, threads, float, float, float)                   \
    FR_KERNEL_AS(name, 001, arguments, threads, float, float, fr_bf16)                 \
    FR_KERNEL_AS(name, 010, arguments, threads, float, fr_bf16, float)                 \
    FR_KERNEL_AS(name, 011, arguments, threads, float, fr_bf16, fr_bf16)               \
    FR_KERNEL_AS(name, 100, arguments, threads, fr_bf16, float, float)                 \
    FR_KERNEL_AS(name, 101, arguments, threads, fr_bf16, float, fr_bf16)               \
    FR_KERNEL_AS(name, 110, arguments, threads, fr_bf16, fr_bf16, float)               \
    FR_KERNEL_AS(name, 111, arguments, threads, fr_bf16, fr_bf16, fr_bf16)

#endif
