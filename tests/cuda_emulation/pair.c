#include "pair.h"

#include "device/bf16.h"
#include "device/cpu/isa.h"
#include "device/cuda/cuda.h"
#include "device/host.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

fr_two fr_two_open(void)
{
    fr_two two = {fr_test_device(fr_isa_detect(), 1), NULL};
    fr_ctx *ctx = fr_test_ctx();
    if (fr_cuda_create(ctx, 0, 1, &two.cuda) != FR_OK) {
        printf("no CUDA device: %s\n", fr_ctx_error(ctx));
        exit(1);
    }
    return two;
}

void fr_two_close(fr_two *two)
{
    fr_two_finish(two);
    FR_ASSERT_OK(fr_device_check(two->cpu));
    FR_ASSERT_OK(fr_device_check(two->cuda));
    fr_device_destroy(&two->cpu);
    fr_device_destroy(&two->cuda);
}

/* A failed device lets every mark pass. */
void fr_two_finish(const fr_two *two)
{
    fr_mark mark = fr_device_mark(two->cuda);
    while (!fr_device_passed(two->cuda, mark)) {
    }
}

static fr_pair start(const fr_two *two, const char *name, int64_t n, size_t on_cpu,
                     size_t on_cuda)
{
    fr_pair pair = {.two = two, .name = name, .n = n, .bytes = on_cuda};
    FR_ASSERT_OK(fr_device_alloc(two->cpu, n > 0 ? n : 1, on_cpu, &pair.cpu));
    FR_ASSERT_OK(fr_device_alloc(two->cuda, n > 0 ? n : 1, on_cuda, &pair.cuda));
    if (pair.cpu == NULL || pair.cuda == NULL) {
        exit(1);
    }
    return pair;
}

fr_pair fr_pair_bytes(const fr_two *two, const char *name, int64_t n, size_t size,
                      const void *from)
{
    fr_pair pair = start(two, name, n, size, size);
    if (from != NULL) {
        memcpy(pair.cpu, from, (size_t)n * size);
        FR_ASSERT_OK(fr_device_load(two->cuda, pair.cuda, from, n * (int64_t)size));
    }
    return pair;
}

fr_pair fr_pair_of(const fr_two *two, const char *name, int64_t n, fr_dtype dtype,
                   const float *numbers)
{
    fr_pair pair = start(two, name, n, sizeof(float), fr_dtype_bytes(dtype));
    float *on_cpu = pair.cpu;
    uint16_t *narrow = calloc((size_t)n + 1, sizeof *narrow);
    for (int64_t i = 0; i < n && narrow != NULL; i++) {
        narrow[i] = fr_bf16_round(numbers[i]);
        on_cpu[i] = dtype == FR_F32 ? numbers[i] : fr_bf16_widen(narrow[i]);
    }
    FR_ASSERT_OK(fr_device_load(two->cuda, pair.cuda,
                                dtype == FR_F32 ? pair.cpu : (void *)narrow,
                                n * (int64_t)pair.bytes));
    free(narrow);
    pair.on_cpu = fr_host_view(on_cpu);
    pair.on_cuda = fr_view_of((fr_byte *)pair.cuda, dtype);
    return pair;
}

fr_pair fr_pair_numbers(const fr_two *two, const char *name, int64_t n, fr_dtype dtype,
                        uint64_t stream, double scale)
{
    float *numbers = scale == 0 ? fr_test_zeros(n) : fr_test_numbers(n, stream, scale);
    fr_pair pair = fr_pair_of(two, name, n, dtype, numbers);
    free(numbers);
    return pair;
}

void fr_pair_free(fr_pair *pair)
{
    fr_device_free(pair->two->cpu, pair->cpu);
    fr_device_free(pair->two->cuda, pair->cuda);
}

void *fr_pair_fetch(const fr_pair *pair)
{
    void *out = calloc((size_t)pair->n + 1, sizeof(double));
    fr_device_get(pair->two->cuda, out, pair->cuda, pair->n * (int64_t)pair->bytes);
    fr_two_finish(pair->two);
    if (out != NULL && pair->on_cuda.at != NULL && pair->on_cuda.dtype == FR_BF16) {
        for (int64_t i = pair->n - 1; i >= 0; i--) {
            uint16_t narrow = 0;
            memcpy(&narrow, (char *)out + 2 * i, sizeof narrow);
            ((float *)out)[i] = fr_bf16_widen(narrow);
        }
    }
    return out;
}

void fr_pair_assert_same(const fr_pair *pair)
{
    bool narrow = pair->on_cuda.at != NULL && pair->on_cuda.dtype == FR_BF16;
    size_t size = narrow ? sizeof(float) : pair->bytes;
    void *got = fr_pair_fetch(pair);
    void *wanted = malloc((size_t)pair->n * size + 1);
    memcpy(wanted, pair->cpu, (size_t)pair->n * size);
    for (int64_t i = 0; i < pair->n && narrow; i++) {
        ((float *)wanted)[i] = fr_bf16_widen(fr_bf16_round(((float *)wanted)[i]));
    }
    fr_assert_same_bytes(pair->name, got, wanted, (size_t)pair->n * size);
    free(got);
    free(wanted);
}

void fr_pair_assert_near(const fr_pair *pair, double tolerance)
{
    float *got = fr_pair_fetch(pair);
    fr_assert_close(pair->name, got, pair->cpu, pair->n, tolerance);
    free(got);
}

bool fr_pair_takes(int i, int every)
{
    return getenv("FR_EMULATED_FEW") == NULL || i % every == 0;
}
