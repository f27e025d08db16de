#include "device/device_impl.h"

#include "base/mem.h"
#include "device/cpu/gemm.h"

#include <stdlib.h>

static fr_status check_params(fr_ctx *ctx, const fr_device_params *params)
{
    fr_isa best = fr_isa_detect();
    if (params->n_threads < 1) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "device with %d threads; allowed: 1 or more; set run.threads",
                       params->n_threads);
    }
    if (params->isa > best) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "instruction set %s wanted, this processor has %s; choose that "
                       "or a lower one",
                       fr_isa_name(params->isa), fr_isa_name(best));
    }
    return FR_OK;
}

fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params, fr_device **out)
{
    fr_device *device = NULL;
    *out = NULL;
    FR_TRY(check_params(ctx, params));
    FR_TRY(fr_alloc(ctx, 1, sizeof *device, &device));
    device->ctx = ctx;
    device->n_threads = params->n_threads;
    device->isa = params->isa;
    device->gemm[FR_F32] = fr_gemm_kernel_select(params->isa, FR_F32);
    device->gemm[FR_BF16] = fr_gemm_kernel_select(params->isa, FR_BF16);
    *out = device;
    return FR_OK;
}

void fr_device_destroy(fr_device **device)
{
    if (*device == NULL) {
        return;
    }
    for (int slot = 0; slot < FR_SCRATCH_SLOTS; slot++) {
        free((*device)->scratch[slot].data);
    }
    free(*device);
    *device = NULL;
}

fr_isa fr_device_isa(const fr_device *device)
{
    return device->isa;
}

/* To be counted up by whatever gives any operator other bits. Checkpoints of before name an instruction set instead. */
const char *fr_device_arithmetic(const fr_device *device)
{
    (void)device;
    return "cpu 1";
}

int fr_device_threads(const fr_device *device)
{
    return device->n_threads;
}

void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument)
{
    device->progress = progress;
    device->progress_argument = argument;
}

void fr_device_progress(const fr_device *device)
{
    if (device->progress != NULL) {
        device->progress(device->progress_argument);
    }
}

fr_status fr_device_scratch(fr_device *device, fr_scratch_slot slot, int64_t count,
                            float **out)
{
    fr_scratch *scratch = &device->scratch[slot];
    if (count > scratch->count || scratch->data == NULL) {
        free(scratch->data);
        scratch->count = 0;
        FR_TRY(fr_alloc(device->ctx, count, sizeof *scratch->data, &scratch->data));
        scratch->count = count;
    }
    *out = scratch->data;
    return FR_OK;
}
