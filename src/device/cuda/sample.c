/* The choice of tokens on a GPU: kernels_sample.cu. */
#include "base/integer.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"
#include "device/cuda/sample_room.h"

#include <stddef.h>

/* Some 256 numbers a warp. */
static int threads_of(int64_t vocab)
{
    enum { WARP = 32, A_WARP = 256 };
    return (int)(WARP * fr_clamp(vocab / A_WARP, 1, FR_SAMPLE_WARPS));
}

static fr_status make_room(fr_device *device, int64_t n_rows, fr_sample_arguments *to,
                           int64_t *blocks)
{
    void *room = NULL;
    to->candidates = to->top_k > 0 ? fr_min(to->top_k, to->vocab) : to->vocab;
    int64_t bytes = fr_cuda_sample_room(n_rows, to->candidates, blocks);
    FR_TRY(fr_cuda_scratch(device, FR_CUDA_USE_VALUES, bytes, &room));
    to->room = room;
    return FR_OK;
}

fr_status fr_cuda_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                              const float *logits_NV, const fr_sample_rule *rule,
                              const double *uniform_N, int32_t *ids_N)
{
    enum { MOST_ROWS = 1 << 20 };
    bool greedy = rule->temperature <= 0.0;
    int64_t blocks = fr_min(n_rows, MOST_ROWS);
    fr_cuda_list list = {uniform_N, n_rows * (int64_t)sizeof *uniform_N, NULL};
    fr_sample_arguments arguments = {.logits_NV = logits_NV,
                                     .never_V = (const uint8_t *)rule->never_V,
                                     .ids_N = ids_N,
                                     .n_rows = n_rows,
                                     .vocab = vocab,
                                     .top_k = rule->top_k,
                                     .top_p = rule->top_p,
                                     .min_p = rule->min_p,
                                     .temperature = rule->temperature};
    if (n_rows == 0) {
        return FR_OK;
    }
    if (!greedy) {
        FR_TRY(make_room(device, n_rows, &arguments, &blocks));
        FR_TRY(fr_cuda_lists(device, 1, &list));
        arguments.uniform_N = list.at;
    }
    fr_cuda_start start = {.kernel =
                               greedy ? FR_KERNEL_sample_greedy : FR_KERNEL_sample_draw,
                           .blocks = blocks,
                           .threads = threads_of(vocab),
                           .shared = (int64_t)sizeof(fr_sample_shared)};
    fr_cuda_launch(device, &start, &arguments);
    return FR_OK;
}
