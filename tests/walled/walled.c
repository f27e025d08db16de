/*
 * walled.c - a device for tests: the CPU, behind a wall.
 *
 * It takes the place of the CPU in a program that is linked with this file (backends.h), and computes with its operators. But
 *
 *   memory   cannot be read or written (PROT_NONE) outside operators and copies: a host that looks crashes. What operators
 *            and copies get must lie on the right side of the wall
 *   marks    pass late: after a number of questions that a seed decides (WALL_SEED)
 *   get      delivers when a mark behind it passes; until then its target holds rubbish
 *   put      leaves rubbish in its source
 *   free     leaves rubbish in its memory
 *   room     is as small as WALL_MEMORY says
 *   types    with WALL_WORK=bf16 it works in bf16 where the model does (narrow.h)
 *
 * So a program whose results are those of the plain CPU (but for bf16 between operators) follows memory.h, as far as its run
 * goes. Work itself is done at the call: that it may come late is seen by the host through marks alone.
 */
#define _GNU_SOURCE
#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "base/rng.h"
#include "device/backends.h"
#include "device/cpu/cpu.h"
#include "device/pool.h"
#include "narrow.h"
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space behind the wall; of what is not used nothing is in memory. WALL_MEMORY says how much of it the device has. */
#define REGION_BYTES ((int64_t)1 << 36)

enum { RUBBISH = 0xA7, MOST_QUESTIONS = 5 };

/* A get that has not been delivered. */
typedef struct delivery {
    struct delivery *next;
    uint64_t at; /* its place in the order of work */
    void *to;
    int64_t bytes;
    char copy[];
} delivery;

/* A copy ahead that nobody has awaited. */
typedef struct coming {
    struct coming *next;
    char *to;
    const char *from;
    int64_t bytes;
} coming;

typedef struct walled {
    fr_device base; /* first */
    fr_device *cpu;
    void *mapping; /* with the region behind the wall */
    wall wall;
    fr_pool *pool; /* of the region */
    int64_t room;
    narrow narrow;
    int depth; /* of calls that have opened the wall */
    uint64_t clock;
    uint64_t passed;
    uint64_t seed;
    uint64_t questions; /* asked so far */
    delivery *first;    /* oldest */
    delivery **end;
    coming *ahead[FR_AHEAD_SLOTS]; /* the latest first */
} walled;

static walled *of(fr_device *device)
{
    return (walled *)device;
}

static fr_device *cpu_of(fr_device *device)
{
    return of(device)->cpu;
}

_Noreturn static void stop(const char *what)
{
    perror(what);
    abort();
}

static void set_wall(const walled *w, int protection)
{
    if (w->wall.used > 0 &&
        mprotect(w->wall.region, (size_t)w->wall.used, protection) != 0) {
        stop("walled device: mprotect");
    }
}

/* A link may copy while an operator computes, hence the depth. */
static void enter(fr_device *device)
{
    walled *w = of(device);
    if (w->depth++ == 0) {
        set_wall(w, PROT_READ | PROT_WRITE);
    }
}

static void leave(fr_device *device)
{
    walled *w = of(device);
    if (--w->depth == 0) {
        set_wall(w, PROT_NONE);
    }
}

/* ---- memory ------------------------------------------------------------------------------------- */

