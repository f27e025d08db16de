/* Attention, backward: kernels_attention_back.cu and kernels_attention_tensor_back.cu. First what each row of queries needs, then dQ, then dK, dV and the prefix
 * gradients. */
#include "device/cuda/attention_plan.h"
#include "device/cuda/operators.h"

#include "base/integer.h"

static void start(fr_device *device, const fr_attend_plan *plan,
                  const fr_attend_back *arguments)
{
    enum { ROWS = FR_ATTEND_THREADS / 32, MOST_BLOCKS = 1 << 20 };
    int64_t n_kv_heads = plan->params->n_kv_heads;
    fr_cuda_launch(
        device,
        &(fr_cuda_start){.kernel = FR_KERNEL_attend_stats_0 + plan->size.type,
                         .blocks =
                             fr_min(fr_ceil_div(arguments->n_rows, ROWS), MOST_BLOCKS),
                         .threads = FR_ATTEND_THREADS},
        arguments);
    if (arguments->dq != NULL) {
        fr_cuda_start queries = fr_attend_start(&plan->size, FR_ATTEND_QUERY_BACK,
                                                plan->n_tiles, n_kv_heads);
        fr_cuda_launch(device, &queries, arguments);
    }
    fr_cuda_start keys =
        fr_attend_start(&plan->size, FR_ATTEND_KEY_BACK, plan->n_keys, n_kv_heads);
    fr_cuda_launch(device, &keys, arguments);
}

/* Prefix gradients are f32 rows of all heads. */
static bool are_wide(const fr_attend_plan *plan, fr_view o_THK, fr_view do_THK,
                     const fr_attention_gradients *gradients)
{
    const fr_attention_params *params = plan->params;
    const fr_attend_size *size = &plan->size;
    size_t number = fr_dtype_bytes(o_THK.dtype);
    return fr_attend_is_wide(size, o_THK.at, number, 0) &&
           fr_attend_is_wide(size, do_THK.at, number, 0) &&
           fr_attend_is_wide(size, gradients->dq.at, number, params->q_stride) &&
           fr_attend_is_wide(size, gradients->dk.at, number, params->kv_stride) &&
           fr_attend_is_wide(size, gradients->dv.at, number, params->kv_stride) &&
           fr_attend_is_wide(size, gradients->dprefix_k_UPGK, sizeof(float), 0) &&
           fr_attend_is_wide(size, gradients->dprefix_v_UPGK, sizeof(float), 0);
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
    fr_status status = fr_attend_plan_make(device, params, q.dtype, gradients, &plan);
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
            a.base.wide != 0 && are_wide(&plan, o_THK, do_THK, gradients) ? 1 : 0;
        start(device, &plan, &a);
    }
    fr_attend_plan_free(&plan);
    return status;
}
