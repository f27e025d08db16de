#include "device/device.h"

#include "base/mem.h"
#include "device/state.h"

#include <stdlib.h>

/* A lower instruction set than the processor's is allowed, so that tests can run every kernel on one machine. A
 * higher one would end in an illegal instruction. */
static fr_status check_params(fr_ctx *ctx, const fr_device_params *params)
{
    fr_isa best = fr_isa_detect();
    if (params->n_threads < 1) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "a device cannot have %d threads, but must have at least 1; set "
                       "run.threads",
                       params->n_threads);
    }
    if (params->isa > best) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "the instruction set %s is wanted, but this processor has %s; choose "
            "that or a lower one",
            fr_isa_name(params->isa), fr_isa_name(best));
    }
    return FR_OK;
}

/* Scratch memory is taken when an operator first needs it, so nothing else is allocated here. */
fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params, fr_device **out)
{
    fr_device *device = NULL;
    *out = NULL;
    FR_TRY(check_params(ctx, params));
    FR_TRY(fr_alloc(ctx, 1, sizeof *device, &device));
    device->ctx = ctx;
    device->n_threads = params->n_threads;
    device->isa = params->isa;
    *out = device;
    return FR_OK;
}

void fr_device_destroy(fr_device **device)
{
    if (*device == NULL) {
        return;
    }
    fr_device_free_scratch(*device);
    free(*device);
    *device = NULL;
}

/* A change that gives any operator other bits must raise the number. Checkpoints from before this text name an
 * instruction set instead. */
const char *fr_device_arithmetic(const fr_device *device)
{
    (void)device;
    return "cpu 1";
}

int fr_device_threads(const fr_device *device)
{
    return device->n_threads;
}

/* Called by long operators, so that messages advance while this rank computes. */
void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument)
{
    device->progress = progress;
    device->progress_argument = argument;
}
