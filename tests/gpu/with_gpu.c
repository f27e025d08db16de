/*
 * with_gpu [COMMAND...]: print which GPU there is, then run the command; exit code 77 and the reason where there is none that
 * can be used.
 */
#define _POSIX_C_SOURCE 200809L
#include "device/cuda/cuda.h"
#include "device/cuda/driver.h"

#include <stdio.h>
#include <unistd.h>

enum { FAILED = 1, SKIPPED = 77 };

/* What the reader of a report wants to know; what cannot be asked stays 0. */
static void print_gpu(const fr_cuda_driver *driver, const fr_device_facts *facts)
{
    enum { GIB = 1 << 30 };
    char name[96] = "";
    int version = 0;
    int major = 0;
    int minor = 0;
    int processors = 0;
    fr_cu_device device = 0;
    (void)driver->version(&version);
    if (driver->device_get(&device, 0) == FR_CU_SUCCESS) {
        (void)driver->device_name(name, (int)sizeof name, device);
        (void)driver->device_attribute(&major, FR_CU_MAJOR, device);
        (void)driver->device_attribute(&minor, FR_CU_MINOR, device);
        (void)driver->device_attribute(&processors, FR_CU_PROCESSORS, device);
    }
    (void)printf("GPU: %s, sm_%d%d, %d multiprocessors, %.1f GiB of memory, %.1f GiB "
                 "free; the driver is for CUDA %d.%d\n",
                 name, major, minor, processors, (double)facts->bytes / GIB,
                 (double)facts->available / GIB, version / 1000, version % 1000 / 10);
    (void)fflush(stdout);
}

static int look(fr_ctx *ctx)
{
    fr_device_facts facts = {0};
    fr_cuda_driver driver = {0};
    if (fr_cuda_backend.facts(ctx, 0, &facts) != FR_OK ||
        fr_cuda_driver_open(ctx, &driver) != FR_OK) {
        (void)printf("skipped: no GPU: %s\n", fr_ctx_error(ctx));
        return SKIPPED;
    }
    print_gpu(&driver, &facts);
    fr_cuda_driver_close(&driver);
    return 0;
}

int main(int argc, char **argv)
{
    fr_ctx *ctx = fr_ctx_create();
    if (ctx == NULL) {
        (void)fprintf(stderr, "with_gpu: no memory\n");
        return FAILED;
    }
    int code = look(ctx);
    fr_ctx_destroy(&ctx);
    if (code == 0 && argc > 1) {
        (void)execvp(argv[1], argv + 1);
        perror(argv[1]);
        code = FAILED;
    }
    return code;
}
