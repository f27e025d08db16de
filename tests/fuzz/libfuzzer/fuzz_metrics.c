/* metrics.jsonl of a run that goes on: lines of steps to come are dropped, and what is not ours does no harm. */
#include "base/file.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "train/run/metrics.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[] = "a";
    static char second[] = "task.b";
    fr_ctx *ctx = fuzz_ctx();
    fr_task_config configs[2] = {{.name = first}, {.name = second}};
    fr_task tasks[2] = {{.config = &configs[0], .progress.step = 5},
                        {.config = &configs[1], .progress.step = 0}};
    fr_metrics *metrics = NULL;
    char *text = NULL;
    size_t bytes = 0;
    const char *path = fuzz_write("metrics.jsonl", data, size);
    fuzz_check(
        fuzz_answer(ctx, fr_metrics_open(ctx, fuzz_folder(), tasks, 2, 10, &metrics)),
        "metrics open, whatever the file holds");
    fr_metrics_close(&metrics);
    fuzz_check(fuzz_answer(ctx, fr_file_read(ctx, path, &text, &bytes)),
               "metrics are there");
    fuzz_check(bytes <= size && (bytes == 0 || text[bytes - 1] == '\n'),
               "what is kept are whole lines");
    free(text);
    return 0;
}
