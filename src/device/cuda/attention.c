/* Attention, forward: kernels_attention.cu and kernels_attention_tensor.cu. */
#include "device/cuda/attention_plan.h"
#include "device/cuda/operators.h"

static fr_status start(fr_device *device, const fr_attend_plan *plan, fr_view q,
                       fr_view k, fr_view v, fr_view o_THK, float *lse_TH)
{
    fr_attend_back arguments;
    FR_TRY(fr_attend_send(device, plan, q, k, v, &arguments));
    fr_attend *a = &arguments.base;
    a->o_THK = o_THK.at;
    a->lse_TH = lse_TH;
    if (!fr_attend_is_wide(&plan->size, o_THK.at, fr_dtype_bytes(o_THK.dtype), 0)) {
        a->wide = 0;
    }
    fr_cuda_start how = fr_attend_start(&plan->size, FR_ATTEND_FORWARD, plan->n_tiles,
                                        plan->params->n_kv_heads);
    fr_cuda_launch(device, &how, a);
    return FR_OK;
}

fr_status fr_cuda_attention(fr_device *device, const fr_attention_params *params,
                            fr_view q, fr_view k, fr_view v, fr_view o_THK,
                            float *lse_TH)
{
    fr_attend_plan plan;
    fr_status status = fr_attend_plan_make(device, params, q.dtype, NULL, &plan);
    if (status == FR_OK && plan.n_tiles > 0) {
        status = start(device, &plan, q, k, v, o_THK, lse_TH);
    }
    fr_attend_plan_free(&plan);
    return status;
}
