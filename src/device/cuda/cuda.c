/* NVIDIA's GPUs as a kind of device: how one is made, and the table of its operators. */
#include "device/cuda/cuda.h"

#include "base/integer.h"
#include "base/mem.h"
#include "device/cuda/lane.h"
#include "device/cuda/lt.h"
#include "device/cuda/memory.h"
#include "device/cuda/operators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cuda_destroy(fr_device *device)
{
    fr_cuda *cuda = fr_cuda_of(device);
    fr_cuda_tell_late_failure(cuda);
    fr_cuda_lt_close(cuda);
    fr_cuda_memory_close(cuda);
    fr_cuda_runtime_close(cuda);
    free(cuda);
}

/* The number is raised by a change that gives any operator other bits. */
static const char *cuda_arithmetic(const fr_device *device)
{
    return ((const fr_cuda *)device)->arithmetic;
}

static const char *cuda_products(const fr_device *device)
{
    return ((const fr_cuda *)device)->products;
}

static fr_device_variant cuda_variant(const fr_device *device)
{
    fr_device_variant out = {{0}, {0}};
    (void)snprintf(out.name, sizeof out.name, "%.*s", (int)sizeof out.name - 1,
                   ((const fr_cuda *)device)->name);
    return out;
}

/* Half the bytes between operators, and what is kept needs no conversion. */
static fr_dtype cuda_type(const fr_device *device, fr_dtype precision)
{
    (void)device;
    return precision;
}

static fr_status cuda_check(const fr_device *device)
{
    return fr_cuda_check((const fr_cuda *)device);
}

static const fr_device_ops OPS = {
    .in_host_memory = false,
    .destroy = cuda_destroy,
    .arithmetic = cuda_arithmetic,
    .variant = cuda_variant,
    .work = cuda_type,
    .kept = cuda_type,
    .check = cuda_check,
    .reserve = fr_cuda_reserve,
    .room = fr_cuda_room,
    .most_used = fr_cuda_most_used,
    .alloc = fr_cuda_alloc,
    .free = fr_cuda_free,
    .host_alloc = fr_cuda_host_alloc,
    .host_free = fr_cuda_host_free,
    .put_keeps = true, /* it copies to a pinned block */
    .put = fr_cuda_put,
    .get = fr_cuda_get,
    .ahead = fr_cuda_ahead,
    .await = fr_cuda_await,
    .copy = fr_cuda_copy,
    .zero = fr_cuda_zero,
    .mark = fr_cuda_mark,
    .passed = fr_cuda_passed,
    .lane_open = fr_cuda_lane_open,
    .lane_close = fr_cuda_lane_close,
    .lane_stream = fr_cuda_lane_stream,
    .lane_mark = fr_cuda_lane_mark,
    .lane_passed = fr_cuda_lane_passed,
    .products = cuda_products,
    .products_try = fr_cuda_products_try,
    .products_settle = fr_cuda_products_settle,
    .linear = fr_cuda_linear,
    .linear_few = fr_cuda_linear_few,
    .linear_back = fr_cuda_linear_back,
    .gather_rows = fr_cuda_gather_rows,
    .rmsnorm = fr_cuda_rmsnorm,
    .rmsnorm_back = fr_cuda_rmsnorm_back,
    .layernorm = fr_cuda_layernorm,
    .layernorm_back = fr_cuda_layernorm_back,
    .add_bias = fr_cuda_add_bias,
    .rope = fr_cuda_rope,
    .rmsnorm_heads = fr_cuda_rmsnorm_heads,
    .rmsnorm_heads_back = fr_cuda_rmsnorm_heads_back,
    .save = fr_cuda_save,
    .restore = fr_cuda_restore,
    .add = fr_cuda_add,
    .add_scaled = fr_cuda_add_scaled,
    .scale = fr_cuda_scale,
    .gated = fr_cuda_gated,
    .gated_back = fr_cuda_gated_back,
    .save_gated = fr_cuda_save_gated,
    .restore_gated_back = fr_cuda_restore_gated_back,
    .activate = fr_cuda_activate,
    .activate_back = fr_cuda_activate_back,
    .attention = fr_cuda_attention,
    .attention_back = fr_cuda_attention_back,
    .shape_logits = fr_cuda_shape_logits,
    .cross_entropy = fr_cuda_cross_entropy,
    .exact_add = fr_cuda_exact_add,
    .exact_add_numbers = fr_cuda_exact_add_numbers,
    .copy_rows = fr_cuda_copy_rows,
    .scatter_rows = fr_cuda_scatter_rows,
    .add_table_rows = fr_cuda_add_table_rows,
    .add_rows = fr_cuda_add_rows,
    .fill_cache = fr_cuda_fill_cache,
    .qkv_finish = fr_cuda_qkv_finish,
    .sample_rows = fr_cuda_sample_rows,
};

