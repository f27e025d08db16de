/*
 * late.h - a CUDA device for tests of its memory, over the emulated driver where nothing else is said, and bytes from a
 * generator of a few lines.
 */
#ifndef FR_CUDA_EMULATION_LATE_H
#define FR_CUDA_EMULATION_LATE_H

#include "device/cuda/cuda.h"
#include "support/suite.h"
#include "which_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 8, RUBBISH = 0x5C, MIB = 1 << 20 };

static inline void set(const char *name, int64_t value)
{
    enum { BYTES = 32 };
    char text[BYTES];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    CU_ASSERT_EQUAL(setenv(name, text, 1), 0);
}

/* Skips a case of what NVIDIA's driver does not let a test choose: a GPU's size, when work is done. @return whether */
static inline bool skip_on_a_gpu(void)
{
    if (!fr_gpu_is_emulated) {
        fr_skip("only the emulated driver can be told to");
    }
    return !fr_gpu_is_emulated;
}

/* The driver reads its environment where no device is open. */
static inline fr_device *open_device(int64_t seed)
{
    fr_device *device = NULL;
    set("FR_EMULATED_SEED", seed);
    FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 0, 1, &device));
    if (device == NULL) {
        exit(1);
    }
    return device;
}

static inline void close_device(fr_device *device)
{
    FR_ASSERT_OK(fr_device_check(device));
    fr_device_destroy(&device);
}

static inline void finish(fr_device *device)
{
    fr_mark mark = fr_device_mark(device);
    while (!fr_device_passed(device, mark)) {
    }
}

static inline uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*state >> 33) % below;
}

static inline void fill(uint64_t *state, unsigned char *to, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++) {
        to[i] = (unsigned char)draw(state, 256);
    }
}

static inline unsigned char *numbers(int64_t bytes, uint64_t seed)
{
    unsigned char *out = malloc((size_t)bytes);
    fill(&seed, out, bytes);
    return out;
}

#endif