static fr_status grow(void *context, int64_t bytes)
{
    walled *w = context;
    w->wall.used = bytes;
    set_wall(w, w->depth > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
    return FR_OK;
}

static int64_t available(void *context)
{
    const walled *w = context;
    return fr_max(0, w->room - w->wall.used);
}

static fr_status walled_reserve(fr_device *device, int64_t bytes)
{
    return fr_pool_reserve(of(device)->pool, bytes);
}

static int64_t walled_room(const fr_device *device)
{
    const walled *w = (const walled *)device;
    return w->room - fr_pool_used(w->pool);
}

static int64_t walled_most_used(const fr_device *device)
{
    return fr_pool_most_used(((const walled *)device)->pool);
}

static fr_status walled_alloc(fr_device *device, int64_t bytes, void **out)
{
    FR_TRY(fr_pool_take(of(device)->pool, bytes, out));
    enter(device);
    memset(*out, 0, (size_t)fr_pool_block_bytes(of(device)->pool, *out));
    leave(device);
    return FR_OK;
}

/* The memory may belong to another by the time that they arrive. */
static void check_ahead(const walled *w, const char *memory, int64_t bytes)
{
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        for (const coming *c = w->ahead[slot]; c != NULL; c = c->next) {
            if (c->to < memory + bytes && memory < c->to + c->bytes) {
                (void)fprintf(stderr,
                              "walled device: free: a copy ahead is not awaited\n");
                abort();
            }
        }
    }
}

static void walled_free(fr_device *device, void *memory)
{
    of(device)->wall.call = "free";
    check_device(&of(device)->wall, memory);
    if (memory != NULL) {
        check_ahead(of(device), memory, fr_pool_block_bytes(of(device)->pool, memory));
        enter(device);
        memset(memory, RUBBISH, (size_t)fr_pool_give(of(device)->pool, memory));
        leave(device);
    }
}

static fr_status walled_host_alloc(fr_device *device, int64_t bytes, void **out)
{
    return fr_alloc(device->ctx, bytes, 1, out);
}

static void walled_host_free(fr_device *device, void *memory)
{
    (void)device;
    free(memory);
}

static void walled_put(fr_device *device, void *to, void *from, int64_t bytes)
{
    of(device)->wall.call = "put";
    check_device(&of(device)->wall, to);
    check_host(&of(device)->wall, from);
    enter(device);
    memcpy(to, from, (size_t)bytes);
    leave(device);
    memset(from, RUBBISH, (size_t)bytes);
    of(device)->clock++;
}

static void walled_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    walled *w = of(device);
    delivery *d = malloc(sizeof *d + (size_t)bytes);
    if (d == NULL) {
        stop("walled device: malloc");
    }
    w->wall.call = "get";
    check_host(&w->wall, to);
    check_device(&w->wall, from);
    *d = (delivery){.at = ++w->clock, .to = to, .bytes = bytes};
    enter(device);
    memcpy(d->copy, from, (size_t)bytes);
    leave(device);
    memset(to, RUBBISH, (size_t)bytes);
    *w->end = d;
    w->end = &d->next;
}

/* Until it is awaited there is rubbish. */
static void walled_ahead(fr_device *device, int slot, void *to, const void *from,
                         int64_t bytes)
{
    walled *w = of(device);
    coming *c = malloc(sizeof *c);
    if (c == NULL) {
        stop("walled device: malloc");
    }
    w->wall.call = "ahead";
    check_device(&w->wall, to);
    check_host(&w->wall, from);
    *c = (coming){w->ahead[slot], to, from, bytes};
    w->ahead[slot] = c;
    enter(device);
    memset(to, RUBBISH, (size_t)bytes);
    leave(device);
    w->clock++;
}

/* In the order in which they were asked. */
static void arrive(coming *c)
{
    if (c != NULL) {
        arrive(c->next);
        memcpy(c->to, c->from, (size_t)c->bytes);
        free(c);
    }
}

static void walled_await(fr_device *device, int slot)
{
    walled *w = of(device);
    enter(device);
    arrive(w->ahead[slot]);
    leave(device);
    w->ahead[slot] = NULL;
    w->clock++;
}

static fr_mark walled_mark(fr_device *device)
{
    return (fr_mark){++of(device)->clock};
}

/* Everything up to `at` is done. */
static void pass(walled *w, uint64_t at)
{
    w->passed = at;
    while (w->first != NULL && w->first->at <= at) {
        delivery *d = w->first;
        memcpy(d->to, d->copy, (size_t)d->bytes);
        w->first = d->next;
        w->end = w->first == NULL ? &w->first : w->end;
        free(d);
    }
}