/* ---- how one is made ------------------------------------------------------------------------------ */

/* FORERUN_SYNC: whether to wait after each kernel, so that a failure names it. */
static fr_status read_environment(fr_ctx *ctx, bool *waits)
{
    const char *text = getenv("FORERUN_SYNC");
    *waits = text != NULL && strcmp(text, "1") == 0;
    if (text != NULL && !*waits && strcmp(text, "0") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "FORERUN_SYNC is \"%s\", but must be 0, or 1 to wait after each "
                       "kernel of a GPU; unset it for 0",
                       text);
    }
    return FR_OK;
}

static fr_status check_environment(fr_ctx *ctx)
{
    bool waits = false;
    return read_environment(ctx, &waits);
}

static fr_status create(fr_ctx *ctx, fr_cuda_choice choice, int n_threads,
                        bool own_products, fr_device **out)
{
    bool waits = false;
    fr_cuda *cuda = NULL;
    *out = NULL;
    FR_TRY(read_environment(ctx, &waits));
    FR_TRY(fr_alloc(ctx, 1, sizeof *cuda, &cuda));
    cuda->base.ops = &OPS;
    cuda->base.n_threads = n_threads;
    cuda->waits = waits;
    fr_status status = fr_cuda_runtime_open(ctx, choice, cuda);
    if (status == FR_OK) {
        status = fr_cuda_memory_open(cuda);
    }
    if (status == FR_OK && own_products) {
        (void)snprintf(cuda->products, sizeof cuda->products,
                       "Forerun's own kernels, as run.products says");
    } else if (status == FR_OK) {
        status = fr_cuda_lt_open(cuda);
    }
    if (status != FR_OK) {
        cuda_destroy(&cuda->base);
        return status;
    }
    *out = &cuda->base;
    return FR_OK;
}

fr_status fr_cuda_create(fr_ctx *ctx, int ordinal, int n_threads, fr_device **out)
{
    return create(ctx, (fr_cuda_choice){.number = ordinal}, n_threads, true, out);
}

static fr_cuda_choice choice_of(int node_rank)
{
    return (fr_cuda_choice){.number = node_rank, .by_rank = true};
}

/* Every rank says which GPU it has, with as much of the number as tells the GPUs of a cluster apart. */
static fr_status create_by_rank(fr_ctx *ctx, const fr_device_params *params,
                                fr_device **out)
{
    FR_TRY(create(ctx, choice_of(params->node_rank), params->n_threads,
                  params->own_products, out));
    const fr_cuda *cuda = fr_cuda_of(*out);
    fr_log_own(ctx, FR_LOG_INFO, "computes on GPU %d (%s, %.12s)", cuda->ordinal,
               cuda->name, cuda->which);
    return FR_OK;
}

/* How much memory is free only a context can say. */
static fr_status ask_memory(fr_cuda *cuda, fr_device_facts *out)
{
    size_t available = 0;
    size_t total = 0;
    if (fr_cuda_took(cuda, cuda->driver.memory_info(&available, &total), "cuMemGetInfo",
                     "the GPU's memory")) {
        out->bytes = (int64_t)total;
        out->available = fr_max(0, (int64_t)available - fr_cuda_spared(out->bytes));
    }
    return fr_cuda_check(cuda);
}

static fr_status facts_by_rank(fr_ctx *ctx, int node_rank, fr_device_facts *out)
{
    fr_cuda cuda = {.base.ctx = ctx};
    (void)fr_device_facts_elsewhere("cuda", out);
    fr_status status = fr_cuda_context_open(ctx, choice_of(node_rank), &cuda);
    if (status == FR_OK) {
        (void)snprintf(out->which, sizeof out->which, "%s", cuda.which);
        (void)snprintf(out->name, sizeof out->name, "%s", cuda.name);
        status = ask_memory(&cuda, out);
    }
    fr_cuda_runtime_close(&cuda);
    return status;
}

const fr_backend fr_cuda_backend = {
    "cuda",        check_environment, fr_cuda_driver_is_installed,
    facts_by_rank, create_by_rank,    fr_cuda_lt_bytes};
