/*
 * lt_case.h - CUDA devices that find an emulated cuBLASLt, for tests.
 */
#ifndef FR_CUDA_EMULATION_LT_CASE_H
#define FR_CUDA_EMULATION_LT_CASE_H

#include "pair.h"

#include "device/cpu/isa.h"
#include "device/cuda/cuda.h"
#include "device/cuda/runtime.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>

/** With these words for the emulation (cublaslt.cpp); own: it is not used. */
static inline fr_status fr_lt_case_open(const char *words, bool own, fr_device **out)
{
    fr_device_params params = {.kind = "cuda", .n_threads = 1, .own_products = own};
    (void)setenv("FR_EMULATED_LT", words, 1);
    return fr_cuda_backend.create(fr_test_ctx(), &params, out);
}

/** Such a device; NULL: the case is skipped, since there is no cuBLASLt. */
static inline fr_device *fr_lt_case_open_or_skip(const char *words)
{
    fr_device *device = NULL;
    FR_ASSERT_OK(fr_lt_case_open(words, false, &device));
    if (device != NULL && fr_cuda_of(device)->lt == NULL) {
        fr_skip("there is no cuBLASLt that starts");
        fr_device_destroy(&device);
    }
    return device;
}

/** fr_two_open with it. */
static inline fr_two fr_lt_case_two(const char *words)
{
    fr_two two = {fr_test_device(fr_isa_detect(), 1), NULL};
    FR_ASSERT_OK(fr_lt_case_open(words, false, &two.cuda));
    if (two.cuda == NULL) {
        exit(1);
    }
    return two;
}

#endif