/* Of MOST_QUESTIONS questions about marks that have not passed, one lets the oldest work on by a part or the whole. */
static bool walled_passed(fr_device *device, fr_mark mark)
{
    walled *w = of(device);
    if (mark.at > w->passed) {
        double draw = fr_rng_uniform(w->seed, FR_RNG_TEST, 0, w->questions++);
        if (draw < 1.0 / MOST_QUESTIONS) {
            uint64_t part =
                (uint64_t)((double)(mark.at - w->passed) * draw * MOST_QUESTIONS) + 1;
            pass(w, w->passed + part < mark.at ? w->passed + part : mark.at);
        }
    }
    return mark.at <= w->passed;
}

#include "operators.h"

/* ---- the device --------------------------------------------------------------------------------- */

static void walled_destroy(fr_device *device)
{
    walled *w = of(device);
    while (w->first != NULL) {
        delivery *d = w->first;
        w->first = d->next;
        free(d);
    }
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        while (w->ahead[slot] != NULL) {
            coming *c = w->ahead[slot];
            w->ahead[slot] = c->next;
            free(c);
        }
    }
    narrow_close(&w->narrow, REGION_BYTES);
    fr_pool_destroy(&w->pool);
    (void)munmap(w->mapping, (size_t)(REGION_BYTES + FR_POOL_GRAIN_BYTES));
    fr_device_destroy(&w->cpu);
    free(w);
}

static const char *walled_arithmetic(const fr_device *device)
{
    const walled *w = (const walled *)device;
    return w->narrow.places != NULL ? "walled 1 in bf16" : fr_device_arithmetic(w->cpu);
}

static fr_dtype walled_work(const fr_device *device, fr_dtype precision)
{
    const walled *w = (const walled *)device;
    return w->narrow.places != NULL ? precision : fr_device_work(w->cpu, precision);
}

static fr_dtype walled_kept(const fr_device *device, fr_dtype precision)
{
    return fr_device_kept(((const walled *)device)->cpu, precision);
}

static fr_device_variant walled_variant(const fr_device *device)
{
    return fr_device_variant_of(((const walled *)device)->cpu);
}

/* The CPU's operators call the progress of their own device. What it leads to is the host's work: it meets the wall, where
 * no other thread computes meanwhile. */
static void forward_progress(void *device)
{
    walled *w = of(device);
    int depth = w->depth;
    if (w->base.n_threads == 1) {
        w->depth = 0;
        set_wall(w, PROT_NONE);
    }
    fr_device_progress(device);
    if (w->base.n_threads == 1) {
        w->depth = depth;
        set_wall(w, PROT_READ | PROT_WRITE);
    }
}

static const fr_device_ops OPS = {
    .in_host_memory = false,
    .destroy = walled_destroy,
    .arithmetic = walled_arithmetic,
    .variant = walled_variant,
    .reserve = walled_reserve,
    .room = walled_room,
    .most_used = walled_most_used,
    .work = walled_work,
    .kept = walled_kept,
    .alloc = walled_alloc,
    .free = walled_free,
    .host_alloc = walled_host_alloc,
    .host_free = walled_host_free,
    .put = walled_put,
    .get = walled_get,
    .ahead = walled_ahead,
    .await = walled_await,
    .copy = walled_copy,
    .zero = walled_zero,
    .mark = walled_mark,
    .passed = walled_passed,
    .linear = walled_linear,
    .linear_few = walled_linear_few,
    .linear_back = walled_linear_back,
    .gather_rows = walled_gather_rows,
    .rmsnorm = walled_rmsnorm,
    .rmsnorm_back = walled_rmsnorm_back,
    .layernorm = walled_layernorm,
    .layernorm_back = walled_layernorm_back,
    .add_bias = walled_add_bias,
    .rope = walled_rope,
    .rmsnorm_heads = walled_rmsnorm_heads,
    .rmsnorm_heads_back = walled_rmsnorm_heads_back,
    .save = walled_save,
    .restore = walled_restore,
    .add = walled_add,
    .add_scaled = walled_add_scaled,
    .scale = walled_scale,
    .gated = walled_gated,
    .gated_back = walled_gated_back,
    .save_gated = walled_save_gated,
    .restore_gated_back = walled_restore_gated_back,
    .activate = walled_activate,
    .activate_back = walled_activate_back,
    .attention = walled_attention,
    .attention_back = walled_attention_back,
    .shape_logits = walled_shape_logits,
    .cross_entropy = walled_cross_entropy,
    .exact_add = walled_exact_add,
    .exact_add_numbers = walled_exact_add_numbers,
    .copy_rows = walled_copy_rows,
    .scatter_rows = walled_scatter_rows,
    .add_table_rows = walled_add_table_rows,
    .add_rows = walled_add_rows,
    .fill_cache = walled_fill_cache,
    .qkv_finish = walled_qkv_finish,
    .sample_rows = walled_sample_rows,
};

