/*
 * pair.h - the same numbers on the CPU and on a CUDA device, for tests that compare an operator on both.
 *
 * The CPU has a view's numbers in f32. Where the CUDA device has them in bf16, the CPU's are rounded to that.
 */
#ifndef FR_CUDA_EMULATION_PAIR_H
#define FR_CUDA_EMULATION_PAIR_H

#include "device/memory.h"

typedef struct fr_two {
    fr_device *cpu; /* one thread, the best instruction set */
    fr_device *cuda;
} fr_two;

/** Both devices; the program ends if one cannot be made. */
fr_two fr_two_open(void);
/** Asserts that nothing failed on either. */
void fr_two_close(fr_two *two);

typedef struct fr_pair {
    const fr_two *two;
    const char *name; /* for messages */
    int64_t n;
    size_t bytes; /* of a number on the CUDA device */
    void *cpu;
    void *cuda;
    fr_view on_cpu; /* of pairs of f32 and bf16 */
    fr_view on_cuda;
} fr_pair;

/** n numbers of a view's type, uniform in [-scale, scale], a function of the stream; 0 for scale 0. */
fr_pair fr_pair_numbers(const fr_two *two, const char *name, int64_t n, fr_dtype dtype,
                        uint64_t stream, double scale);
/** n given numbers. */
fr_pair fr_pair_of(const fr_two *two, const char *name, int64_t n, fr_dtype dtype,
                   const float *numbers);
/** n elements of any kind that are the same bytes on both (i32, i64, f64, masks), copied from `from`; NULL: zeroed. */
fr_pair fr_pair_bytes(const fr_two *two, const char *name, int64_t n, size_t size,
                      const void *from);
void fr_pair_free(fr_pair *pair);

/** What the CUDA device has now, once its work is done: f32 numbers, or the bytes; freed by the caller. */
void *fr_pair_fetch(const fr_pair *pair);

/** Assert that both have the same bits: the CPU's rounded to the view's type. */
void fr_pair_assert_same(const fr_pair *pair);
/** Assert max |cuda - cpu| <= tolerance * max |cpu|. */
void fr_pair_assert_near(const fr_pair *pair, double tolerance);

static inline const fr_f32 *fr_pair_cpu_f32(const fr_pair *pair)
{
    return (const fr_f32 *)pair->cpu;
}
static inline const fr_f32 *fr_pair_cuda_f32(const fr_pair *pair)
{
    return (const fr_f32 *)pair->cuda;
}

/** The CUDA device's work so far is done. */
void fr_two_finish(const fr_two *two);

/** 0 and 1 are f32 and bf16: the digit of a kernel's name. */
static inline fr_dtype fr_digit_type(int digit)
{
    return digit == 0 ? FR_F32 : FR_BF16;
}

/** Whether case number i of a loop is to run: each, or where FR_EMULATED_FEW is set (runs that look at each access take minutes)
 * one of `every`, the first among them. */
bool fr_pair_takes(int i, int every);

#endif
