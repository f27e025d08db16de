/*
 * kernels_words.h - kernels that say one word each (kernels_words.cu): what they take.
 */
#ifndef FR_CUDA_EMULATION_KERNELS_WORDS_H
#define FR_CUDA_EMULATION_KERNELS_WORDS_H

#include <stdint.h>

/** A warp: registers [lane, 4], [lane, 2] and [lane, 4]. The lanes from `apart` on multiply at another line. */
typedef struct fr_word_multiply {
    const uint32_t *a;
    const uint32_t *b;
    float *d;
    int64_t apart; /* 32: none */
} fr_word_multiply;

/** A warp reads rows [32, 8] of 16 bits, and its lanes name the rows in the order of `rows`, some bytes behind their beginning. */
typedef struct fr_word_matrices {
    const uint16_t *numbers;
    const int32_t *rows; /* [32] */
    int64_t offset;      /* bytes */
    uint32_t *out;       /* [lane, 4] */
} fr_word_matrices;

/** Each thread copies two times 16 bytes, the second not wanted by odd threads, and tells four times what it sees as the last word
 * of both: before any wait, behind one for the groups that are closed (the first copy's), behind one that leaves a group under way,
 * and behind one for all. */
typedef struct fr_word_copy {
    const uint32_t *from; /* [thread, 2, 4] */
    uint32_t *seen;       /* [thread, 4, 2] */
    int64_t from_offset;  /* bytes behind a multiple of 16, of the first copy */
    int64_t to_offset;
    int64_t waits; /* 2: for all at the end; 1: not for the second copy */
} fr_word_copy;

/** Each thread has 2^x of its number, and that packed behind the number. */
typedef struct fr_word_numbers {
    const float *x;
    float *power;
    uint32_t *packed;
} fr_word_numbers;

#endif