static int64_t bytes_of_device(void)
{
    int64_t bytes = REGION_BYTES;
    const char *text = getenv("WALL_MEMORY");
    if (text != NULL && !fr_size_read(text, &bytes)) {
        stop("walled device: WALL_MEMORY");
    }
    return bytes;
}

static fr_dtype asked_work(void)
{
    const char *text = getenv("WALL_WORK");
    return text != NULL && strcmp(text, "bf16") == 0 ? FR_BF16 : FR_F32;
}

/* In large pages, so that the wall goes up and down in little time. */
static void make_region(walled *w)
{
    w->mapping = mmap(NULL, (size_t)(REGION_BYTES + FR_POOL_GRAIN_BYTES), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->mapping == MAP_FAILED) {
        stop("walled device: mmap");
    }
    w->wall.region = (char *)fr_round_up((intptr_t)w->mapping, FR_POOL_GRAIN_BYTES);
    (void)madvise(w->wall.region, (size_t)REGION_BYTES, MADV_HUGEPAGE);
}

static fr_status walled_create(fr_ctx *ctx, const fr_device_params *params,
                               fr_device **out)
{
    walled *w = NULL;
    const char *seed = getenv("WALL_SEED");
    FR_TRY(fr_alloc(ctx, 1, sizeof *w, &w));
    *w = (walled){.base = {.ops = &OPS, .ctx = ctx, .n_threads = params->n_threads},
                  .room = bytes_of_device(),
                  .seed = seed != NULL ? strtoull(seed, NULL, 10) : 1};
    w->end = &w->first;
    make_region(w);
    if (asked_work() == FR_BF16 &&
        !narrow_open(&w->narrow, w->wall.region, REGION_BYTES)) {
        stop("walled device: mmap of f32");
    }
    fr_pool_source source = {w->wall.region, w, grow, available};
    *out = &w->base;
    fr_status status = fr_pool_create(ctx, &source, &w->pool);
    if (status == FR_OK) {
        status = fr_cpu_backend.create(ctx, params, &w->cpu);
    }
    if (status != FR_OK) {
        fr_device_destroy(out);
        return status;
    }
    fr_device_set_progress(w->cpu, forward_progress, w);
    return FR_OK;
}

static fr_status walled_facts(fr_ctx *ctx, int node_rank, fr_device_facts *out)
{
    (void)ctx;
    (void)node_rank;
    int64_t bytes = bytes_of_device();
    *out = (fr_device_facts){.bytes = bytes, .available = bytes, .work = asked_work()};
    return FR_OK;
}

static fr_status walled_check(fr_ctx *ctx)
{
    return fr_cpu_backend.check(ctx);
}

/* It passes for the CPU: configs and checkpoints are the same. */
static const fr_backend WALLED_BACKEND = {.kind = "cpu",
                                          .check = walled_check,
                                          .facts = walled_facts,
                                          .create = walled_create};

const fr_backend *const fr_backends[] = {&WALLED_BACKEND, NULL};
