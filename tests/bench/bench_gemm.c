/*
 * bench_gemm - speed of the linear maps of SmolLM2-135M beside the peak of this core.
 *
 * bench_gemm [--threads N] [--isa NAME,...|all] [--repeat SECONDS] [--m ROWS]...
 * Instruction sets (default: the highest; all: those from AVX2 on) take turns, product by product, so what disturbs the
 * machine hits all. One line per shape, type, direction and set: GFLOP/s (best of the repetitions) and the share of the
 * set's f32 peak; then the maps of a layer together.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/mem.h"
#include "device/cpu/cpu.h"
#include "device/host.h"
#include "device/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_M = 8, N_DTYPES = FR_BF16 + 1 };

typedef struct bench_options {
    int n_threads;
    double seconds; /* for a product of a set */
    int n_sets;
    fr_isa sets[FR_ISA_COUNT];
    int n_m;
    int64_t m[MAX_M];
} bench_options;

/* An instruction set at work. */
typedef struct bench_set {
    fr_device *device;
    double peak;                   /* GFLOP/s of all threads */
    double best;                   /* seconds of the product that is timed now */
    double layer[N_DTYPES][MAX_M]; /* seconds of a layer's maps, both directions */
} bench_set;

typedef struct bench {
    fr_ctx *ctx;
    const bench_options *options;
    bench_set sets[FR_ISA_COUNT];
    float *x;
    float *y;
    void *weights;
} bench;

typedef struct bench_shape {
    const char *name;
    int64_t n_out;
    int64_t n_in;
} bench_shape;

enum { LAYER_SHAPES = 4 }; /* the first ones */

static const bench_shape SHAPES[] = {
    {"qkv", 960, 576},   {"attention out", 576, 576}, {"gate+up", 3072, 576},
    {"down", 576, 1536}, {"head", 49152, 576},
};

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- the peak ------------------------------------------------------------------------------ */

/* Rounds: milliseconds, for a core takes a while until its widest registers run at full speed. */
enum { CHAINS = 12, ROUNDS = 2000000 };

/* Independent multiply-add chains in the registers 0 to 11 of one width. */
#define RUN_CHAINS(width, rounds)                                                      \
    __asm__ volatile("vxorps %%xmm15, %%xmm15, %%xmm15\n"                              \
                     "1:\n"                                                            \
                     ".irp chain, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"              \
                     "vfmadd231ps %%" width "15, %%" width "15, %%" width "\\chain\n"  \
                     ".endr\n"                                                         \
                     "dec %0\n"                                                        \
                     "jnz 1b\n"                                                        \
                     "vzeroupper\n"                                                    \
                     : "+r"(rounds)                                                    \
                     :                                                                 \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",   \
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm15")

__attribute__((noinline)) static void run_chains(bool wide, int64_t rounds)
{
    if (wide) {
        RUN_CHAINS("zmm", rounds);
    } else {
        RUN_CHAINS("ymm", rounds);
    }
}

