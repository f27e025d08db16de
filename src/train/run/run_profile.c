/* The table of --profile: the time of each operator, added up over all ranks. */
#include "device/profile.h"
#include "train/run/run_impl.h"

/* Per operator calls, ns, flops; then the ns of the loop. */
enum { PARTS = 3, NUMBERS = FR_OPERATORS * PARTS + 1 };

/* GFLOP/s only for operators that count their operations; it is the mean rate of one rank. */
static void print_operator(const fr_run_state *run, const char *name,
                           const int64_t *part, double whole)
{
    double seconds = (double)part[1] / 1e9;
    if (part[2] > 0) {
        fr_log(run->ctx, FR_LOG_INFO, "%-16s %9lld %9.3f %6.1f %%  %7.1f", name,
               (long long)part[0], seconds, 100 * seconds / whole,
               (double)part[2] / 1e9 / seconds);
    } else {
        fr_log(run->ctx, FR_LOG_INFO, "%-16s %9lld %9.3f %6.1f %%", name,
               (long long)part[0], seconds, 100 * seconds / whole);
    }
}

fr_status fr_run_report_profile(fr_run_state *run, double seconds)
{
    int64_t numbers[NUMBERS] = {0};
    const fr_operator_time *times = fr_device_profile(run->session.device);
    for (int i = 0; i < FR_OPERATORS; i++) {
        numbers[i * PARTS] = times[i].calls;
        numbers[i * PARTS + 1] = times[i].ns;
        numbers[i * PARTS + 2] = times[i].flops;
    }
    numbers[NUMBERS - 1] = (int64_t)(seconds * 1e9);
    FR_TRY(fr_group_allreduce(run->world, FR_SUM, numbers, NUMBERS));
    if (fr_group_rank(run->world) != 0) {
        return FR_OK;
    }
    double whole = (double)numbers[NUMBERS - 1] / 1e9;
    int64_t rest[PARTS] = {0, numbers[NUMBERS - 1], 0};
    fr_log(run->ctx, FR_LOG_INFO, "%-16s %9s %9s %8s  %7s", "operator", "calls",
           "seconds", "share", "GFLOP/s");
    for (int i = 0; i < FR_OPERATORS; i++) {
        const int64_t *part = &numbers[i * PARTS];
        rest[1] -= part[1];
        if (part[0] > 0) {
            print_operator(run, fr_operator_name((fr_operator)i), part, whole);
        }
    }
    print_operator(run, "all else", rest,
                   whole); /* waits, updates, validation's sums, files */
    return FR_OK;
}
