/*
 * bench_gemm - speed of the linear maps beside the peak of this core.
 *
 * bench_gemm [--threads N] [--isa NAME] [--repeat SECONDS] [--m M]...
 * One line per shape, type and direction: GFLOP/s (best of the repetitions) and the share of the peak.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/mem.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_M = 8 };

typedef struct bench_options {
    int n_threads;
    double seconds;
    fr_isa isa;
    int n_m;
    int64_t m[MAX_M];
} bench_options;

typedef struct bench {
    fr_ctx *ctx;
    fr_device *device;
    const bench_options *options;
    double peak; /* GFLOP/s of all threads */
    float *x;
    float *y;
    void *weights;
} bench;

typedef struct bench_shape {
    const char *name;
    int64_t n_out;
    int64_t n_in;
} bench_shape;

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

static fr_status time_map(bench *b, const fr_matrix *w, int64_t m, bool back,
                          double *best)
{
    double stop = now() + b->options->seconds;
    *best = 1e30;
    for (int i = 0; i < 3 || now() < stop; i++) {
        double start = now();
        if (back) {
            FR_TRY(fr_linear_back(b->device, m, b->x, w, false, b->y));
        } else {
            FR_TRY(fr_linear(b->device, m, b->x, w, false, b->y));
        }
        double seconds = now() - start;
        *best = seconds < *best ? seconds : *best;
    }
    return FR_OK;
}

static fr_status time_shape(bench *b, const bench_shape *shape, fr_dtype dtype,
                            int64_t m)
{
    fr_matrix w = fr_matrix_of(b->weights, dtype, shape->n_out, shape->n_in);
    for (int back = 0; back < 2; back++) {
        double seconds = 0.0;
        FR_TRY(time_map(b, &w, m, back != 0, &seconds));
        double rate = 2e-9 * (double)(m * w.n_out * w.n_in) / seconds;
        double bytes = (double)(w.n_out * w.n_in) * (double)fr_dtype_bytes(dtype);
        printf(
            "%-14s %6lldx%-5lld %-5s %-8s m %5lld  %9.1f us  %7.1f GFLOP/s  %5.1f %%  "
            "%5.1f GB/s\n",
            shape->name, (long long)w.n_out, (long long)w.n_in,
            dtype == FR_BF16 ? "bf16" : "f32", back ? "backward" : "forward",
            (long long)m, 1e6 * seconds, rate,
            b->peak > 0.0 ? 100.0 * rate / b->peak : 0.0, 1e-9 * bytes / seconds);
    }
    return FR_OK;
}

static fr_status time_all(bench *b)
{
    for (int dtype = FR_F32; dtype <= FR_BF16; dtype++) {
        for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++) {
            for (int i = 0; i < b->options->n_m; i++) {
                FR_TRY(time_shape(b, &SHAPES[s], (fr_dtype)dtype, b->options->m[i]));
            }
        }
    }
    return FR_OK;
}

static fr_status run(bench *b)
{
    enum { MAX_SIDE = 49152, MAX_WEIGHTS = 49152 * 576 };
    const bench_options *options = b->options;
    fr_device_params params = {options->n_threads, options->isa};
    int64_t rows = 1;
    for (int i = 0; i < options->n_m; i++) {
        rows = options->m[i] > rows ? options->m[i] : rows;
    }
    FR_TRY(fr_device_create(b->ctx, &params, &b->device));
    FR_TRY(fr_alloc(b->ctx, rows * MAX_SIDE, sizeof *b->x, &b->x));
    FR_TRY(fr_alloc(b->ctx, rows * MAX_SIDE, sizeof *b->y, &b->y));
    FR_TRY(fr_alloc(b->ctx, MAX_WEIGHTS, sizeof(float), &b->weights));
    for (int64_t i = 0; i < rows * MAX_SIDE; i++) {
        b->x[i] = (float)(i % 17) - 8.0F;
    }
    memset(b->weights, 0x3d, MAX_WEIGHTS * sizeof(float));
    b->peak = measure_peak(options->isa, options->n_threads);
    printf("%s, %d threads, peak %.1f GFLOP/s\n", fr_isa_name(options->isa),
           options->n_threads, b->peak);
    return time_all(b);
}

static bool parse_isa(const char *text, fr_isa *isa)
{
    for (int i = FR_ISA_GENERIC; i < FR_ISA_COUNT; i++) {
        if (strcmp(text, fr_isa_name((fr_isa)i)) == 0) {
            *isa = (fr_isa)i;
            return true;
        }
    }
    return false;
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
        } else if (strcmp(argv[i], "--isa") != 0 || !parse_isa(value, &options->isa)) {
            return false;
        }
    }
    return argc % 2 == 1;
}

int main(int argc, char **argv)
{
    static const int64_t DEFAULT_M[] = {1, 8, 64, 256, 472, 1024};
    bench_options options = {.n_threads = 1, .seconds = 0.2, .isa = fr_isa_detect()};
    bench b = {.options = &options};
    fr_status status = FR_ERR_ARG;
    if (!parse(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: bench_gemm [--threads N] [--isa NAME] "
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
    fr_device_destroy(&b.device);
    fr_ctx_destroy(&b.ctx);
    return status == FR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
