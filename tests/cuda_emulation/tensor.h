/*
 * tensor.h - the words of kernels for tensor cores and for copies to shared memory, on the CPU (device_side.cuh).
 *
 * A lane's registers are brought by address, and the lane that comes last computes for all. Copies are late: the bytes appear at
 * the wait of the thread that began them, never before. A kernel ends with a message (fr_emulated_stop) where lanes of a warp ask
 * for different things, where an address is not a multiple of 16 or lies beside shared memory, and where a thread returns while a
 * copy is under way.
 */
#ifndef FR_CUDA_EMULATION_TENSOR_H
#define FR_CUDA_EMULATION_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** fr_mma_bf16 with n tiles of b: each number of d goes on as a chain of fused multiply-adds in f32, in the order of the 16 products.
 * FR_EMULATED_MMA=together in the environment: the 16 are added first, and to d with one rounding. Neither is what a tensor core
 * does; the second one tells where a depth is cut. */
void fr_emulated_multiply(float (*d)[4], const uint32_t *a, const uint32_t (*b)[2],
                          int n, int line);

/** Tiles of b that were multiplied since the program began, 2 * 16 * 8 * 16 operations each. */
extern uint64_t fr_emulated_tiles;
/** What fr_fma has computed since then, in kernels that are compiled with FR_EMULATED_FUSED. */
extern uint64_t fr_emulated_fused;

/** fr_load_matrices_4 with the row that this lane has read. */
void fr_emulated_matrices(uint32_t *out, const uint32_t *row, bool transposed,
                          int line);

/** 16 bytes at a multiple of 16, in shared memory. */
void fr_emulated_check_shared(const void *at);

typedef struct fr_emulated_copy {
    void *to;
    const void *from; /* NULL: zeros */
    int64_t group;    /* of this thread's, from 0 */
} fr_emulated_copy;

void fr_emulated_copy_begin(void *to, const void *from, bool wanted);
void fr_emulated_copies_close(void);
/** The running thread's next copy that a wait covers which leaves `newest` groups under way; NULL: no more. The caller does it. */
const fr_emulated_copy *fr_emulated_copy_due(int newest);
/** A thread returns. */
void fr_emulated_copies_end(void);

/** fr_exp2_near: about as near as the hardware's, whose table is its own, with the same ends. */
float fr_emulated_exp2_near(float x);
/** fr_pack_bf16; NaN becomes 0x7fff, as the hardware has it. */
uint32_t fr_emulated_pack_bf16(float lower, float upper);

#ifdef __cplusplus
}
#endif

#endif