/* GFLOP/s of `n_threads` cores in f32 with the widest registers that `isa` allows, 0 below AVX2. */
static double measure_peak(fr_isa isa, int n_threads)
{
    const bool wide = isa >= FR_ISA_AVX512;
    const int lanes = wide ? 16 : 8;
    double best = 0.0;
    if (isa < FR_ISA_AVX2) {
        return 0.0;
    }
    for (int repeat = 0; repeat < 20; repeat++) {
        double start = now();
#pragma omp parallel num_threads(n_threads)
        {
            run_chains(wide, ROUNDS);
        }
        double rate = 2e-9 * lanes * CHAINS * ROUNDS * n_threads / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- the linear maps ----------------------------------------------------------------------- */

static fr_status time_once(bench *b, bench_set *set, const fr_matrix *w, int64_t m,
                           bool back)
{
    double start = now();
    if (back) {
        FR_TRY(fr_linear_back(set->device, m, fr_host_view(b->x), w, false,
                              fr_host_view(b->y)));
    } else {
        FR_TRY(fr_linear(set->device, m, fr_host_view(b->x), w, fr_view_none(),
                         fr_host_view(b->y)));
    }
    double seconds = now() - start;
    set->best = seconds < set->best ? seconds : set->best;
    return FR_OK;
}

/* The sets by turns, to each one's `best`. */
static fr_status time_map(bench *b, const fr_matrix *w, int64_t m, bool back)
{
    const int n_sets = b->options->n_sets;
    double stop = now() + b->options->seconds * n_sets;
    for (int s = 0; s < n_sets; s++) {
        b->sets[s].best = 1e30;
    }
    for (int i = 0; i < 3 || now() < stop; i++) {
        for (int s = 0; s < n_sets; s++) {
            FR_TRY(time_once(b, &b->sets[s], w, m, back));
        }
    }
    return FR_OK;
}

static const char *dtype_name(fr_dtype dtype)
{
    return dtype == FR_BF16 ? "bf16" : "f32";
}

/* A shape of a type and SHAPES[shape], with the rows of options->m[i]. */
static fr_status time_shape(bench *b, int shape, fr_dtype dtype, int i)
{
    fr_matrix w =
        fr_matrix_of(b->weights, dtype, SHAPES[shape].n_out, SHAPES[shape].n_in);
    int64_t m = b->options->m[i];
    double flop = 2e-9 * (double)(m * w.n_out * w.n_in);
    double bytes = (double)(w.n_out * w.n_in) * (double)fr_dtype_bytes(dtype);
    for (int back = 0; back < 2; back++) {
        FR_TRY(time_map(b, &w, m, back != 0));
        for (int s = 0; s < b->options->n_sets; s++) {
            bench_set *set = &b->sets[s];
            set->layer[dtype][i] += shape < LAYER_SHAPES ? set->best : 0.0;
            printf("%-14s %6lldx%-5lld %-5s %-8s %-11s m %5lld  %9.1f us  %7.1f GFLOP/s"
                   "  %5.1f %%  %5.1f GB/s\n",
                   SHAPES[shape].name, (long long)w.n_out, (long long)w.n_in,
                   dtype_name(dtype), back ? "backward" : "forward",
                   fr_isa_name(b->options->sets[s]), (long long)m, 1e6 * set->best,
                   flop / set->best,
                   set->peak > 0.0 ? 100.0 * flop / set->best / set->peak : 0.0,
                   1e-9 * bytes / set->best);
            (void)fflush(stdout);
        }
    }
    return FR_OK;
}

static fr_status time_all(bench *b)
{
    for (int dtype = FR_F32; dtype < N_DTYPES; dtype++) {
        for (int s = 0; s < (int)(sizeof SHAPES / sizeof *SHAPES); s++) {
            for (int i = 0; i < b->options->n_m; i++) {
                FR_TRY(time_shape(b, s, (fr_dtype)dtype, i));
            }
        }
    }
    return FR_OK;
}

/* A layer's maps in both directions, for each set and number of rows. */
static void print_layers(const bench *b)
{
    double flop = 0.0;
    for (int s = 0; s < LAYER_SHAPES; s++) {
        flop += 4e-9 * (double)(SHAPES[s].n_out * SHAPES[s].n_in);
    }
    for (int i = 0; i < b->options->n_m; i++) {
        for (int s = 0; s < b->options->n_sets; s++) {
            const bench_set *set = &b->sets[s];
            double rows = (double)b->options->m[i];
            printf(
                "a layer's maps %-11s m %5.0f  f32 %7.1f GFLOP/s  bf16 %7.1f GFLOP/s  "
                "bf16 / f32 %.2f\n",
                fr_isa_name(b->options->sets[s]), rows,
                rows * flop / set->layer[FR_F32][i],
                rows * flop / set->layer[FR_BF16][i],
                set->layer[FR_F32][i] / set->layer[FR_BF16][i]);
        }
    }
}

static fr_status make_sets(bench *b)
{
    for (int s = 0; s < b->options->n_sets; s++) {
        FR_TRY(fr_cpu_create(b->ctx, b->options->n_threads, b->options->sets[s],
                             &b->sets[s].device));
        b->sets[s].peak = measure_peak(b->options->sets[s], b->options->n_threads);
        printf("%s, %d threads, f32 peak %.1f GFLOP/s\n",
               fr_isa_name(b->options->sets[s]), b->options->n_threads,
               b->sets[s].peak);
    }
    return FR_OK;
}

static fr_status run(bench *b)
{
    enum { MAX_SIDE = 49152, MAX_WEIGHTS = 49152 * 576 };
    const bench_options *options = b->options;
    int64_t rows = 1;
    for (int i = 0; i < options->n_m; i++) {
        rows = options->m[i] > rows ? options->m[i] : rows;
    }
    FR_TRY(fr_alloc(b->ctx, rows * MAX_SIDE, sizeof *b->x, &b->x));
    FR_TRY(fr_alloc(b->ctx, rows * MAX_SIDE, sizeof *b->y, &b->y));
    FR_TRY(fr_alloc(b->ctx, MAX_WEIGHTS, sizeof(float), &b->weights));
    for (int64_t i = 0; i < rows * MAX_SIDE; i++) {
        b->x[i] = (float)(i % 17) - 8.0F;
    }
    memset(b->weights, 0x3d, MAX_WEIGHTS * sizeof(float));
    FR_TRY(make_sets(b));
    FR_TRY(time_all(b));
    print_layers(b);
    return FR_OK;
}

/* Names with commas between, or all. */
static bool parse_sets(const char *text, bench_options *options)
{
    char copy[64];
    char *rest = NULL;
    options->n_sets = 0;
    if (strcmp(text, "all") == 0) {
        fr_isa highest = fr_isa_detect();
        int isa = highest > FR_ISA_AVX2 ? FR_ISA_AVX2 : (int)highest;
        for (; isa <= (int)highest; isa++) {
            options->sets[options->n_sets++] = (fr_isa)isa;
        }
        return true;
    }
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *name = strtok_r(copy, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        if (options->n_sets == FR_ISA_COUNT ||
            !fr_isa_find(name, &options->sets[options->n_sets])) {
            return false;
        }
        options->n_sets++;
    }
    return options->n_sets > 0;
}

static bool parse(int argc, char **argv, bench_options *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0) {
            options->n_threads = atoi(value);
        } else if (strcmp(argv[i], "--repeat") == 0) {
            options->seconds = strtod(value, NULL);
        } else if (strcmp(argv[i], "--m") == 0 && options->n_m < MAX_M) {
            options->m[options->n_m] = atoll(value);
            options->n_m++;
        } else if (strcmp(argv[i], "--isa") != 0 || !parse_sets(value, options)) {
            return false;
        }
    }
    return argc % 2 == 1;
}

int main(int argc, char **argv)
{
    static const int64_t DEFAULT_M[] = {1, 8, 64, 256, 472, 1024};
    bench_options options = {
        .n_threads = 1, .seconds = 0.2, .n_sets = 1, .sets = {fr_isa_detect()}};
    bench b = {.options = &options};
    fr_status status = FR_ERR_ARG;
    if (!parse(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: bench_gemm [--threads N] [--isa NAME,...|all] "
                              "[--repeat SECONDS] [--m ROWS]...\n");
        return EXIT_FAILURE;
    }
    if (options.n_m == 0) {
        options.n_m = (int)(sizeof DEFAULT_M / sizeof *DEFAULT_M);
        memcpy(options.m, DEFAULT_M, sizeof DEFAULT_M);
    }
    b.ctx = fr_ctx_create();
    if (b.ctx != NULL) {
        status = run(&b);
        (void)fprintf(stderr, "%s", fr_ctx_error(b.ctx));
    }
    free(b.x);
    free(b.y);
    free(b.weights);
    for (int s = 0; s < options.n_sets; s++) {
        fr_device_destroy(&b.sets[s].device);
    }
    fr_ctx_destroy(&b.ctx);
    return status == FR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
