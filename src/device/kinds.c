#include "device/kinds.h"

#include "device/backends.h"
#include "device/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

/* NULL: no such kind is built in. */
static const fr_backend *find(const char *kind)
{
    if (strcmp(kind, "auto") == 0) {
        return fr_backends[0];
    }
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

fr_status fr_device_check_kind(fr_ctx *ctx, const char *name, const char *kind)
{
    enum { LIST_BYTES = 128 };
    char list[LIST_BYTES];
    const fr_backend *backend = find(kind);
    if (backend == NULL) {
        list_kinds(list, sizeof list);
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s is %s, which this program is built without; set it to %s",
                       name, kind, list);
    }
    return backend->check(ctx);
}

fr_status fr_device_facts_of(fr_ctx *ctx, const char *kind, fr_device_facts *out)
{
    *out = (fr_device_facts){.in_host_memory = true};
    FR_TRY(fr_device_check_kind(ctx, "the device", kind));
    const fr_backend *backend = find(kind);
    return backend->facts != NULL ? backend->facts(ctx, out) : FR_OK;
}

fr_status fr_device_create_host(fr_ctx *ctx, int n_threads, fr_device **out)
{
    return fr_cpu_backend.create(ctx, n_threads, out);
}

fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params, fr_device **out)
{
    *out = NULL;
    FR_TRY(fr_device_check_kind(ctx, "the device", params->kind));
    if (params->n_threads < 1) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "a device cannot have %d threads, but must have at least 1; set "
                       "run.threads",
                       params->n_threads);
    }
    return find(params->kind)->create(ctx, params->n_threads, out);
}
