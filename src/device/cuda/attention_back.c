/* Attention, backward: kernels_attention_back.cu. First what each row of queries needs, then dQ, then dK, dV and the prefix
 * gradients. */
#include "device/cuda/attention_plan.h"
#include "device/cuda/operators.h"

#include "base/integer.h"

static void start(fr_device *device, const fr_attend_plan *plan, unsigned type,
                  const fr_attend_back *arguments)
{
    enum { ROWS = FR_ATTEND_THREADS / 32, MOST_BLOCKS = 1 << 20 };
    unsigned kernel = plan->size.kernel + type;
    fr_cuda_launch(
        device,
        &(fr_cuda_start){.kernel = FR_KERNEL_attend_stats_0 + type,
                         .blocks =
                             fr_min(fr_ceil_div(arguments->n_rows, ROWS), MOST_BLOCKS),
                         .threads = FR_ATTEND_THREADS},
        arguments);
    if (arguments->dq != NULL) {
        fr_cuda_launch(
            device,
            &(fr_cuda_start){.kernel = FR_KERNEL_attend_query_back_64_0 + kernel,
                             .blocks = plan->n_tiles,
                             .blocks_y = plan->params->n_kv_heads,
                             .threads = FR_ATTEND_THREADS,
                             .shared = fr_attend_shared(&plan->size, 2, 1)},
            arguments);
    }
    fr_cuda_launch(device,
                   &(fr_cuda_start){.kernel = FR_KERNEL_attend_key_back_64_0 + kernel,
                                    .blocks = plan->n_keys,
                                    .blocks_y = plan->params->n_kv_heads,
                                    .threads = FR_ATTEND_THREADS,
                                    .shared = fr_attend_shared(&plan->size, 2, 2)},
                   arguments);
}

/* Prefix gradients are f32 rows of all heads. */
static bool are_wide(const fr_attention_params *params, fr_view o_THK, fr_view do_THK,
                     const fr_attention_gradients *gradients)
{
    size_t number = fr_dtype_bytes(o_THK.dtype);
    return fr_attend_is_wide(o_THK.at, number, 0) &&
           fr_attend_is_wide(do_THK.at, number, 0) &&
           fr_attend_is_wide(gradients->dq.at, number, params->q_stride) &&
           fr_attend_is_wide(gradients->dk.at, number, params->kv_stride) &&
           fr_attend_is_wide(gradients->dv.at, number, params->kv_stride) &&
           fr_attend_is_wide(gradients->dprefix_k_UPGK, sizeof(float), 0) &&
           fr_attend_is_wide(gradients->dprefix_v_UPGK, sizeof(float), 0);
}

static fr_status send(fr_device *device, const fr_attend_plan *plan, fr_view q,
                      fr_view k, fr_view v, fr_attend_back *out)
{
    void *stats = NULL;
    int64_t n_rows = plan->params->n_tokens * plan->params->n_heads;
    FR_TRY(fr_attend_send(device, plan, q, k, v, out));
    FR_TRY(fr_cuda_scratch(device, FR_CUDA_USE_VALUES,
                           2 * n_rows * (int64_t)sizeof(float), &stats));
    out->stats_TH2 = stats;
    out->n_rows = n_rows;
    return FR_OK;
}

fr_status fr_cuda_attention_back(fr_device *device, const fr_attention_params *params,
                                 fr_view q, fr_view k, fr_view v, fr_view o_THK,
                                 const float *lse_TH, fr_view do_THK,
                                 const fr_attention_gradients *gradients)
{
    fr_attend_plan plan;
    fr_attend_back a;
    fr_status status = fr_attend_plan_make(device, params, gradients, &plan);
    if (status == FR_OK) {
        status = send(device, &plan, q, k, v, &a);
    }
    if (status == FR_OK) {
        a.base.o_THK = o_THK.at;
        a.lse_TH = lse_TH;
        a.do_THK = do_THK.at;
        a.dq = gradients->dq.at;
        a.dk = gradients->dk.at;
        a.dv = gradients->dv.at;
        a.dprefix_k_UPGK = (float *)gradients->dprefix_k_UPGK;
        a.dprefix_v_UPGK = (float *)gradients->dprefix_v_UPGK;
        a.base.wide =
            a.base.wide != 0 && are_wide(params, o_THK, do_THK, gradients) ? 1 : 0;
        start(device, &plan, fr_cuda_digits_1(q), &a);
    }
    fr_attend_plan_free(&plan);
    return status;
}
