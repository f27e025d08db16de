/* The CPU as a device: how one is made, its memory, and the table of its operators. */
#include "device/cpu/cpu.h"

#include "base/integer.h"
#include "base/mem.h"
#include "device/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: the host's, so that copies are done when they return ---------------------------- */

static fr_status cpu_alloc(fr_device *device, int64_t bytes, void **out)
{
    return fr_alloc(device->ctx, bytes, 1, out);
}

static void cpu_free(fr_device *device, void *memory)
{
    (void)device;
    free(memory);
}

static void cpu_put(fr_device *device, void *to, void *from, int64_t bytes)
{
    (void)device;
    memcpy(to, from, (size_t)bytes);
}

static void cpu_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    (void)device;
    memcpy(to, from, (size_t)bytes);
}

/* What moves within the device is shared among the threads, as one core does not use the bandwidth of a processor. A chunk is
 * long enough for the processor's prefetch and short enough for an even share. */
enum { CHUNK = 16 << 10 };

static void cpu_copy(fr_device *device, void *to, const void *from, int64_t bytes)
{
    int threads = fr_kernels_threads(device->n_threads, bytes / (int64_t)sizeof(float));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < bytes; start += CHUNK) {
        memcpy((char *)to + start, (const char *)from + start,
               (size_t)fr_min(bytes - start, CHUNK));
    }
}

bool fr_cpu_begin_sum(fr_device *device, int64_t n, fr_view add, fr_view y)
{
    if (add.at != NULL && add.at != y.at) {
        cpu_copy(device, y.at, add.at, n * (int64_t)sizeof(float));
    }
    return add.at != NULL;
}

static void cpu_zero(fr_device *device, void *to, int64_t bytes)
{
    int threads = fr_kernels_threads(device->n_threads, bytes / (int64_t)sizeof(float));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t start = 0; start < bytes; start += CHUNK) {
        memset((char *)to + start, 0, (size_t)fr_min(bytes - start, CHUNK));
    }
}

static fr_mark cpu_mark(fr_device *device)
{
    (void)device;
    return (fr_mark){0};
}

static bool cpu_passed(fr_device *device, fr_mark mark)
{
    (void)device;
    (void)mark;
    return true;
}

/* ---- the device --------------------------------------------------------------------------------- */

static void cpu_destroy(fr_device *device)
{
    fr_cpu *cpu = (fr_cpu *)device;
    for (int use = 0; use < FR_SCRATCH_USES; use++) {
        free(cpu->scratch[use].data);
    }
    free(cpu);
}

/* A change that gives any operator other bits must raise the number. Checkpoints from before this text name an
 * instruction set instead. */
static const char *cpu_arithmetic(const fr_device *device)
{
    (void)device;
    return "cpu 1";
}

/* Kernels compute with f32 in memory, so nothing else is passed on; keeping half the bytes saves memory. */
static fr_dtype cpu_work(const fr_device *device, fr_dtype precision)
{
    (void)device;
    (void)precision;
    return FR_F32;
}

static fr_dtype cpu_kept(const fr_device *device, fr_dtype precision)
{
    (void)device;
    return precision;
}

static fr_device_variant cpu_variant(const fr_device *device)
{
    const fr_cpu *cpu = fr_cpu_of(device);
    fr_device_variant out = {{0}, {0}};
    (void)snprintf(out.name, sizeof out.name, "%s", fr_isa_name(cpu->isa));
    if (cpu->asked < FR_ISA_COUNT) {
        (void)snprintf(out.wish, sizeof out.wish, "FORERUN_ISA=%s%s",
                       fr_isa_name(cpu->asked),
                       cpu->asked > cpu->isa ? ", which the processor lacks" : "");
    }
    return out;
}

/* One buffer for each use, which only grows. So a run allocates in its first step, and the content of a buffer is
 * lost with the next call for the same use. */
fr_status fr_cpu_scratch(fr_device *device, fr_scratch_use use, int64_t count,
                         float **out)
{
    fr_scratch *scratch = &((fr_cpu *)device)->scratch[use];
    *out = NULL;
    if (count > scratch->count || scratch->data == NULL) {
        free(scratch->data);
        scratch->count = 0;
        FR_TRY(fr_alloc(device->ctx, count, sizeof *scratch->data, &scratch->data));
        scratch->count = count;
    }
    *out = scratch->data;
    return FR_OK;
}

