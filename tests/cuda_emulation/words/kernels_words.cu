/*
 * kernels_words.cu - words of device_side.cuh for tensor cores, copies and numbers, each in a kernel: test_emulation_tensor.c looks at what
 * they do in the emulation, and nvcc.sh at the instructions that nvcc makes of them.
 */
#include "kernels_words.h"

#include "device_side.cuh"

FR_KERNEL(word_multiply, fr_word_multiply, 32)
{
    uint32_t left[4];
    uint32_t right[2];
    float sums[4];
    for (int i = 0; i < 4; i++) {
        left[i] = a.a[4 * fr_thread() + i];
        right[i % 2] = a.b[2 * fr_thread() + i % 2];
        sums[i] = a.d[4 * fr_thread() + i];
    }
    if (fr_thread() < a.apart) {
        fr_mma_bf16(sums, left, right);
    } else {
        fr_mma_bf16(sums, left, right);
    }
    for (int i = 0; i < 4; i++) {
        a.d[4 * fr_thread() + i] = sums[i];
    }
}

/* @return where this lane's row is, once all rows lie in shared memory */
FR_DEVICE const char *row_of(const fr_word_matrices &a)
{
    uint16_t *numbers = fr_shared<uint16_t>();
    for (int i = 0; i < 8; i++) {
        numbers[8 * fr_thread() + i] = a.numbers[8 * fr_thread() + i];
    }
    fr_sync();
    return reinterpret_cast<const char *>(numbers + 8 * a.rows[fr_thread()]) + a.offset;
}
FR_DEVICE void tell(const fr_word_matrices &a, const uint32_t out[4])
{
    for (int i = 0; i < 4; i++) {
        a.out[4 * fr_thread() + i] = out[i];
    }
}

FR_KERNEL(word_matrices, fr_word_matrices, 32)
{
    uint32_t out[4];
    fr_load_matrices_4(out, row_of(a));
    tell(a, out);
}

FR_KERNEL(word_matrices_transposed, fr_word_matrices, 32)
{
    uint32_t out[4];
    fr_load_matrices_4_transposed(out, row_of(a));
    tell(a, out);
}

FR_KERNEL(word_copy, fr_word_copy, 64)
{
    uint32_t *older = fr_shared<uint32_t>() + 8 * fr_thread();
    uint32_t *newer = older + 4;
    const char *from = reinterpret_cast<const char *>(a.from + 8 * fr_thread());
    uint32_t *seen = a.seen + 8 * fr_thread();
    older[3] = 1;
    newer[3] = 2;
    fr_copy_ahead_16(reinterpret_cast<char *>(older) + a.to_offset,
                     from + a.from_offset, true);
    fr_copies_close();
    fr_copy_ahead_16(newer, from + 16, fr_thread() % 2 == 0);
    seen[0] = older[3];
    seen[1] = newer[3];
    fr_copies_await<0>();
    seen[2] = older[3];
    seen[3] = newer[3];
    fr_copies_close();
    if (a.waits >= 1) {
        fr_copies_await<1>();
    }
    seen[4] = older[3];
    seen[5] = newer[3];
    if (a.waits >= 2) {
        fr_copies_await<0>();
    }
    seen[6] = older[3];
    seen[7] = newer[3];
}

FR_KERNEL(word_numbers, fr_word_numbers, 32)
{
    float x = a.x[fr_thread()];
    float power = fr_exp2_near(x);
    a.power[fr_thread()] = power;
    a.packed[fr_thread()] = fr_pack_bf16(x, power);
}
