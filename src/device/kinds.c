#include "device/kinds.h"

#include "device/backends.h"
#include "device/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

/* NULL: no such kind is built in. */
static const fr_backend *find(const char *kind)
{
    for (int i = 0; fr_backends[i] != NULL; i++) {
        if (strcmp(fr_backends[i]->kind, kind) == 0) {
            return fr_backends[i];
        }
    }
    return NULL;
}

/* "auto, cpu" */
static void list_kinds(char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "auto");
    for (int i = 0; fr_backends[i] != NULL && used < bytes; i++) {
        used +=
            (size_t)snprintf(out + used, bytes - used, " or %s", fr_backends[i]->kind);
    }
}

/* Of "auto" it is the environment of all of them: which it will be is not looked at, since that takes a while. */
fr_status fr_device_check_kind(fr_ctx *ctx, const char *name, const char *kind)
{
    enum { LIST_BYTES = 128 };
    char list[LIST_BYTES];
    bool is_auto = strcmp(kind, "auto") == 0;
    if (!is_auto && find(kind) == NULL) {
        list_kinds(list, sizeof list);
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s is %s, which this program is built without; set it to %s",
                       name, kind, list);
    }
    for (int i = 0; fr_backends[i] != NULL; i++) {
        if (is_auto || strcmp(fr_backends[i]->kind, kind) == 0) {
            FR_TRY(fr_backends[i]->check(ctx));
        }
    }
    return FR_OK;
}

/* Whether there is a device of that kind. */
static bool is_here(fr_ctx *ctx, const fr_backend *backend, int node_rank)
{
    fr_device_facts facts;
    if (backend->is_installed != NULL && !backend->is_installed()) {
        return false;
    }
    if (backend->facts == NULL || backend->facts(ctx, node_rank, &facts) == FR_OK) {
        return true;
    }
    fr_log(ctx, FR_LOG_WARN, "auto does not choose the device %s: %s", backend->kind,
           fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return false;
}

fr_status fr_device_settle(fr_ctx *ctx, const char *asked, int node_rank,
                           const char **kind)
{
    *kind = asked;
    FR_TRY(fr_device_check_kind(ctx, "the device", asked));
    if (strcmp(asked, "auto") == 0) {
        int i = 0;
        while (fr_backends[i + 1] != NULL && !is_here(ctx, fr_backends[i], node_rank)) {
            i++;
        }
        *kind = fr_backends[i]->kind;
    }
    return FR_OK;
}

fr_status fr_device_facts_of(fr_ctx *ctx, const char *kind, int node_rank,
                             fr_device_facts *out)
{
    *out = (fr_device_facts){.in_host_memory = true};
    FR_TRY(fr_device_settle(ctx, kind, node_rank, &kind));
    const fr_backend *backend = find(kind);
    return backend->facts != NULL ? backend->facts(ctx, node_rank, out) : FR_OK;
}

int64_t fr_device_products_bytes(fr_ctx *ctx, const char *kind)
{
    const fr_backend *backend = find(kind);
    return backend != NULL && backend->products_bytes != NULL
               ? backend->products_bytes(ctx)
               : 0;
}

bool fr_device_facts_elsewhere(const char *kind, fr_device_facts *out)
{
    static const struct known {
        const char *kind;
        fr_device_facts facts;
    } KNOWN[] = {{"cuda",
                  {.work = FR_BF16,
                   .scratch = fr_scratch_cuda,
                   .products = FR_SCRATCH_CUDA_PRODUCTS,
                   .sums_by_library = true}},
                 {"cpu", {.in_host_memory = true}}};
    bool is_auto = strcmp(kind, "auto") == 0;
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        if (is_auto || strcmp(kind, KNOWN[i].kind) == 0) {
            *out = KNOWN[i].facts;
            return true;
        }
    }
    return false;
}

fr_status fr_device_create_host(fr_ctx *ctx, int n_threads, fr_device **out)
{
    fr_device_params params = {.kind = "cpu", .n_threads = n_threads};
    return fr_cpu_backend.create(ctx, &params, out);
}

fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params, fr_device **out)
{
    const char *kind = NULL;
    *out = NULL;
    if (params->n_threads < 1) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "a device cannot have %d threads, but must have at least 1; set "
                       "run.threads",
                       params->n_threads);
    }
    FR_TRY(fr_device_settle(ctx, params->kind, params->node_rank, &kind));
    return find(kind)->create(ctx, params, out);
}
