/*
 * kernels_sample.h - kernels of the choice of tokens: what they take, and their names (kernels.h).
 */
#ifndef FR_DEVICE_CUDA_KERNELS_SAMPLE_H
#define FR_DEVICE_CUDA_KERNELS_SAMPLE_H

#include <stdint.h>

typedef struct fr_sample_arguments {
    const float *logits_NV;
    const uint8_t *never_V; /* NULL: all may come */
    const double *uniform_N;
    int32_t *ids_N;
    int64_t n_rows;
    int64_t vocab;
    int64_t top_k; /* 0: all */
    double top_p;
    double min_p; /* 0: all */
    double temperature;
    char *room;         /* of all blocks; sample_greedy needs none */
    int64_t candidates; /* that a block has room for, twice */
} fr_sample_arguments;

/* One that may be chosen. Ascending keys are falling logits. */
typedef struct fr_candidate {
    uint32_t key;
    int32_t id;
} fr_candidate;

enum {
    FR_SAMPLE_WARPS = 32,
    FR_SAMPLE_DIGIT_BITS = 8,
    FR_SAMPLE_DIGITS = 1 << FR_SAMPLE_DIGIT_BITS,
    FR_SAMPLE_THREADS = FR_SAMPLE_WARPS * 32
};

/* What scanning needs: of each thread the steps of a sum by how the sum before them ends (kernels_sample.cu). */
typedef struct fr_sample_steps {
    int64_t even;
    int64_t odd;
} fr_sample_steps;

/* Shared memory of a block. */
typedef struct fr_sample_shared {
    int32_t count[FR_SAMPLE_DIGITS * FR_SAMPLE_WARPS]; /* of digits, for each warp */
    int32_t total[FR_SAMPLE_DIGITS];                   /* for all warps */
    uint64_t best[FR_SAMPLE_WARPS];
    fr_sample_steps steps[FR_SAMPLE_WARPS];
    int32_t allowed[FR_SAMPLE_WARPS];
    int32_t finite[FR_SAMPLE_WARPS];
    int32_t digit; /* that the selection goes on with */
    int32_t below; /* candidates before those of that digit */
    double sum;
    int32_t crossed; /* the first number at which a sum reaches its next power of two */
} fr_sample_shared;

#define FR_KERNELS_SAMPLE(K, K1, K2, K3) K(sample_greedy) K(sample_draw)

#endif
