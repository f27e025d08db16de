/*
 * block.h - a grid of thread blocks on the CPU: each thread of a block is a fiber, blocks and warps run in a drawn order.
 *
 * A kernel that breaks a rule ends the program with a message (abort): a thread that returns while others wait for it, threads
 * that wait at different lines of the source, lanes of a warp that ask for different things, writes right beside shared memory,
 * a block that is too large. Further beyond shared memory, and below a stack, is memory that nobody may touch (SIGSEGV).
 */
#ifndef FR_CUDA_EMULATION_BLOCK_H
#define FR_CUDA_EMULATION_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FR_EMULATED_WARP = 32, FR_EMULATED_THREADS = 1024 };

/** Where the thread that runs now is. */
typedef struct fr_emulated_place {
    int thread;
    int threads;
    int64_t block;
    int64_t blocks;
    int64_t block_y;
    void *shared;
    size_t shared_bytes;
    const struct fr_emulated_launch *launch; /* while a block runs */
    uint32_t run; /* of a block, counted over all launches, from 1; 0: none runs */
    uint32_t first_run; /* of this launch */
    uint32_t at_block;  /* how often the block has waited, */
    uint32_t at_warp[FR_EMULATED_THREADS / FR_EMULATED_WARP]; /* and each warp */
} fr_emulated_place;
extern fr_emulated_place fr_emulated;

/** The running thread breaks a rule: the program ends with a message that says which thread. */
void fr_emulated_stop(const char *what) __attribute__((noreturn));

/** What the lanes of a warp ask for together. */
typedef enum fr_emulated_question {
    FR_EMULATED_SYNC,
    FR_EMULATED_VALUE,
    FR_EMULATED_BALLOT,
    FR_EMULATED_MULTIPLY,
    FR_EMULATED_MATRICES,
    FR_EMULATED_MATRICES_TRANSPOSED
} fr_emulated_question;

/** All threads of the block get here before one goes on. `line`: of the source, the same for all. */
void fr_emulated_sync(int line);
/** All lanes of the warp get here; what each brought, until the lane's next question. */
const uint64_t *fr_emulated_exchange(fr_emulated_question question, int line,
                                     uint64_t bits);
/** The same; the lane that comes last does `work` with what all have brought before any lane goes on. */
void fr_emulated_together(fr_emulated_question question, int line, uint64_t bits,
                          void (*work)(const uint64_t *brought));

typedef struct fr_emulated_kernel {
    const char *name;
    void (*entry)(const void *arguments); /* of one thread */
    size_t argument_bytes;
    int threads; /* the most of a block */
} fr_emulated_kernel;

typedef struct fr_emulated_launch {
    const fr_emulated_kernel *kernel;
    int64_t blocks;
    int64_t blocks_y;
    int threads;
    size_t shared_bytes;
    const void *arguments;
    uint64_t seed; /* of the order of blocks, warps and lanes */
} fr_emulated_launch;

/** Run it to its end, on the calling thread. */
void fr_emulated_run(const fr_emulated_launch *launch);

/** What a program with emulated kernels gives to the driver in the place of a fatbin. */
#define FR_EMULATED_MAGIC 0x6665726f72754d45ULL
typedef struct fr_emulated_image {
    uint64_t magic;
    int n_kernels;
    const fr_emulated_kernel *const *kernels;
    void (*run)(const fr_emulated_launch *launch);
} fr_emulated_image;

#ifdef __cplusplus
}
#endif

#endif
