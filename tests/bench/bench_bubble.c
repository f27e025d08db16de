/*
 * bench_bubble - idle time of the schedule in real time, beside fr_bubble_formula.
 *
 * mpirun -n STAGES bench_bubble [ATTEMPTS]
 * The stages sleep instead of computing, so they need no processor each. A busy machine only adds idle time, so the best
 * of several attempts (default 10) counts. One line for each number of tasks: measured idle share, formula, and what of
 * it is the start and the end of the run, which the formula leaves out. mpi.bubble tests the order of events.
 */
#define _POSIX_C_SOURCE 200809L
#include "support/stage_walk.h"
#include "train/forecast/timeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PASS_MS = 8, M = 4, STEPS = 12, MAX_TASKS = 3, MAX_ATTEMPTS = 1000 };

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void work(void *argument, fr_walk_pass *pass, const fr_walk_pass *arrived)
{
    const struct timespec length = {0, PASS_MS * 1000000L};
    int64_t *busy_ns = argument;
    int64_t began = now_ns();
    (void)arrived;
    (void)nanosleep(&length, NULL);
    pass->end = now_ns();
    *busy_ns += pass->end - began;
}

static void updated(void *argument, int64_t end)
{
    (void)argument;
    (void)end;
}

static fr_status measure(fr_ctx *ctx, fr_group *world, int64_t n_tasks, double *idle)
{
    int64_t busy_ns = 0;
    fr_walk_params walk = {.world = world,
                           .n_tasks = n_tasks,
                           .n_microbatches = M,
                           .n_steps = STEPS,
                           .work = work,
                           .updated = updated,
                           .argument = &busy_ns};
    FR_TRY(fr_group_barrier(world));
    int64_t began = now_ns();
    FR_TRY(fr_walk_stage(ctx, &walk));
    int64_t took = now_ns() - began;
    FR_TRY(fr_group_allreduce(world, FR_SUM, &busy_ns, 1));
    FR_TRY(fr_group_allreduce(world, FR_MAX, &took, 1));
    *idle = 1.0 - (double)busy_ns / ((double)took * fr_group_size(world));
    return FR_OK;
}

static fr_status run(fr_ctx *ctx, fr_group *world, int n_attempts)
{
    int n_stages = fr_group_size(world);
    for (int64_t n_tasks = 1; n_tasks <= MAX_TASKS; n_tasks++) {
        double best = 1.0;
        for (int i = 0; i < n_attempts; i++) {
            double idle = 1.0;
            FR_TRY(measure(ctx, world, n_tasks, &idle));
            best = fmin(best, idle);
        }
        double ends = (n_stages - 1.0) / (double)(n_tasks * M * STEPS + n_stages - 1);
        if (fr_group_rank(world) == 0) {
            (void)printf(
                "%d stages, %lld tasks of %d microbatches: idle %5.1f %%, formula "
                "%5.1f %%, ends of the run %4.1f %%\n",
                n_stages, (long long)n_tasks, M, 100 * best,
                100 * fr_bubble_formula(n_tasks, M, n_stages), 100 * ends);
        }
    }
    return FR_OK;
}

int main(int argc, char **argv)
{
    fr_ctx *ctx = fr_ctx_create();
    fr_group *world = NULL;
    long n_attempts = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
    if (ctx == NULL || n_attempts < 1 || n_attempts > MAX_ATTEMPTS) {
        (void)fprintf(stderr, "usage: mpirun -n STAGES bench_bubble [ATTEMPTS]\n");
        return 2;
    }
    fr_status status = fr_group_create_world(ctx, &argc, &argv, &world);
    if (status == FR_OK) {
        status = run(ctx, world, (int)n_attempts);
    }
    if (status != FR_OK) {
        (void)fprintf(stderr, "error: %s\n", fr_ctx_error(ctx));
    }
    fr_group_destroy(&world);
    fr_ctx_destroy(&ctx);
    return status == FR_OK ? 0 : 1;
}