static const fr_device_ops OPS = {
    .in_host_memory = true,
    .destroy = cpu_destroy,
    .arithmetic = cpu_arithmetic,
    .variant = cpu_variant,
    .work = cpu_work,
    .kept = cpu_kept,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .host_alloc = cpu_alloc,
    .host_free = cpu_free,
    .put_keeps = true,
    .put = cpu_put,
    .get = cpu_get,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .mark = cpu_mark,
    .passed = cpu_passed,
    .linear = fr_cpu_linear,
    .linear_few = fr_cpu_linear_few,
    .linear_back = fr_cpu_linear_back,
    .gather_rows = fr_cpu_gather_rows,
    .rmsnorm = fr_cpu_rmsnorm,
    .rmsnorm_back = fr_cpu_rmsnorm_back,
    .layernorm = fr_cpu_layernorm,
    .layernorm_back = fr_cpu_layernorm_back,
    .add_bias = fr_cpu_add_bias,
    .rope = fr_cpu_rope,
    .rmsnorm_heads = fr_cpu_rmsnorm_heads,
    .rmsnorm_heads_back = fr_cpu_rmsnorm_heads_back,
    .save = fr_cpu_save,
    .restore = fr_cpu_restore,
    .add = fr_cpu_add,
    .add_scaled = fr_cpu_add_scaled,
    .scale = fr_cpu_scale,
    .gated = fr_cpu_gated,
    .gated_back = fr_cpu_gated_back,
    .save_gated = fr_cpu_save_gated,
    .restore_gated_back = fr_cpu_restore_gated_back,
    .activate = fr_cpu_activate,
    .activate_back = fr_cpu_activate_back,
    .attention = fr_cpu_attention,
    .attention_back = fr_cpu_attention_back,
    .shape_logits = fr_cpu_shape_logits,
    .cross_entropy = fr_cpu_cross_entropy,
    .copy_rows = fr_cpu_copy_rows,
    .scatter_rows = fr_cpu_scatter_rows,
    .add_table_rows = fr_cpu_add_table_rows,
    .add_rows = fr_cpu_add_rows,
    .fill_cache = fr_cpu_fill_cache,
    .qkv_finish = fr_cpu_qkv_finish,
    .sample_rows = fr_cpu_sample_rows,
    .exact_add = fr_cpu_exact_add,
    .exact_add_numbers = fr_cpu_exact_add_numbers,
};

/* Scratch memory is taken when an operator first needs it, so nothing else is allocated here. */
static fr_status create(fr_ctx *ctx, int n_threads, const fr_isa_choice *choice,
                        fr_device **out)
{
    fr_cpu *cpu = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *cpu, &cpu));
    cpu->base.ops = &OPS;
    cpu->base.ctx = ctx;
    cpu->base.n_threads = n_threads;
    cpu->isa = choice->isa;
    cpu->asked = choice->asked;
    *out = &cpu->base;
    return FR_OK;
}

/* A higher set than the processor's would end in an illegal instruction. */
fr_status fr_cpu_create(fr_ctx *ctx, int n_threads, fr_isa isa, fr_device **out)
{
    fr_isa_choice choice = {.isa = isa, .asked = FR_ISA_COUNT};
    fr_isa best = fr_isa_detect();
    *out = NULL;
    if (isa > best) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "the instruction set %s is wanted, but this processor has %s; choose "
            "that or a lower one",
            fr_isa_name(isa), fr_isa_name(best));
    }
    return create(ctx, n_threads, &choice, out);
}

static fr_status check_environment(fr_ctx *ctx)
{
    fr_isa_choice choice;
    return fr_isa_choose(ctx, fr_isa_detect(), &choice);
}

static fr_status create_best(fr_ctx *ctx, const fr_device_params *params,
                             fr_device **out)
{
    fr_isa_choice choice;
    *out = NULL;
    FR_TRY(fr_isa_choose(ctx, fr_isa_detect(), &choice));
    return create(ctx, params->n_threads, &choice, out);
}

const fr_backend fr_cpu_backend = {
    .kind = "cpu", .check = check_environment, .create = create_best};
